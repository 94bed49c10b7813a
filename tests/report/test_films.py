"""Which film a page has, whether it is drawn anew, and the page where it could not be drawn."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invented_film import noise
from PIL import Image
from published_rows import publish_rows
from tiny import Project

from dac.report.build import build, build_partial
from dac.study import pages, store
from dac.study.plan import StudyPlan
from dac.system import files
from dac.system.errors import UserError
from dac.training import films

FILM = Path("results/tiny/figures/guidance-film.gif")
REASON = "Nothing draws here."


class Drawing:
    """In the place of the process that draws: pictures of noise, or a reason why there are none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drawn: list[Path] = []
        self.reason = ""
        monkeypatch.setattr(films, "film_of", self)

    def __call__(self, policy: Path, about: Mapping[str, Any]) -> bytes | str:
        self.drawn.append(policy)
        if self.reason:
            return self.reason
        return noise({**about, "return": 25.0, "steps": 1000, "shown": 118}, seed=len(self.drawn))


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Drawing:
    return Drawing(monkeypatch)


@pytest.fixture
def study(project: Project) -> StudyPlan:
    """An experiment of two variants and two seeds that shows a film."""
    project.set("studies.tiny.experiments", ["guidance"]).set("experiments.guidance.show", ["scores", "film"])
    plan = project.plan()
    for run in plan.runs():
        publish_rows(run, plan)
    return plan


def page() -> str:
    return Path("results/tiny/README.md").read_text()


def test_it_is_of_the_first_run(study: StudyPlan, drawing: Drawing) -> None:
    build(study)
    first = study.runs()[0]
    assert drawing.drawn == [store.run_directory(first) / "policy-40.safetensors"]
    caption = (
        "Guidance. A trained policy acts: pendulum, soft, seed 0, after 40 gradient steps, with N_a = 2. The film "
        "shows the first 118 of the 1,000 steps of an episode (seed 0), whose return is 25.0 and normalised score 20.0."
    )
    assert f"\n![{caption}](figures/guidance-film.gif)\n" in page()
    assert f"*{caption}* ([gif](figures/guidance-film.gif))" in page()
    assert films.facts(FILM.read_bytes())["return"] == 25.0
    assert pages.problem(study) is None


def test_for_a_browser_it_is_in_the_page_and_stands_still_for_who_asks_for_that(
    study: StudyPlan, drawing: Drawing
) -> None:
    build(study)
    text = Path("results/tiny/report.html").read_text()
    still, moving = re.findall(r'(?:srcset|src)="data:image/(?:png|gif);base64,([^"]+)"', text)
    assert base64.b64decode(moving) == FILM.read_bytes()
    with Image.open(io.BytesIO(base64.b64decode(still))) as picture, Image.open(FILM) as film:
        assert np.array_equal(np.asarray(picture), np.asarray(film.convert("RGB")))
    assert '<source media="(prefers-reduced-motion: reduce)"' in text


def test_a_page_that_is_rendered_again_keeps_it(study: StudyPlan, drawing: Drawing, project: Project) -> None:
    """Another machine draws it otherwise, or not at all."""
    build(study)
    before = FILM.read_bytes()
    drawing.reason = REASON
    plan = project.set("tasks.pendulum.reference_returns", [0.0, 50.0]).plan()
    build(plan)
    assert FILM.read_bytes() == before
    assert "whose return is 25.0 and normalised score 50.0." in page()
    build_partial(plan)
    assert Path("work/partial/tiny/figures/guidance-film.gif").read_bytes() == before
    assert len(drawing.drawn) == 1


@pytest.mark.parametrize("change", ["policy", "film"])
def test_it_is_drawn_again_where_it_is_another(change: str, study: StudyPlan, drawing: Drawing) -> None:
    build(study)
    before = FILM.read_bytes()
    if change == "film":
        FILM.write_bytes(before + b"damaged")
    else:
        weights = store.run_directory(study.runs()[0]) / "policy-40.safetensors"
        weights.write_bytes(b"others")
        record = files.read_json(weights.with_name("run.json")) or {}
        record["files"][weights.name] = files.file_entry(weights)
        files.write_json(weights.with_name("run.json"), record)
    build(study)
    assert len(drawing.drawn) == 2
    assert FILM.read_bytes() != before


def test_where_nothing_draws_the_page_says_so_and_is_whole(
    study: StudyPlan, drawing: Drawing, caplog: pytest.LogCaptureFixture
) -> None:
    drawing.reason = REASON
    build(study)
    assert f"\n*Guidance. A film of a trained policy is missing here: {REASON}*\n" in page()
    assert f"The page of tiny has no film of guidance. {REASON}" in caplog.text
    assert not FILM.exists()
    assert "A film of a trained policy is missing here" in Path("results/tiny/report.html").read_text()
    assert pages.problem(study) is None  # nor where something draws
    drawing.reason = ""
    build(study)  # as `dac report` does
    assert FILM.exists()
    assert "is missing here" not in page()


def test_a_damaged_policy_is_no_reason_to_do_without(study: StudyPlan, drawing: Drawing) -> None:
    (store.run_directory(study.runs()[0]) / "policy-40.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(UserError, match=r"policy-40.safetensors: its contents are not what run.json records"):
        build(study)
    assert drawing.drawn == []
