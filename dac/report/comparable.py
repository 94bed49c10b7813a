"""Whether published scores may stand beside a task's scores, and why not."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from dac.report.published import REFERENCE
from dac.study.catalog import environment_of
from dac.study.plan import Cell, StudyPlan
from dac.study.sources import source_of
from dac.study.task_data import environment

# The paper's scale and evaluation protocol (arXiv 2405.20555, section 5 and appendix): every run's.
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
# Its agent, where that is one for all of its tasks: some run of a task at least, since ablations are about the others.
PAPER_AGENT: dict[str, Any] = {
    "guidance": "soft",
    "q_target": "lcb",
    "ensemble_size": 10,
    "next_action_samples": 10,
    "diffusion_steps": 5,
    "beta_schedule": "vp",
    "sampler": "ddpm",
    "clip_denoised": True,
    "discount": 0.99,
    "actor_lr": 3e-4,
    "gradient_clip": 1.0,
    "target_rate": 0.005,
    "actor_ema_start": 1000,
    "actor_ema_interval": 5,
}
PAPER_SCALING = "locomotion"
PAPER_WINDOW = 5
PAPER_SEEDS = 8


def differences(plan: StudyPlan, experiment: str, task: str) -> tuple[str, ...]:
    """In what a task of an experiment differs from what the published scores are of; empty where they may stand beside.

    An experiment's variants may differ from the paper's agent, as long as one has the paper's value of each setting.
    """
    runs = [cell.group.settings.as_json() for cell in plan.cells if (cell.experiment, cell.task) == (experiment, task)]
    found = _differences(plan, task, runs)
    if len(plan.seeds) < PAPER_SEEDS:
        found.append(f"{len(plan.seeds)} seeds, not {PAPER_SEEDS}")
    return tuple(found)


def cell_differences(plan: StudyPlan, cell: Cell) -> tuple[str, ...]:
    """In what a cell's runs differ from the paper's of its task, the number of seeds aside; empty where in nothing."""
    return tuple(_differences(plan, cell.task, [cell.group.settings.as_json()]))


def _differences(plan: StudyPlan, task: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    agent = {**PAPER_AGENT, **task_settings(plan.params.tasks[task].dataset.partition(":")[2])}
    found = [*_data_and_environment(plan, task), *_scale(runs), *_agent(runs, agent)]
    if plan.params.report.window != PAPER_WINDOW:
        found.append(f"a score of {plan.params.report.window} evaluations, not {PAPER_WINDOW}")
    return list(dict.fromkeys(found))


@cache
def _task_settings() -> dict[str, dict[str, Any]]:
    with (REFERENCE / "paper_settings.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    parse = {"true": True, "false": False}
    return {
        row.pop("dataset"): {key: parse[text] if text in parse else float(text) for key, text in row.items() if text}
        for row in rows
    }


def task_settings(dataset: str) -> dict[str, Any]:
    """The paper's own settings for a dataset such as hopper-medium-v2; empty where it gives none."""
    return _task_settings().get(dataset, {})


def paper_value(setting: str, dataset: str) -> Any:
    """The paper's value of a setting on a dataset; None where it is not known."""
    return {**PAPER_AGENT, **task_settings(dataset)}.get(setting)


def _data_and_environment(plan: StudyPlan, name: str) -> Iterator[str]:
    task = plan.params.tasks[name]
    source, dataset = source_of(task.dataset)
    if not source.published:
        yield "other data than D4RL's"
        return
    if task.reference_returns is not None:
        yield "other reference returns than D4RL's"
    if task.reward_scaling != PAPER_SCALING:
        yield f"reward_scaling {task.reward_scaling}, not {PAPER_SCALING}"
    if environment(task, name) != environment_of(dataset):
        yield f"evaluated in {environment(task, name)}"
    if dataset.startswith("antmaze"):
        yield "the goal is drawn for each episode here, and once for all of them in D4RL's v0 tasks (docs/tasks.md)"


def _scale(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for values in runs:
        for key, value in PAPER_SETTINGS.items():
            if values[key] != value:
                yield f"{key} {values[key]}, not {value}"


def _agent(runs: Sequence[Mapping[str, Any]], paper: Mapping[str, Any]) -> Iterator[str]:
    for key, value in paper.items():
        found = dict.fromkeys(str(values[key]) for values in runs)
        if str(value) not in found:
            yield f"{key} {', '.join(found)}, not {value}"
