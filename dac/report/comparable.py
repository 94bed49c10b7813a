"""Whether published scores may stand beside a task's scores, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dac.datasets.catalog import environment_of
from dac.plan import Cell, StudyPlan, environment

# The paper's scale and evaluation protocol (arXiv 2405.20555, section 5 and appendix).
PAPER_SETTINGS: dict[str, Any] = {
    "steps": 2_000_000,
    "batch_size": 256,
    "lr_decay": "cosine",
    "hidden_sizes": [256, 256, 256],
    "eval_interval": 10_000,
    "eval_episodes": 10,
    "eval_action_samples": 10,
    "eval_temperature": 0.0,
}
PAPER_WINDOW = 5
PAPER_SEEDS = 8


def differences(plan: StudyPlan, experiment: str, task: str) -> tuple[str, ...]:
    """In what a task of an experiment differs from what the published scores are of; empty where they may stand beside.

    What an experiment's variants differ in is what it is about, and so no difference here.
    """
    cells = [cell for cell in plan.cells if (cell.experiment, cell.task) == (experiment, task)]
    found = [*_data_and_environment(plan, task), *(line for cell in cells for line in _settings(plan, cell))]
    if plan.params.report.window != PAPER_WINDOW:
        found.append(f"a score of {plan.params.report.window} evaluations, not {PAPER_WINDOW}")
    if len(plan.seeds) < PAPER_SEEDS:
        found.append(f"{len(plan.seeds)} seeds, not {PAPER_SEEDS}")
    return tuple(dict.fromkeys(found))


def _data_and_environment(plan: StudyPlan, name: str) -> Iterator[str]:
    task = plan.params.tasks[name]
    source, _, dataset = task.dataset.partition(":")
    if source != "d4rl":
        yield "other data than D4RL's"
        return
    if task.reference_returns is not None:
        yield "other reference returns than D4RL's"
    if environment(task, name) != environment_of(dataset):
        yield f"evaluated in {environment(task, name)}"
    if dataset.startswith("antmaze"):
        yield "the goal is drawn for each episode here, and once for all of them in D4RL's v0 tasks (docs/tasks.md)"


def _settings(plan: StudyPlan, cell: Cell) -> Iterator[str]:
    experiment = plan.params.experiments[cell.experiment]
    named = (experiment.variants or {}).get(cell.variant)
    varied = {*(experiment.vary or {}), *(named.model_fields_set if named else ())}
    for key, value in PAPER_SETTINGS.items():
        found = cell.group.values[key]
        if key not in varied and found != value:
            yield f"{key} {found}, not {value}"
