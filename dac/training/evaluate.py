"""Evaluation of trained runs: the kept policies, reloaded and rolled out with N_a action samples."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from dac.envs import normalised_score
from dac.study import store
from dac.study.catalog import BANDIT_ENV
from dac.study.identity import Evaluation, Group, Run
from dac.study.params import ComputeSettings
from dac.study.plan import kept_steps
from dac.system import devices, files, locks, paths, provenance
from dac.system.errors import UserError
from dac.system.progress import Bar
from dac.training.policies import load_policies
from dac.training.rollouts import Rollouts, evaluation_workers, worker_processes

LOG = logging.getLogger(__name__)

COLUMNS = ["task", "variant", "seed", "step", "action_samples", "episode", "return", "length", "score"]


def evaluate(
    group: Group, seeds: list[int], evaluations: list[Evaluation], compute: ComputeSettings, threads: int
) -> None:
    """Roll out the kept policies of a pack of runs; writes one Parquet file per run and evaluation.

    Evaluations that the store has already are left alone.

    Raises:
        UserError: a run is not complete, or one of its files is damaged; the device's memory does not hold one run.
    """
    torch.set_num_threads(threads)
    policies = len(evaluations) * len(kept_steps(group.settings))
    with (
        _locked(group, seeds, evaluations),
        devices.claimed(compute.device, compute.packs_per_gpu) as device,
        Bar(total=policies, unit="policy", disable=None) as bar,
    ):
        for evaluation in evaluations:
            runs = [run for seed in seeds if not store.has_evaluation(run := Run(group, seed), evaluation)]
            parts = [runs] if runs else []
            if runs:
                files.check_writable(store.group_directory(group))
            while parts:
                part = parts.pop(0)
                environments = len(part) * evaluation.episodes
                workers = evaluation_workers(compute.evaluation_workers, device, threads, environments)
                refused = _refused(part, evaluation, device, worker_processes(workers), bar)
                if refused is not None:
                    parts = [*_halves(part, refused), *parts]


def _refused(runs: list[Run], evaluation: Evaluation, device: torch.device, workers: int, bar: Bar) -> str | None:
    """Evaluate some runs; what was said where the device's memory does not hold them, None where it does."""
    try:
        _evaluate(runs, evaluation, device, workers, bar)
    except (RuntimeError, MemoryError) as error:
        refused = devices.out_of_memory(error)
        if refused is None:
            raise
        return refused
    return None


def _halves(runs: list[Run], refused: str) -> list[list[Run]]:
    """Runs that the device's memory does not hold together, in two parts.

    Raises:
        UserError: it is one run alone.
    """
    if len(runs) == 1:
        raise UserError(
            f"{runs[0]}: evaluating one run alone does not fit the device's memory ({refused}). Lower action_samples "
            "or episodes of `evaluation` in params.yaml, or set compute.device: cpu."
        )
    LOG.info("%d runs do not fit the device's memory; half of them at a time (%s)", len(runs), refused)
    return [runs[: len(runs) // 2], runs[len(runs) // 2 :]]


@contextlib.contextmanager
def _locked(group: Group, seeds: list[int], evaluations: list[Evaluation]) -> Iterator[None]:
    """Held while these evaluations are made, by one process at a time; another finds them made."""
    names = sorted(f"evaluate-{group.fingerprint}-{seed}-{item.fingerprint}" for seed in seeds for item in evaluations)
    with contextlib.ExitStack() as held:
        for name in names:
            held.enter_context(locks.lock(paths.LOCKS / name, LOG.info))
        yield


def _evaluate(runs: list[Run], evaluation: Evaluation, device: torch.device, workers: int, bar: Bar) -> None:
    group, seeds = runs[0].group, [run.seed for run in runs]
    started = time.monotonic()
    evaluated = {run: store.read_run(run)["files"] for run in runs}
    frames = []
    with contextlib.closing(Rollouts(group.env, len(runs), evaluation.episodes, device, workers)) as rollouts:
        for step in kept_steps(group.settings):
            policy = load_policies(group, runs, step, device)
            episodes = rollouts.evaluate(
                policy, seeds, "evaluate", step, evaluation.action_samples, evaluation.temperature
            )
            frames.append(episodes)
            bar.update()
            bar.evaluated(float(episodes["return"].mean()))
    episodes = pd.concat(frames, ignore_index=True)
    episodes["score"] = normalised_score(episodes["return"].to_numpy(), *evaluation.reference)
    episodes["task"], episodes["variant"] = group.task, group.label
    episodes["action_samples"] = evaluation.action_samples
    made = provenance.provenance(devices.name(device))
    for run in runs:
        # A bandit's episode is one action, and that action is what its report shows.
        columns = [*COLUMNS, "action"] if group.env == BANDIT_ENV else COLUMNS
        with _as_file(episodes.loc[episodes["seed"] == run.seed, columns]) as path:
            store.publish_evaluation(run, evaluation, path, evaluated[run], made)
        store.journal("evaluate", run=str(run), action_samples=evaluation.action_samples)
    mean = episodes["score"].mean()
    LOG.info(
        "%s %s N_a %d: score %.2f over %d episodes, %.1f s",
        group.task, group.name, evaluation.action_samples, mean, len(episodes), time.monotonic() - started,
    )  # fmt: skip


@contextlib.contextmanager
def _as_file(episodes: pd.DataFrame) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episodes.parquet"
        episodes.reset_index(drop=True).to_parquet(path, index=False)
        yield path
