"""From params.yaml to runs: which runs, evaluations and datasets a study consists of, and their fingerprints.

A *run* is (task, settings, seed). Everything that can change its numbers is in its fingerprint, and the fingerprint
is in its path, so that two experiments or studies share the runs they have in common, and a changed setting is a
different folder. This module imports no torch and touches no network: the Snakefile imports it at every start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dac.study import resolve, timings, versions
from dac.study.identity import Evaluation, Group, Run, fingerprint
from dac.study.params import EvaluationSettings, ExperimentSettings, Params, TrainingSettings
from dac.study.resolve import expanded, layers, variants
from dac.study.sources import SOURCES
from dac.study.task_data import dataset_of, references
from dac.study.timings import Timing, TimingCell
from dac.system.errors import UserError, closest


@dataclass(frozen=True)
class Cell:
    """One task × variant of an experiment: the unit of its tables."""

    experiment: str
    task: str
    variant: str
    group: Group
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True)
class StudyPlan:
    """All that a study consists of, in the order of params.yaml."""

    name: str
    params: Params
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    timed: tuple[TimingCell, ...] = ()

    def runs(self) -> list[Run]:
        """Every run of the study, each once."""
        groups = dict.fromkeys(cell.group for cell in self.cells)
        return [Run(group, seed) for group in groups for seed in self.seeds]

    def evaluations(self) -> dict[Group, tuple[Evaluation, ...]]:
        """The evaluations that the study asks of each group, over all its experiments."""
        wanted: dict[Group, dict[Evaluation, None]] = {}
        for cell in self.cells:
            wanted.setdefault(cell.group, {}).update(dict.fromkeys(cell.evaluations))
        return {group: tuple(evaluations) for group, evaluations in wanted.items()}

    def timings(self) -> list[Timing]:
        """Every timing of the study, each once."""
        return list(dict.fromkeys(cell.timing for cell in self.timed))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the study's page is made of, contents of the inputs aside."""
        study = self.params.studies[self.name]
        experiments = {name: self.params.experiments[name] for name in study.experiments}
        timed = [[cell.experiment, cell.task, cell.variant, cell.value, cell.timing.name] for cell in self.timed]
        shown = {"title", "description", "vary", "show", "published"}
        return {
            "version": versions.REPORT,
            "study": {"name": self.name, "description": study.description, "seeds": list(self.seeds)},
            "report": self.params.report.model_dump(mode="json"),
            "experiments": {
                name: item.model_dump(mode="json", include=shown | ({"claims"} if item.claims else set()))
                for name, item in experiments.items()
            },
            "cells": [
                [cell.experiment, cell.task, cell.variant, cell.group.name]
                + [evaluation.fingerprint for evaluation in cell.evaluations]
                for cell in self.cells
            ],
            "datasets": {cell.task: cell.group.dataset.id for cell in self.cells},
            "references": {cell.task: list(references(self.params.tasks[cell.task], cell.task)) for cell in self.cells},
            **({"timings": timed} if timed else {}),
        }

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.identity)


def evaluation_steps(steps: int, interval: int) -> list[int]:
    """Steps at which policies are evaluated: 0, every multiple of the interval, and the end."""
    return sorted({*range(0, steps, interval), steps})


def kept_steps(settings: TrainingSettings) -> list[int]:
    """Steps whose policies are kept: the last evaluations'."""
    return evaluation_steps(settings.steps, settings.eval_interval)[-settings.kept_policies :]


def study_plan(params: Params, name: str) -> StudyPlan:
    """Resolve a study into its cells.

    Raises:
        UserError: no study of that name, or settings that do not go together.
    """
    if name not in params.studies:
        raise UserError(f"params.yaml: no study {name!r}; {closest(name, list(params.studies))}")
    study = params.studies[name]
    cells = tuple(
        cell
        for experiment in study.experiments
        for cell in _cells(params, name, experiment, params.experiments[experiment].tasks)
    )
    _check_window(params, name, cells)
    _check_bandits(params, name, cells)
    _check_claims(params, name, cells)
    timed = (cell for experiment in study.experiments for cell in timings.cells(params, name, experiment))
    return StudyPlan(name, params, cells, study.seeds, tuple(timed))


def _check_window(params: Params, study: str, cells: tuple[Cell, ...]) -> None:
    for cell in cells:
        if set(params.experiments[cell.experiment].show) == {"bandit"}:
            continue  # measured by drawn actions, not by the last evaluations
        settings = cell.group.settings
        evaluations = len(evaluation_steps(settings.steps, settings.eval_interval))
        asked = {"report.window": params.report.window, "kept_policies": settings.kept_policies}
        more = " and ".join(f"{name} ({count})" for name, count in asked.items() if count > evaluations)
        if more:
            raise UserError(
                f"params.yaml: studies.{study}: {cell.task} is evaluated {evaluations} times in {settings.steps} "
                f"steps, fewer than {more}; lower eval_interval, or that number."
            )


def _check_bandits(params: Params, study: str, cells: tuple[Cell, ...]) -> None:
    for cell in cells:
        if "bandit" not in params.experiments[cell.experiment].show:
            continue
        where = f"params.yaml: experiments.{cell.experiment} shows bandit"
        if not cell.group.dataset.kind.behaviour_sets:
            allowed = ", ".join(f"{name}:" for name, source in SOURCES.items() if source.behaviour_sets)
            raise UserError(
                f"{where}, but its task {cell.task} has the dataset {cell.group.dataset.id}; allowed: {allowed}"
            )
        if not any(evaluation.draws_one for evaluation in cell.evaluations):
            raise UserError(
                f"{where}, which draws one action sample; in studies.{study} its evaluation.action_samples lacks 1. "
                "Add it."
            )


def _check_claims(params: Params, study: str, cells: tuple[Cell, ...]) -> None:
    evaluated = {cell.experiment: [item.action_samples for item in cell.evaluations] for cell in cells}
    for name, counts in evaluated.items():
        for index, claim in enumerate(params.experiments[name].claims):
            for side in (claim.higher, claim.lower):
                asked = None if side == "data" else side.action_samples
                if asked is not None and asked not in counts:
                    raise UserError(
                        f"params.yaml: experiments.{name}.claims[{index}]: {asked} action samples, but studies.{study} "
                        f"evaluates {', '.join(map(str, counts))}. Add {asked} to evaluation.action_samples there, or "
                        "change the claim."
                    )


def _cells(params: Params, study: str, name: str, tasks: Iterable[str]) -> Iterator[Cell]:
    """The cells of some of an experiment's tasks; none, if it times steps instead of training runs."""
    experiment = params.experiments[name]
    if experiment.times_steps:
        return
    for task_name in tasks:
        task = params.tasks[task_name]
        dataset = dataset_of(params, task_name)
        evaluations = _evaluations(params, study, experiment, references(task, task_name))
        for variant, overrides in variants(experiment).items():
            group = resolve.group(params, study, name, task_name, dataset, overrides)
            yield Cell(name, task_name, variant, group, evaluations)


def _evaluations(
    params: Params, study: str, experiment: ExperimentSettings, reference: tuple[float, float]
) -> tuple[Evaluation, ...]:
    chosen = params.evaluation.model_dump()
    for layer in (params.studies[study].evaluation, experiment.evaluation):
        chosen.update(layer.model_dump(exclude_none=True))
    settings = EvaluationSettings(**chosen)
    counts = dict.fromkeys(settings.action_samples)
    return tuple(Evaluation(count, settings.episodes, reference, settings.temperature) for count in counts)


def setting_place(params: Params, study: str, cell: Cell, key: str) -> str:
    """Where params.yaml sets what a cell has of a setting of the agent or the training."""
    found = f"{'agent' if hasattr(params.agent, key) else 'training'}.{key}"
    for place, settings in layers(params, study, cell.experiment, cell.task).items():
        found = f"{place}.{key}" if key in settings else found
    experiment = params.experiments[cell.experiment]
    if key in expanded(params, variants(experiment)[cell.variant]):
        variant = "vary" if experiment.vary else f"variants.{cell.variant}"
        found = f"experiments.{cell.experiment}.{variant}.{key}"
    return found


def check_task(params: Params, task: str) -> None:
    """Check that params.yaml has a task.

    Raises:
        UserError: it has none of this name.
    """
    if task not in params.tasks:
        raise UserError(f"params.yaml: no task {task!r}; {closest(task, list(params.tasks))}")


def find_group(params: Params, task: str, name: str) -> Group:
    """The group that a job was started for, looked up in params.yaml as it is now.

    Raises:
        UserError: params.yaml has no such task, or no longer describes the group: it was edited after the planning.
    """
    check_task(params, task)
    for cell in cells_of_task(params, task):
        if cell.group.name == name:
            return cell.group
    raise UserError(
        f"params.yaml (or dac/study/versions.py) changed since this job was planned: it no longer describes "
        f"{task}/{name}. Nothing was written. Let the other jobs end, then start again: the new plan is used."
    )


def runs_of_task(params: Params, task: str) -> Iterator[Run]:
    """The runs of one task in every study, whatever is wrong with other tasks' data."""
    for name, study in params.studies.items():
        for experiment in study.experiments:
            if task in params.experiments[experiment].tasks:
                for cell in _cells(params, name, experiment, [task]):
                    yield from (Run(cell.group, seed) for seed in study.seeds)


def find_evaluations(params: Params, group: Group, wanted: list[str]) -> list[Evaluation]:
    """The evaluations of a group by fingerprint, looked up like `find_group`."""
    cells = (cell for cell in cells_of_task(params, group.task) if cell.group == group)
    known = {evaluation.fingerprint: evaluation for cell in cells for evaluation in cell.evaluations}
    gone = [name for name in wanted if name not in known]
    if gone:
        raise UserError(
            f"params.yaml changed since this job was planned: it no longer asks for evaluation {', '.join(gone)} of "
            f"{group.task}/{group.name}. Nothing was written. Start again: the new plan is used."
        )
    return [known[name] for name in wanted]


def cells_of_task(params: Params, task: str) -> Iterator[Cell]:
    """The cells of one task in every study: a job depends on no other task, whose data may be missing, say."""
    for study in params.studies:
        yield from cells_of_study_and_task(params, study, task)


def cells_of_study_and_task(params: Params, study: str, task: str) -> Iterator[Cell]:
    """The cells of one task in one study, as `cells_of_task`."""
    for experiment in params.studies[study].experiments:
        tasks = [other for other in params.experiments[experiment].tasks if other == task]
        yield from _cells(params, study, experiment, tasks)
