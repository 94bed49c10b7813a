from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from invented_film import invented_film

from dac.report.data import Experiment, Film, ReportData
from dac.report.items import clips_of
from dac.report.page import page
from dac.report.statistics import summarise


@pytest.mark.parametrize(
    ("film", "said"),
    [
        (
            invented_film(),
            "A trained policy acts: own_hopper, soft, seed 3, after 3,000 gradient steps, with N_a = 10. The film "
            "shows all of the 80 steps of an episode (seed 0), whose return is -12.3 and normalised score –.",
        ),
        ("No run of it is complete.", "A film of a trained policy is missing here: No run of it is complete."),
    ],
)
def test_what_it_shows(
    film: Film | str, said: str, build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    data = replace(build([experiment(show=("scores", "film"))]), films={"guidance": film})
    (clip,) = clips_of(data.experiments[0]).values()
    assert clip.caption(data, data.experiments[0]) == said
    (section,) = page(data, [summarise(data, data.experiments[0])]).sections
    (shown,) = section.figures
    assert shown.caption == f"Guidance type. {said}"
    assert shown.image == (None if isinstance(film, str) else "guidance-film.gif")
