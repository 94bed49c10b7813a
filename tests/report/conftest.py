"""A synthetic study whose numbers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from dac.report.data import Experiment, PageSettings, ReportData
from dac.study.params import Settings

SHA = {"hopper-medium-v2": "a" * 64, "walker2d-medium-v2": "b" * 64, "own_hopper": "c" * 64}

OWN = ("other data than D4RL's",)


def make_experiment(**changes: object) -> Experiment:
    given: dict[str, object] = {
        "name": "guidance",
        "title": "Guidance type",
        "description": "Soft against hard guidance.",
        "tasks": ("hopper-medium-v2", "own_hopper"),
        "variants": ("soft", "bc_only"),
        "varied": None,
        "show": ("scores", "curves", "comparison", "action_samples"),
        "published": ("DAC", "IQL"),
    }
    return Experiment(**{**given, **changes})  # type: ignore[arg-type]


def score(task: str, variant: str, seed: int, step: int, episode: int) -> float:
    """A score that any test can compute again: exact in binary, different in every coordinate."""
    return 50.0 + 4 * (task == "own_hopper") + 2 * len(variant) + seed**2 + step / 1000 + 0.5 * episode


def make_data(
    experiments: Sequence[Experiment] | None = None,
    seeds: int = 4,
    steps: Sequence[int] = (0, 1000, 2000, 3000),
    settings: PageSettings | None = None,
    diverged: Sequence[tuple[str, str, int]] = (),
    sha: dict[tuple[str, int], str] | None = None,
) -> ReportData:
    """A report's data with two episodes per evaluation; `sha` overrides the hash of (task, seed)."""
    experiments = tuple(experiments) if experiments is not None else (make_experiment(),)
    curves, kept, runs = [], [], []
    for e in experiments:
        cells = [(task, variant, seed) for task in e.tasks for variant in e.variants for seed in range(seeds)]
        for task, variant, seed in cells:
            key = {"experiment": e.name, "task": task, "variant": variant, "seed": seed}
            for step in steps:
                for episode in range(2):
                    value = score(task, variant, seed, step, episode)
                    row = {"episodes": 1, "score": value}
                    curves.append({**key, "step": step, **row})
                    if step >= steps[-2]:
                        for count in (1, 4):
                            more = {**row, "score": value + np.log2(count)}
                            kept.append({**key, "step": step, "action_samples": count, **more})
            status = "diverged" if (task, variant, seed) in diverged else "complete"
            digest = (sha or {}).get((task, seed), SHA[task])
            runs.append(
                {
                    **key, "run": f"{variant}-ab12cd34ef56", "status": status, "steps": steps[-1],
                    "dataset_sha256": digest, "machine": "box", "device": "cpu", "torch": "2.13.0",
                    "simulator": "mujoco 3", "finished": f"2026-01-0{seed % 9 + 1}", "device_seconds": 60.0,
                }
            )  # fmt: skip
    return ReportData(
        study="demo",
        description="A synthetic study.",
        experiments=experiments,
        settings=settings or PageSettings(window=2, bootstrap_samples=200, dpi=60),
        curves=pd.DataFrame(curves),
        evaluations=pd.DataFrame(kept),
        runs=pd.DataFrame(runs),
        tasks=task_frame(),
        made_with={
            (e.name, task, variant): {**Settings().as_json(), **({e.varied: variant} if e.varied else {})}
            for e in experiments
            for task in e.tasks
            for variant in e.variants
        },
        differences={
            (e.name, task, variant): OWN if task == "own_hopper" else ()
            for e in experiments
            for task in e.tasks
            for variant in e.variants
        },
    )


def task_frame() -> pd.DataFrame:
    rows = []
    for task in ("hopper-medium-v2", "walker2d-medium-v2", "own_hopper"):
        rows.append(
            {
                "task": task, "dataset": task, "env": "Hopper-v4", "episodes": 10,
                "steps": 1000, "data_return_mean": 1500.0, "data_return_std": 100.0,
                "data_return_max": 2000.0,
                "data_score_mean": 44.3, "data_score_max": 60.0, "reference_min": -20.27,
                "reference_max": 3234.3,
                "published_id": "hopper-medium-v2" if task == "own_hopper" else task,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def build() -> Callable[..., ReportData]:
    return make_data


@pytest.fixture(scope="session")
def experiment() -> Callable[..., Experiment]:
    return make_experiment


@pytest.fixture
def data() -> ReportData:
    return make_data()
