"""The jobs that a study consists of, as `dac.study.pending` has Snakemake start them, for estimates.

`dac.study.pending` names jobs by markers and removes stale ones while it looks; here nothing is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dac.study import store
from dac.study.identity import Dataset, Evaluation, Group, Run
from dac.study.pending import EVALUATIONS_PER_JOB, chunks, packs
from dac.study.plan import StudyPlan


@dataclass(frozen=True)
class Fetch:
    """Bring a dataset here."""

    name: str
    dataset: Dataset


@dataclass(frozen=True)
class Collect:
    """Train SAC in an environment until the last of some levels is taken, or roll out recorded policies for them."""

    name: str
    env: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Train:
    """Train a pack of a group's runs."""

    name: str
    group: Group
    runs: int
    after: tuple[str, ...]


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a pack of a group's runs."""

    name: str
    group: Group
    runs: int
    evaluations: tuple[Evaluation, ...]
    after: tuple[str, ...]


Job = Fetch | Collect | Train | Evaluate


def jobs(plan: StudyPlan, runs: Iterable[Run], *, missing: bool) -> list[Job]:
    """The jobs of some of a study's runs, data first, but for the report.

    Args:
        missing: only what the store lacks; otherwise as if it were empty.
    """
    by_group: dict[Group, list[Run]] = {}
    for run in runs:
        by_group.setdefault(run.group, []).append(run)
    trainings = list(_trainings(plan, by_group, missing))
    evaluations = list(_evaluations(plan, by_group, trainings, missing))
    data = _data([job.group.dataset for job, _ in trainings], missing)
    return [*data, *(job for job, _ in trainings), *evaluations]


def data_job(dataset: Dataset) -> str:
    """Name of the job that makes a dataset; those that are collected in one go share it."""
    return f"collect {dataset.collection}" if dataset.source == "collect" else f"fetch {dataset.id}"


def _data(datasets: Sequence[Dataset], missing: bool) -> Iterator[Job]:
    # A bandit's data are drawn when they are needed, and a file is there or the study cannot start.
    made = [item for item in dict.fromkeys(datasets) if item.source not in ("bandit", "file")]
    lacking = [item for item in made if not missing or store.dataset_problem(item) is not None]
    alike: dict[str, list[Dataset]] = {}
    for dataset in lacking:
        alike.setdefault(data_job(dataset), []).append(dataset)
    for name, shared in alike.items():
        if shared[0].source == "collect":
            env = shared[0].name.rpartition("/")[0]
            yield Collect(name, env, tuple(item.name.rpartition("/")[2] for item in shared))
        else:
            yield Fetch(name, shared[0])


def _trainings(
    plan: StudyPlan, by_group: dict[Group, list[Run]], missing: bool
) -> Iterator[tuple[Train, tuple[Run, ...]]]:
    for group, runs in by_group.items():
        wanted = [run for run in runs if not missing or store.run_problem(run) is not None]
        for pack in packs(wanted, plan.params.compute.pack_size):
            yield Train(f"train {pack[0]}", group, len(pack), (data_job(group.dataset),)), pack


def _evaluations(
    plan: StudyPlan,
    by_group: dict[Group, list[Run]],
    trainings: Sequence[tuple[Train, tuple[Run, ...]]],
    missing: bool,
) -> Iterator[Evaluate]:
    trained = {run: job.name for job, pack in trainings for run in pack}
    wanted = plan.evaluations()
    for group, runs in by_group.items():
        alike: dict[tuple[Evaluation, ...], list[Run]] = {}
        for run in runs:
            lacking = tuple(
                item for item in wanted[group] if run in trained or not missing or not store.has_evaluation(run, item)
            )
            if lacking:
                alike.setdefault(lacking, []).append(run)
        for lacking, members in alike.items():
            for pack in packs(members, plan.params.compute.pack_size):
                after = tuple(dict.fromkeys(trained[run] for run in pack if run in trained))
                for part in chunks(lacking, EVALUATIONS_PER_JOB):
                    name = f"evaluate {pack[0]} {part[0].fingerprint}"
                    yield Evaluate(name, group, len(pack), part, after)
