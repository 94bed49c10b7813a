"""Whether published scores may stand beside a cell's score, and why not."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
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
# Its agent, where that is one for all of its tasks.
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


def differences(plan: StudyPlan, cell: Cell) -> tuple[str, ...]:
    """In what a cell differs from what its task's published scores are of; empty where they may stand beside it."""
    found = run_differences(plan, cell)
    seeds = len(plan.seeds)
    return found if seeds >= PAPER_SEEDS else (*found, f"{seeds} seeds, not {PAPER_SEEDS}")


def run_differences(plan: StudyPlan, cell: Cell) -> tuple[str, ...]:
    """In what a cell's runs differ from the paper's of its task, however many there are; empty where in nothing."""
    values = cell.group.settings.as_json()
    agent = {**PAPER_AGENT, **task_settings(plan.params.tasks[cell.task].dataset.partition(":")[2])}
    found = [*_data_and_environment(plan, cell.task), *_other_values(values, {**PAPER_SETTINGS, **agent})]
    if plan.params.report.window != PAPER_WINDOW:
        found.append(f"a score of {plan.params.report.window} evaluations, not {PAPER_WINDOW}")
    return tuple(found)


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


def _other_values(values: Mapping[str, Any], paper: Mapping[str, Any]) -> Iterator[str]:
    for key, value in paper.items():
        if values[key] != value:
            yield f"{key} {values[key]}, not {value}"
