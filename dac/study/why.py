"""Why something would run: the difference between what params.yaml asks for and what the store has."""

from __future__ import annotations

import json
from typing import Any

from dac.study import pages, plan, resolve, seed_names, store, timings
from dac.study.identity import Evaluation, Group, Run
from dac.study.labels import told_apart
from dac.study.params import Params
from dac.study.plan import StudyPlan
from dac.study.records import run_record
from dac.study.sources import SOURCES
from dac.study.states import saved_step
from dac.study.switched_off import switched_off
from dac.system import paths

UNTRAINED = "untrained"
SHOWN_DATASETS = 4
SHOWN_DIGITS = 12  # of a sha256


def explain_study(params: Params, study: str) -> list[str]:
    """A line for all that the study would run for one reason; a single line if there is nothing to do."""
    asked, reasons = plan.study_plan(params, study), Reasons(params)
    lines = _data(asked)
    trainings = {run: reason for run in asked.runs() if (reason := reasons.of(run))}
    evaluations = _evaluations(asked)
    varied = told_apart(params, (run.group.task for run in (*trainings, *evaluations)))
    lines += [*_grouped("train", trainings, varied), *_grouped("evaluate", evaluations, varied)]
    lines += [
        f"time {cell.timing} ({cell.variant} at {cell.value:g}): {problem}"
        for cell in asked.timed
        if (problem := timings.problem(cell.timing))
    ]
    page = pages.problem(asked)
    if lines or page:
        lines.append(f"report {study}: {page or 'its runs change'}")
    return lines or [f"{study}: complete, nothing to do"]


def _data(asked: StudyPlan) -> list[str]:
    """A line for each dataset that trainings need and that is not here; for a whole source where there are many."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for dataset in dict.fromkeys(run.group.dataset for run in asked.runs() if store.run_problem(run)):
        if problem := store.dataset_problem(dataset):
            lacking.setdefault((dataset.source, problem), []).append(dataset.id)
    lines = []
    for (source, problem), names in lacking.items():
        verb = "collect" if SOURCES[source].made == "collected" else "fetch"
        listed = names if len(names) <= SHOWN_DATASETS else [f"{len(names)} datasets of {source}"]
        lines += [f"{verb} {name}: {problem}" for name in listed]
    return lines


def _grouped(verb: str, reasons: dict[Run, str], varied: dict[Group, str]) -> list[str]:
    """A line for the seeds of a group that share a reason; for a whole task, of runs that are merely untrained.

    Args:
        varied: what a group's label leaves out.
    """
    lines: dict[tuple[str, str], list[Run]] = {}
    for run, reason in reasons.items():
        name = run.group.task if reason == UNTRAINED else f"{run.group.task}/{run.group.name}"
        lines.setdefault((name, reason), []).append(run)
    found = []
    for (name, reason), runs in lines.items():
        groups = list(dict.fromkeys(run.group for run in runs))
        if len(groups) > 1:
            found.append(f"{verb} {name}, {len(runs)} runs of {len(groups)} settings: {reason}")
        else:
            (group,), seeds = groups, seed_names.name(run.seed for run in runs)
            beside = f" ({varied[group]})" if varied[group] else ""
            found.append(f"{verb} {group.task}/{group.name}{beside}, {_seeds(runs, seeds)}: {reason}")
    return found


def _seeds(runs: list[Run], name: str) -> str:
    return f"seed {name}" if len(runs) == 1 else f"seeds {name}"


class Reasons:
    """Why runs are not complete. What the store has of a task, and what the studies plan of it, is read once."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._recorded: dict[str, list[tuple[bool, dict[str, Any]]]] = {}

    def of(self, run: Run) -> str | None:
        """Why a run is not complete, None if it is: what is broken, what is saved of it, or what was changed.

        A setting was changed where the store has runs that no study plans any more, and the nearest of these is as near
        as any: by the number of settings that differ, those left out that others switch off. Else the run is merely
        untrained.
        """
        problem = store.run_problem(run)
        if problem != "missing":
            return problem
        step = saved_step(run)
        if step:
            return f"interrupted at step {step:,} of {run.group.settings.steps:,}, goes on from there"
        identity = json.loads(run.group.identity)
        near = [(differences(recorded, identity), planned) for planned, recorded in self._of_task(run.group.task)]
        # Of equally near ones one that is no longer planned.
        changes, planned = min(near, key=lambda found: (len(found[0]), found[1]), default=([], True))
        return UNTRAINED if planned or not changes else "new setting " + "; ".join(changes)

    def _of_task(self, task: str) -> list[tuple[bool, dict[str, Any]]]:
        """Whether it is still planned, and its identity, of each group of a task in the store."""
        if task not in self._recorded:
            names = {run.group.name for run in plan.runs_of_task(self._params, task)}
            found = {}
            for path in sorted((paths.RUNS / task).glob("*/seed-*/run.json")):
                content = run_record(path.parent)
                if content:
                    group = path.parent.parent.name
                    found[group] = group in names, content["identity"]
            self._recorded[task] = list(found.values())
        return self._recorded[task]


# Differences


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`name: old → new` for all in which two identities of runs differ, but for settings that one of them has off."""
    off = _off(old) | _off(new)
    old_settings, new_settings = _settings(old, off), _settings(new, off)
    return _changes({**old, "settings": old_settings}, {**new, "settings": new_settings})


def _off(identity: dict[str, Any]) -> set[str]:
    source = SOURCES.get(identity["dataset"].get("source", ""))
    return switched_off(identity["settings"], one_step=source is not None and source.one_step)


def _settings(identity: dict[str, Any], off: set[str]) -> dict[str, Any]:
    return {key: value for key, value in {**resolve.NEUTRAL_SETTINGS, **identity["settings"]}.items() if key not in off}


def _changes(old: Any, new: Any, where: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        nested = [_changes(old.get(key), new.get(key), f"{where}.{key}" if where else key) for key in keys]
        return [line for lines in nested for line in lines]
    if old == new:
        return []
    return [f"{where.removeprefix('settings.')}: {_show(old)} → {_show(new)}"]


def _show(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        return f"{value[:SHOWN_DIGITS]}…"
    return "not set" if value is None else json.dumps(value)


# Evaluations


def _evaluations(asked: StudyPlan) -> dict[Run, str]:
    """Why runs that are trained lack evaluations."""
    reasons = {}
    for group, evaluations in asked.evaluations().items():
        for seed in asked.seeds:
            run = Run(group, seed)
            lacking = [evaluation for evaluation in evaluations if not store.has_evaluation(run, evaluation)]
            if lacking and not store.run_problem(run):
                counts = ", ".join(f"N_a {item.action_samples} × {item.episodes} episodes" for item in lacking)
                reasons[run] = f"{_evaluation_reason(run, lacking[0])} ({counts})"
    return reasons


def _evaluation_reason(run: Run, wanted: Evaluation) -> str:
    recorded = (run_record(store.run_directory(run)) or {}).get("evaluations", {})
    if wanted.fingerprint in recorded:
        return "its file is missing or has another size"
    others: list[list[str]] = [_changes(entry["settings"], wanted.identity) for entry in recorded.values()]
    return "new setting " + "; ".join(sorted(others, key=len)[0]) if others else "missing"
