"""The jobs that a study consists of: what makes its data, trainings of packs of runs, evaluations of packs.

`dac.study.pending` has Snakemake start them, each under its marker; `dac plan` estimates them under their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from dac.study import seed_names, store
from dac.study.identity import Dataset, Evaluation, Group, Run
from dac.study.plan import StudyPlan
from dac.study.timings import Timing, problem

# A marker's path carries the evaluations' fingerprints and the pack's seeds. Slurm's executor makes one file name of
# all parts, whose limit is 255 characters: with a task's name of 80 and a group's of 45, so many are left.
EVALUATIONS_PER_JOB = 6
SEEDS_NAME_LENGTH = 48

Item = TypeVar("Item")


@dataclass(frozen=True)
class Fetch:
    """Bring a dataset here; `task` is one that needs it."""

    task: str
    dataset: Dataset

    @property
    def name(self) -> str:
        """For people and for the jobs that come after."""
        return data_job(self.dataset)

    @property
    def marker(self) -> str:
        """Path of its marker under the folder of them all."""
        return f"fetch/{self.task}/{self.dataset.fingerprint}"


@dataclass(frozen=True)
class Collect:
    """Make the datasets of one collection in an environment: levels of a SAC training, or recorded policies' roll-outs.

    It trains until the last of the levels is taken.
    """

    datasets: tuple[Dataset, ...]

    @property
    def env(self) -> str:
        return self.datasets[0].name.rpartition("/")[0]

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(dataset.name.rpartition("/")[2] for dataset in self.datasets)

    @property
    def name(self) -> str:
        return data_job(self.datasets[0])

    @property
    def marker(self) -> str:
        return f"collect/{self.env}/{'-'.join(sorted(dataset.fingerprint for dataset in self.datasets))}"


@dataclass(frozen=True)
class Train:
    """Train a pack of a group's runs."""

    group: Group
    seeds: tuple[int, ...]

    @property
    def runs(self) -> int:
        return len(self.seeds)

    @property
    def name(self) -> str:
        return f"train {Run(self.group, self.seeds[0])}"

    @property
    def after(self) -> tuple[str, ...]:
        """Names of the jobs that it waits for, if there are such."""
        return (data_job(self.group.dataset),)

    @property
    def marker(self) -> str:
        return f"train/{self.group.task}/{self.group.name}/{seed_names.name(self.seeds)}"


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a pack of a group's runs, after the trainings that `after` names."""

    group: Group
    seeds: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    after: tuple[str, ...]

    @property
    def runs(self) -> int:
        return len(self.seeds)

    @property
    def name(self) -> str:
        return f"evaluate {Run(self.group, self.seeds[0])} {self.evaluations[0].fingerprint}"

    @property
    def marker(self) -> str:
        names = "-".join(evaluation.fingerprint for evaluation in self.evaluations)
        return f"evaluate/{self.group.task}/{self.group.name}/{seed_names.name(self.seeds)}/{names}"


@dataclass(frozen=True)
class Time:
    """Time gradient steps, with the machine for itself."""

    timing: Timing

    @property
    def name(self) -> str:
        return f"time {self.timing}"

    @property
    def marker(self) -> str:
        return f"time/{self.timing}"


Job = Fetch | Collect | Train | Evaluate | Time


def seeds_of(marker: str) -> list[int]:
    """The seeds of a training's or an evaluation's pack, by its marker."""
    return seed_names.parse(marker.split("/")[3])


def data_job(dataset: Dataset) -> str:
    """Name of the job that makes a dataset; those that are collected in one go share it."""
    return f"collect {dataset.collection}" if dataset.kind.made == "collected" else f"fetch {dataset.id}"


def jobs(plan: StudyPlan, runs: Iterable[Run], *, missing: bool) -> list[Job]:
    """The jobs of some of a study's runs, data first, but for the report.

    Args:
        missing: only what the store lacks; otherwise as if it were empty.
    """
    by_group: dict[Group, list[Run]] = {}
    for run in runs:
        by_group.setdefault(run.group, []).append(run)
    formed, wanted = Jobs(plan.params.compute.pack_size, missing=missing), plan.evaluations()
    trainings = [job for pack in by_group.values() for job in formed.trainings(pack)]
    evaluations = [job for group, pack in by_group.items() for job in formed.evaluations(pack, wanted[group])]
    formed.expect(job.group.dataset for job in trainings)
    data = dict.fromkeys(made for job in trainings if (made := formed.data(job.group)))
    return [*data, *trainings, *evaluations]


def timing_jobs(timings: Iterable[Timing], *, missing: bool) -> list[Time]:
    """The jobs that time steps, each once; `missing`: only where the store lacks the times."""
    return [Time(timing) for timing in dict.fromkeys(timings) if not missing or problem(timing)]


class Jobs:
    """Jobs as they are asked for: what one of them makes is left to it, also when others ask for that too.

    Args:
        pack_size: most runs of a job. missing: only what the store lacks; otherwise as if it were empty.
    """

    def __init__(self, pack_size: int, *, missing: bool) -> None:
        self._pack_size = pack_size
        self._missing = missing
        self._trainings: dict[Run, Train] = {}
        self._evaluations: dict[tuple[Run, Evaluation], Evaluate] = {}
        self._data: dict[Dataset, Fetch | Collect] = {}
        self._expected: dict[Dataset, None] = {}

    def trainings(self, runs: Iterable[Run]) -> list[Train]:
        """The jobs that train those of a group's runs which are missing."""
        runs = list(runs)
        lacking = [run for run in runs if run not in self._trainings and self._lacks_run(run)]
        for pack in packs(lacking, self._pack_size):
            job = Train(pack[0].group, tuple(run.seed for run in pack))
            self._trainings.update(dict.fromkeys(pack, job))
        return list(dict.fromkeys(self._trainings[run] for run in runs if run in self._trainings))

    def evaluations(self, runs: Iterable[Run], wanted: tuple[Evaluation, ...]) -> list[Evaluate]:
        """The jobs that make the missing ones of some evaluations of a group's runs, after `trainings` of them.

        Runs that lack the same evaluations share a job; one that is trained lacks all.
        """
        runs = list(runs)
        alike: dict[tuple[Evaluation, ...], list[Run]] = {}
        for run in runs:
            lacking = tuple(
                item for item in wanted if (run, item) not in self._evaluations and self._lacks_evaluation(run, item)
            )
            if lacking:
                alike.setdefault(lacking, []).append(run)
        for lacking, same in alike.items():
            for pack in packs(same, self._pack_size):
                for part in chunks(lacking, EVALUATIONS_PER_JOB):
                    self._form_evaluation(pack, part)
        keys = [(run, evaluation) for run in runs for evaluation in wanted]
        return list(dict.fromkeys(self._evaluations[key] for key in keys if key in self._evaluations))

    def _form_evaluation(self, pack: tuple[Run, ...], part: tuple[Evaluation, ...]) -> None:
        after = dict.fromkeys(self._trainings[run].name for run in pack if run in self._trainings)
        job = Evaluate(pack[0].group, tuple(run.seed for run in pack), part, tuple(after))
        self._evaluations.update({(run, evaluation): job for run in pack for evaluation in part})

    def expect(self, datasets: Iterable[Dataset]) -> None:
        """Say which datasets are going to be asked for: of these, those that one collection makes share a job."""
        self._expected.update(dict.fromkeys(datasets))

    def data(self, group: Group) -> Fetch | Collect | None:
        """The job that makes a group's dataset; None where that is there, or no job's to make.

        What is drawn comes when it is needed, and what is given is the user's to bring.
        """
        dataset = group.dataset
        if dataset.kind.made in ("drawn", "given") or not self._lacks_dataset(dataset):
            return None
        if dataset not in self._data:
            if dataset.kind.made == "collected":
                alike = self._collected_with(dataset)
                self._data.update(dict.fromkeys(alike, Collect(alike)))
            else:
                self._data[dataset] = Fetch(group.task, dataset)
        return self._data[dataset]

    def _collected_with(self, dataset: Dataset) -> tuple[Dataset, ...]:
        """The missing datasets that one SAC training, or the same recorded policies, make with this one."""
        return tuple(
            other
            for other in {**self._expected, dataset: None}
            if other.kind.made == "collected" and other.collection == dataset.collection and self._lacks_dataset(other)
        )

    def _lacks_run(self, run: Run) -> bool:
        return not self._missing or store.run_problem(run) is not None

    def _lacks_evaluation(self, run: Run, evaluation: Evaluation) -> bool:
        return not self._missing or run in self._trainings or not store.has_evaluation(run, evaluation)

    def _lacks_dataset(self, dataset: Dataset) -> bool:
        return not self._missing or store.dataset_problem(dataset) is not None


def chunks(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Consecutive tuples of at most `size` items."""
    items = tuple(items)
    return (items[start : start + size] for start in range(0, len(items), size))


def packs(runs: Iterable[Run], size: int) -> Iterator[tuple[Run, ...]]:
    """Consecutive tuples of at most `size` runs; fewer where the seeds would not fit a file name."""
    pack: list[Run] = []
    for run in runs:
        if len(pack) == size or (pack and len(seed_names.name(item.seed for item in [*pack, run])) > SEEDS_NAME_LENGTH):
            yield tuple(pack)
            pack = []
        pack.append(run)
    if pack:
        yield tuple(pack)
