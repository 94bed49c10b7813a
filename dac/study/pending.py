"""What a study lacks: the jobs that Snakemake is asked for, each named by a marker file.

Snakemake is asked only for what the store lacks. While its DAG is built, the functions of `Pending` look at the
store and return the markers of the missing work; a marker is an empty file `work/todo/<session>/<step>/...` that the
job touches at its end. Nothing asks for work that is there, so no time stamp, trigger or metadata is ever consulted.
Every Snakemake has markers of its own, see `sessions`, so none is left of an earlier job of that name.

One `Pending` per process: its `Jobs` remember which pack each missing run went to, so that studies asked for together
train a shared run once.
"""

from __future__ import annotations

from collections.abc import Iterable

from dac.study import pages, sessions, store
from dac.study.identity import Group, Run
from dac.study.jobs import Job, Jobs, timing_jobs
from dac.study.params import Params
from dac.study.plan import StudyPlan, study_plan
from dac.system.errors import UserError


class Pending:
    """The missing work of any of the studies of params.yaml, as markers.

    Args:
        session: name of the session that they are for.
    """

    def __init__(self, params: Params, session: str) -> None:
        self.params = params
        self._session = session
        self._plans: dict[str, StudyPlan] = {}
        self._jobs = Jobs(params.compute.pack_size, missing=True)

    def plan(self, study: str) -> StudyPlan:
        """The plan of a study, resolved once."""
        if study not in self._plans:
            self._plans[study] = plan = study_plan(self.params, study)
            self._jobs.expect(cell.group.dataset for cell in plan.cells)
        return self._plans[study]

    def report(self, study: str) -> list[str]:
        """Marker of the study's page, if the page or anything that it is made of is missing."""
        plan = self.plan(study)
        if not self.runs(study) and pages.problem(plan) is None:
            return []
        return [self._marker(f"report/{study}/{plan.fingerprint}")]

    def runs(self, study: str) -> list[str]:
        """Markers of the trainings, evaluations and timings that a study lacks."""
        plan = self.plan(study)
        wanted = plan.evaluations()
        runs = {group: [Run(group, seed) for seed in plan.seeds] for group in wanted}
        found: list[Job] = [job for group in wanted for job in self._jobs.trainings(runs[group])]
        for group, evaluations in wanted.items():
            found += self._jobs.evaluations(runs[group], evaluations)
        found += timing_jobs(plan.timings(), missing=True)
        return self._markers(found)

    def datasets(self, study: str) -> list[str]:
        """Markers of the datasets that the study's missing trainings need and that are not there."""
        missing = [run for run in self.plan(study).runs() if store.run_problem(run)]
        return sorted({marker for run in missing for marker in self.dataset(run.group)})

    def dataset(self, group: Group) -> list[str]:
        """Marker of a group's dataset, if it is not there: the input of a training job."""
        dataset = group.dataset
        if dataset.kind.made == "given" and store.dataset_problem(dataset) is not None:
            raise UserError(
                f"params.yaml: tasks.{group.task}.dataset: there is no file {dataset.file}. "
                "Put it there or correct the path."
            )
        job = self._jobs.data(group)
        return self._markers([job]) if job else []

    def trainings(self, group: Group, seeds: Iterable[int]) -> list[str]:
        """Input of an evaluation job: markers of the packs that train the missing ones among a group's seeds."""
        packs = self._jobs.trainings(Run(group, seed) for seed in seeds)
        # The environment is needed also where nothing is left to train.
        return sorted({*self._markers(packs), *self.environment(group)})

    def environment(self, group: Group) -> list[str]:
        """Marker of the dataset that a group's environment is recovered from, if it is and that is not there."""
        return self.dataset(group) if group.env == group.dataset.id else []

    def _markers(self, jobs: Iterable[Job]) -> list[str]:
        return sorted({self._marker(job.marker) for job in jobs})

    def _marker(self, job: str) -> str:
        """Path of a job's marker."""
        return str(sessions.folder_of(self._session) / job)
