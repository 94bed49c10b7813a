"""What a page shows of runs on bandits: the actions that they draw, and the Q that they learned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from dac.envs.bandit import behaviour
from dac.report.bandit import level_grid
from dac.report.data import BanditTask
from dac.report.recorded import Columns, ReadEvaluation
from dac.study.identity import Group, Run
from dac.study.plan import Cell, StudyPlan


def cells_of(plan: StudyPlan) -> list[Cell]:
    """The cells of experiments that show a bandit."""
    return [cell for cell in plan.cells if "bandit" in plan.params.experiments[cell.experiment].show]


def actions(
    pairs: Iterable[tuple[Cell, Run]], bandits: Collection[Cell], read: ReadEvaluation
) -> Iterator[tuple[Cell, Run, Columns]]:
    """The actions that the last policies of bandits draw, x and y, none chosen among several."""
    for cell, run in pairs:
        if cell in bandits:
            evaluation = next(evaluation for evaluation in cell.evaluations if evaluation.draws_one)
            rows = read(run, evaluation)
            x, y = rows["action"][rows["step"] == cell.group.settings.steps].astype(np.float64).T
            yield cell, run, {"x": x, "y": y}


def _seeds(plan: StudyPlan, there: Collection[Run]) -> dict[tuple[str, str], int]:
    """By experiment and task of a bandit the seed that is drawn: the first that all variants have, or else most."""
    runs: dict[tuple[str, str], list[Group]] = {}
    for cell in cells_of(plan):
        runs.setdefault((cell.experiment, cell.task), []).append(cell.group)
    return {
        key: max(plan.seeds, key=lambda seed: sum(Run(group, seed) in there for group in groups))
        for key, groups in runs.items()
    }


def drawn_runs(plan: StudyPlan, there: Collection[Run]) -> list[Run]:
    """The runs of bandits that are drawn, each once."""
    seeds = _seeds(plan, there)
    runs = dict.fromkeys(Run(cell.group, seeds[cell.experiment, cell.task]) for cell in cells_of(plan))
    return [run for run in runs if run in there]


def bandits(plan: StudyPlan, there: Collection[Run], q: Mapping[Run, np.ndarray]) -> dict[tuple[str, str], BanditTask]:
    """The bandits' tasks by experiment and name, with the Q that every variant's run of one seed learned."""
    found = {}
    for (experiment, task), seed in _seeds(plan, there).items():
        cells = [cell for cell in cells_of(plan) if (cell.experiment, cell.task) == (experiment, task)]
        name = cells[0].group.dataset.name
        of_variant = {cell.variant: q[run] for cell in cells if (run := Run(cell.group, seed)) in q}
        found[experiment, task] = BanditTask(name, behaviour(name), seed, level_grid(), of_variant)
    return found
