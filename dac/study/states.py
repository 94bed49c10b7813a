"""How far runs are: from the store, the states in work/, what running jobs tell of themselves, and the jobs' logs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dac.study import job_logs, store
from dac.study.identity import Evaluation, Run
from dac.study.jobs import seeds_of
from dac.study.plan import StudyPlan
from dac.study.records import run_record
from dac.system import progress
from dac.system.progress import Progress

# done: trained and evaluated. trained: evaluations are missing. interrupted: a part of its training is saved.
Kind = Literal["done", "diverged", "trained", "evaluating", "training", "interrupted", "failed", "waiting"]
Jobs = dict[tuple[str, str, int], Progress]  # by task, name of the group, and seed

# Name of a saved state: its step, and the first digits of its sha256 (`dac.training.checkpoint`).
STATE_NAME = re.compile(r"state-(\d+)-([0-9a-f]{16})\.safetensors")


@dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        step: gradient steps that are made; of a training that runs as it last told, else as saved or published.
        job: what the job that works on it last told. log, error: of a failed one, its log and the error there.
    """

    run: Run
    kind: Kind
    step: int
    job: Progress | None = None
    log: Path | None = None
    error: str = ""


def of_study(plan: StudyPlan) -> dict[Run, State]:
    """The state of each of a study's runs, at this moment."""
    jobs, wanted = running_jobs(), plan.evaluations()
    return {run: state(run, wanted[run.group], jobs) for run in plan.runs()}


def running_jobs() -> Jobs:
    """What the jobs that run here last told, by each of the runs that they work on."""
    found = {}
    for job in progress.running(Path()):
        if job.job:
            _, task, group, *_ = job.job.split("/")
            found.update({(task, group, seed): job for seed in seeds_of(job.job)})
    return found


def state(run: Run, evaluations: Iterable[Evaluation], jobs: Jobs) -> State:
    """How far one run is.

    Args:
        evaluations: that are asked of it.
    """
    job = jobs.get((run.group.task, run.group.name, run.seed))
    if store.run_problem(run) is None:
        content = run_record(store.run_directory(run)) or {}
        step = int(content.get("steps", run.group.settings.steps))
        if not all(store.has_evaluation(run, evaluation) for evaluation in evaluations):
            return _unfinished(run, step, "evaluate", job) or State(run, "trained", step)
        return State(run, "diverged" if content.get("status") == "diverged" else "done", step)
    step = saved_step(run)
    return _unfinished(run, step, "train", job) or State(run, "interrupted" if step else "waiting", step)


def saved_step(run: Run) -> int:
    """The step of the newest saved state of a run in training; 0 if there is none."""
    return max(saved(run), default=0)


def saved(run: Run) -> dict[int, Path]:
    """The saved states of a run in training, by step."""
    paths = store.work_directory(run).glob("state-*.safetensors")
    return {int(match[1]): path for path in paths if (match := STATE_NAME.fullmatch(path.name))}


def _unfinished(run: Run, step: int, what: str, job: Progress | None) -> State | None:
    """The state of a run that is being worked on, or whose job failed; None if neither."""
    if job is not None and job.job.startswith(f"{what}/"):
        if what == "train":
            return State(run, "training", max(step, job.done), job)
        return State(run, "evaluating", step, job)
    log = job_logs.of_run(run, what)
    error = job_logs.failure(log) if log else None
    return None if error is None else State(run, "failed", step, log=log, error=error)
