"""What a study lacks: the jobs that Snakemake is asked for, each named by a marker file.

Snakemake is asked only for what the store lacks. While its DAG is built, the functions of `Pending` look at the
store and return the markers of the missing work; a marker is an empty file `work/todo/<step>/...` that the job
touches at its end. Nothing asks for work that is there, so no time stamp, trigger or metadata is ever consulted.

One `Pending` per process: it remembers which pack each missing run went to, so that studies asked for together
train a shared run once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from dac.study import seed_names, store
from dac.study.identity import Dataset, Evaluation, Group, Run
from dac.study.params import Params
from dac.study.plan import StudyPlan, study_plan
from dac.system.errors import UserError

TODO = Path("work/todo")

# A marker's path carries the evaluations' fingerprints and the pack's seeds. Slurm's executor makes one file name of
# all parts, whose limit is 255 characters: with a task's name of 80 and a group's of 45, so many are left.
EVALUATIONS_PER_JOB = 6
SEEDS_NAME_LENGTH = 48

Item = TypeVar("Item")


def chunks(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Consecutive tuples of at most `size` items."""
    items = tuple(items)
    return (items[start : start + size] for start in range(0, len(items), size))


def packs(runs: Iterable[Run], size: int) -> Iterator[tuple[Run, ...]]:
    """Consecutive tuples of at most `size` runs; fewer where the seeds would not fit a file name."""
    pack: list[Run] = []
    for run in runs:
        if len(pack) == size or (pack and len(_seeds_name([*pack, run])) > SEEDS_NAME_LENGTH):
            yield tuple(pack)
            pack = []
        pack.append(run)
    if pack:
        yield tuple(pack)


def _seeds_name(runs: Iterable[Run]) -> str:
    return seed_names.name(run.seed for run in runs)


class Pending:
    """The missing work of any of the studies of params.yaml, as markers."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self._plans: dict[str, StudyPlan] = {}
        self._train: dict[Run, str] = {}
        self._evaluate: dict[tuple[Run, Evaluation], str] = {}
        self._datasets: dict[Dataset, str] = {}
        self._fresh: set[str] = set()

    def plan(self, study: str) -> StudyPlan:
        """The plan of a study, resolved once."""
        if study not in self._plans:
            self._plans[study] = study_plan(self.params, study)
        return self._plans[study]

    def report(self, study: str) -> list[str]:
        """Marker of the study's page, if the page or anything that it is made of is missing."""
        plan = self.plan(study)
        if not self.runs(study) and store.page_problem(plan) is None:
            return []
        return [self._marker(f"report/{study}/{plan.fingerprint}")]

    def runs(self, study: str) -> list[str]:
        """Markers of the trainings and evaluations that a study lacks."""
        plan = self.plan(study)
        found = list(self._trainings(plan))
        for group, evaluations in plan.evaluations().items():
            found += self._evaluations(group, evaluations, plan.seeds)
        return sorted(set(found))

    def datasets(self, study: str) -> list[str]:
        """Markers of the datasets that the study's missing trainings need and that are not there."""
        missing = [run for run in self.plan(study).runs() if store.run_problem(run)]
        return sorted({marker for run in missing for marker in self.dataset(run.group)})

    def dataset(self, group: Group) -> list[str]:
        """Marker of a group's dataset, if it is not there: the input of a training job."""
        dataset = group.dataset
        if store.dataset_problem(dataset) is None:
            return []
        if dataset.source == "file":
            raise UserError(
                f"params.yaml: tasks.{group.task}.dataset: there is no file {dataset.file}. "
                "Put it there or correct the path."
            )
        if dataset not in self._datasets:
            if dataset.source == "collect":
                self._form_collection(dataset)
            else:
                self._datasets[dataset] = self._marker(f"fetch/{group.task}/{dataset.fingerprint}")
        return [self._datasets[dataset]]

    def _form_collection(self, dataset: Dataset) -> None:
        """One job for all missing datasets that the plans in hand take from one SAC training."""
        groups = {cell.group for plan in self._plans.values() for cell in plan.cells}
        alike = [
            other
            for other in {dataset, *(group.dataset for group in groups)}
            if other.source == "collect" and other.collection == dataset.collection and store.dataset_problem(other)
        ]
        names = "-".join(sorted(other.fingerprint for other in alike))
        env = dataset.name.rpartition("/")[0]
        marker = self._marker(f"collect/{env}/{names}")
        self._datasets.update(dict.fromkeys(alike, marker))

    def trainings(self, group: Group, seeds: Iterable[int]) -> list[str]:
        """Input of an evaluation job: markers of the packs that train the missing ones among a group's seeds."""
        # An environment that is recovered from a dataset needs it also where nothing is left to train.
        recovered = self.dataset(group) if group.env == group.dataset.id else []
        return sorted({*self._packs_of(group, seeds), *recovered})

    def _packs_of(self, group: Group, seeds: Iterable[int]) -> set[str]:
        runs = [Run(group, seed) for seed in seeds]
        self._form_packs(runs)
        return {self._train[run] for run in runs if run in self._train}

    def _trainings(self, plan: StudyPlan) -> Iterator[str]:
        for group in dict.fromkeys(cell.group for cell in plan.cells):
            yield from sorted(self._packs_of(group, plan.seeds))

    def _form_packs(self, runs: list[Run]) -> None:
        missing = [run for run in runs if run not in self._train and store.run_problem(run)]
        for pack in packs(missing, self.params.compute.pack_size):
            group = pack[0].group
            marker = self._marker(f"train/{group.task}/{group.name}/{_seeds_name(pack)}")
            self._train.update(dict.fromkeys(pack, marker))

    def _evaluations(self, group: Group, evaluations: tuple[Evaluation, ...], seeds: tuple[int, ...]) -> list[str]:
        """Markers of a group's missing evaluations: runs that lack the same ones share a job."""
        alike: dict[tuple[Evaluation, ...], list[Run]] = {}
        for seed in seeds:
            run = Run(group, seed)
            retrain = run in self._train
            lacking = tuple(
                evaluation
                for evaluation in evaluations
                if (run, evaluation) not in self._evaluate and (retrain or not store.has_evaluation(run, evaluation))
            )
            if lacking:
                alike.setdefault(lacking, []).append(run)
        for lacking, runs in alike.items():
            for pack in packs(runs, self.params.compute.pack_size):
                for part in chunks(lacking, EVALUATIONS_PER_JOB):
                    self._form_evaluation(group, pack, part)
        wanted = ((Run(group, seed), evaluation) for seed in seeds for evaluation in evaluations)
        return [self._evaluate[key] for key in wanted if key in self._evaluate]

    def _form_evaluation(self, group: Group, pack: tuple[Run, ...], part: tuple[Evaluation, ...]) -> None:
        names = "-".join(evaluation.fingerprint for evaluation in part)
        marker = self._marker(f"evaluate/{group.task}/{group.name}/{_seeds_name(pack)}/{names}")
        self._evaluate.update({(run, evaluation): marker for run in pack for evaluation in part})

    def _marker(self, job: str) -> str:
        """Path of a job's marker; one left by an earlier job of that name is removed, once, so that the job runs."""
        path = TODO / job
        if job not in self._fresh:
            self._fresh.add(job)
            path.unlink(missing_ok=True)
        return str(path)
