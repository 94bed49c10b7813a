"""A film of a trained policy: the experiment's first task, variant and seed."""

from __future__ import annotations

from dac.report.data import Experiment, Film, ReportData
from dac.report.item import Clip, Item
from dac.report.table import number


def film_content(data: ReportData, experiment: Experiment) -> bytes | None:
    """The animated GIF, if it was drawn."""
    film = data.films[experiment.name]
    return film.gif if isinstance(film, Film) else None


def film_caption(data: ReportData, experiment: Experiment) -> str:
    """What it shows; or why there is none."""
    film = data.films[experiment.name]
    if not isinstance(film, Film):
        return f"A film of a trained policy is missing here: {film}"
    part = "all" if film.shown == film.steps else f"the first {film.shown}"
    return (
        f"A trained policy acts: {film.task}, {film.variant}, seed {film.seed}, after {film.step:,} gradient steps, "
        f"with N_a = {film.action_samples}. The film shows {part} of the {film.steps:,} steps of an episode (seed "
        f"{film.episode_seed}), whose return is {number(film.returned)} and normalised score {number(film.score)}."
    )


ITEM = Item(place=7, clip=Clip(film_content, film_caption))
