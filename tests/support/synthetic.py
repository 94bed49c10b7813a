"""A store of invented runs, to look at pages and plans at the paper's scale: labelled synthetic, never under results/.

    python -m tests.support.synthetic FOLDER --study paper --missing 0.33

fills a new project in FOLDER through the real plan and store. Every run.json says `"synthetic": true`, and so does the
title of the page that is made of it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dac.envs.bandit import BEST_ACTION, behaviour
from dac.report import published
from dac.study import check, store, timings
from dac.study.identity import Evaluation, Group, Run
from dac.study.plan import StudyPlan, evaluation_steps, kept_steps, study_plan
from dac.study.timings import Timing
from tests.support.project import ROOT, new_project

UNPUBLISHED = 60.0  # the invented mean score of a task without a published one
# What the invented scores lose by a setting, so that an ablation has something to show.
LOSSES: dict[str, dict[Any, float]] = {
    "guidance": {"hard": 6.0, "denoised": 9.0, "none": 35.0},
    "ensemble_size": {2: 8.0, 5: 1.0},
    "q_target": {"min": 3.0},
}
# N_a other than 10, in the evaluation after training.
GAIN_PER_DOUBLING = 2.0
RISE_STEPS = 150_000.0


@dataclass(frozen=True)
class Invented:
    """What the invented store holds: the score that each run was given, before the noise of its episodes."""

    scores: dict[Run, float]
    diverged: tuple[Run, ...]
    missing: tuple[Run, ...]


def fill(plan: StudyPlan, *, seed: int = 0, missing: float = 0.0, diverged: int = 2) -> Invented:
    """Publish invented runs, evaluations and timings of a study in the project of the working folder.

    Args:
        seed: of all invented numbers.
        missing: share of the runs that are left out.
        diverged: number of runs whose score stays where a tenth of the training brought it.
    """
    random = np.random.default_rng(seed)
    runs = plan.runs()
    left_out = {runs[index] for index in random.permutation(len(runs))[: round(missing * len(runs))]}
    kept = [run for run in runs if run not in left_out and run.group.dataset.kind.one_step is False]
    failed = {kept[index] for index in random.permutation(len(kept))[:diverged]}
    scores = {}
    with _quick_disk(), tempfile.TemporaryDirectory() as folder:
        policies: dict[Group, dict[str, Path]] = {}
        for run in runs:
            if run in left_out:
                continue
            if run.group not in policies:
                policies[run.group] = _policies(run.group, Path(folder))
            scores[run] = _publish(plan, run, policies[run.group], run in failed, random, Path(folder))
    for timing in plan.timings():
        _publish_timing(timing, random)
    return Invented(scores, tuple(sorted(failed, key=str)), tuple(sorted(left_out, key=str)))


def new_synthetic_project(
    folder: Path, study: str = "paper", *, seed: int = 0, missing: float = 0.0, diverged: int = 2
) -> Invented:
    """A project with the repository's code and params.yaml, and the invented runs of a study in its store.

    Raises:
        ValueError: the folder is in the repository, whose results are real ones.
    """
    if folder.resolve().is_relative_to(ROOT):
        raise ValueError(f"{folder}: inside the repository, where every run is a real one")
    project = new_project(folder)
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    with contextlib.chdir(project.path):
        return fill(study_plan(check.load(), study), seed=seed, missing=missing, diverged=diverged)


@contextlib.contextmanager
def _quick_disk() -> Iterator[None]:
    """Nothing here is worth waiting for the disk."""
    fsync, os.fsync = os.fsync, lambda _: None
    try:
        yield
    finally:
        os.fsync = fsync


def _publish_timing(timing: Timing, random: np.random.Generator) -> None:
    """Times that grow with the diffusion steps; the actor's update only where its gradient goes through the chain."""
    settings = timing.group.settings
    actor = 3.0 + (0.9 * settings.diffusion_steps if settings.guidance == "denoised" else 0.0)
    noise = 1 + 0.01 * random.standard_normal((timing.how.repeats, 2))
    repeats = [
        {"step_ms": float(a * (actor + 7.0 + settings.diffusion_steps)), "actor_ms": float(b * actor)} for a, b in noise
    ]
    made = {"machine": "invented", "device": "none", "threads": 1, "versions": {"torch": "0.0"}}
    timings.publish(timing, repeats, made)


def _mean_score(group: Group) -> tuple[float, float]:
    """The invented mean score of a group of runs, and its standard deviation over seeds."""
    settings = group.settings
    found = published.score(group.dataset.name, "DAC-curve-last5")
    mean, std = (UNPUBLISHED, 5.0) if found is None else (found.mean, found.std or 5.0)
    mean -= sum(losses.get(getattr(settings, key), 0.0) for key, losses in LOSSES.items())
    return max(mean, 5.0), std


def _publish(
    plan: StudyPlan, run: Run, policies: dict[str, Path], failed: bool, random: np.random.Generator, folder: Path
) -> float:
    settings = run.group.settings
    evaluations = plan.evaluations()[run.group]
    reference = evaluations[0].reference
    mean, std = _mean_score(run.group)
    score = float(mean + std * random.standard_normal())
    steps = np.array(evaluation_steps(settings.steps, settings.eval_interval))
    reached = np.minimum(steps, settings.steps / 10) if failed else steps
    expected = score * (1 - np.exp(-reached / RISE_STEPS))
    curve = _episodes(run, steps, expected, settings.eval_episodes, reference, random)
    (folder / "curve.csv").write_text(curve.drop(columns=["seed"]).to_csv(index=False, float_format="%.6f"))
    facts = {
        "status": "diverged" if failed else "complete",
        "steps": settings.steps,
        "dataset_sha256": run.group.dataset.fingerprint.ljust(64, "0"),
        "data": _statistics(reference),
        "synthetic": True,
    }
    store.publish_run(run, {"curve.csv": folder / "curve.csv", **policies}, facts, _provenance(run))
    evaluated = store.read_run(run)["files"]
    for evaluation in evaluations:
        final = float(expected[-1]) + GAIN_PER_DOUBLING * float(np.log2(evaluation.action_samples / 10))
        frame = _evaluated(run, evaluation, final, random)
        frame.to_parquet(folder / "episodes.parquet", index=False)
        store.publish_evaluation(run, evaluation, folder / "episodes.parquet", evaluated, _provenance(run))
    return score


def _episodes(
    run: Run,
    steps: np.ndarray,
    expected: np.ndarray,
    episodes: int,
    reference: tuple[float, float],
    random: np.random.Generator,
) -> pd.DataFrame:
    """Episodes around expected scores, one of them for each step; AntMaze's succeed or fail."""
    shape = (len(steps), episodes)
    if "AntMaze" in run.group.env:
        score = 100.0 * (random.random(shape) < np.clip(expected, 0, 100)[:, None] / 100)
    else:
        score = expected[:, None] + 4.0 * random.standard_normal(shape)
    low, high = reference
    return pd.DataFrame(
        {
            "seed": run.seed,
            "step": np.repeat(steps, episodes),
            "episode": np.tile(np.arange(episodes), len(steps)),
            "return": (low + score / 100 * (high - low)).ravel(),
            "length": 1000,
        }
    )


def _evaluated(run: Run, evaluation: Evaluation, expected: float, random: np.random.Generator) -> pd.DataFrame:
    steps = np.array(kept_steps(run.group.settings))
    levels = np.full(len(steps), expected)
    frame = _episodes(run, steps, levels, evaluation.episodes, evaluation.reference, random)
    low, high = evaluation.reference
    frame["score"] = 100 * (frame["return"] - low) / (high - low)
    frame["task"], frame["variant"], frame["action_samples"] = (
        run.group.task,
        run.group.label,
        evaluation.action_samples,
    )
    if run.group.dataset.kind.behaviour_sets:
        frame["action"] = _bandit_actions(run, len(frame), random)
    return frame


def _bandit_actions(run: Run, count: int, random: np.random.Generator) -> list[np.ndarray]:
    """Soft guidance draws recorded actions near the best one; hard and denoised draw outside the support as well."""
    recorded = behaviour(run.group.dataset.name).actions
    distance = np.linalg.norm(recorded - np.array(BEST_ACTION), axis=1)
    near = recorded[np.argsort(distance)[: len(recorded) // (1 if run.group.settings.guidance == "none" else 5)]]
    spread = {"soft": 0.01, "none": 0.01, "hard": 0.15, "denoised": 0.3}.get(run.group.settings.guidance, 0.1)
    drawn = near[random.integers(len(near), size=count)] + spread * random.standard_normal((count, 2))
    return list(np.clip(drawn, -1, 1).astype(np.float32))


def _policies(group: Group, folder: Path) -> dict[str, Path]:
    """The kept policies of a group by name: of a bandit, whose page draws their Q, untrained ones, each another."""
    path = folder / f"policy-{group.name}-{group.task}"
    if group.dataset.kind.behaviour_sets:
        from dac.agent import Agent
        from dac.training.policies import agent_config, save_policy

        seed = zlib.crc32(group.name.encode())
        save_policy(Agent(agent_config(group.settings), [seed], 1, 2).policy_state(0), path)
    else:
        path.write_bytes(b"synthetic: no policy was trained")
    return {f"policy-{step}.safetensors": path for step in kept_steps(group.settings)}


def _statistics(reference: tuple[float, float]) -> dict[str, Any]:
    low, high = reference
    mean, top = low + 0.5 * (high - low), low + 0.9 * (high - low)
    return {
        "episodes": 1000,
        "steps": 1_000_000,
        "return": {"mean": mean, "std": 0.1 * (high - low), "min": low, "max": top, "quantiles": {}},
        "length": {"mean": 1000.0, "min": 1000, "max": 1000},
    }


def _provenance(run: Run) -> dict[str, Any]:
    versions = {"torch": "0.0", "gymnasium": "0.0", "gymnasium-robotics": "0.0", "mujoco": "0.0"}
    return {
        "finished": f"2000-01-{1 + run.seed % 28:02d}T00:00:00+00:00",
        "machine": "invented",
        "device": "none",
        "versions": versions,
        "device_seconds": 3600.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--study", default="paper")
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--diverged", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    made = new_synthetic_project(
        given.folder, given.study, seed=given.seed, missing=given.missing, diverged=given.diverged
    )
    print(f"{len(made.scores)} invented runs, {len(made.missing)} left out, {len(made.diverged)} diverged")


if __name__ == "__main__":
    main()
