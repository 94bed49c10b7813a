"""Runs in the store that were not trained, with returns that any test can compute again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from tiny import publish, publish_evaluation

from dac.study.identity import Evaluation, Run
from dac.study.plan import StudyPlan

DATA = {
    "episodes": 20,
    "steps": 240,
    "return": {"mean": 25.0, "std": 2.0, "min": 5.0, "max": 45.0},
}


def curve(seed: int) -> str:
    """Two episodes per evaluation, with returns 10 s + step / 10 + episode."""
    rows = [
        f"{step},{episode},{10 * seed + step / 10 + episode:.6f},9"
        for step in (0, 10, 20, 30, 40)
        for episode in (0, 1)
    ]
    return "\n".join(["step,episode,return,length", *rows]) + "\n"


def publish_rows(run: Run, plan: StudyPlan, **facts: Any) -> None:
    """A run with known returns, and evaluations that return N_a."""
    publish(run, curve(run.seed), data=DATA, **facts)
    for evaluation in plan.evaluations()[run.group]:
        publish_evaluation(run, evaluation, episodes(run, evaluation))


def episodes(run: Run, evaluation: Evaluation, **changes: Any) -> bytes:
    """The file of an evaluation whose returns are N_a."""
    rows = pd.DataFrame({"step": [30, 30, 40, 40], "episode": [0, 1, 0, 1]}).assign(
        task=run.group.task, variant=run.group.label, seed=run.seed, action_samples=evaluation.action_samples,
        length=9, score=1.0,
    )  # fmt: skip
    rows["return"] = float(evaluation.action_samples)
    rows.assign(**changes).to_parquet("rows.parquet")
    return Path("rows.parquet").read_bytes()
