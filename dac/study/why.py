"""Why something would run: the difference between what params.yaml asks for and what the store has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dac.study import pages, store
from dac.study.identity import Evaluation, Group, Run
from dac.study.params import Params
from dac.study.plan import study_plan
from dac.study.records import run_record
from dac.system import paths


def explain_study(params: Params, study: str) -> list[str]:
    """One line for each thing that the study would run; a single line if there is nothing to do."""
    plan = study_plan(params, study)
    lines = [
        f"collect or fetch {dataset.id}: {problem}"
        for dataset in dict.fromkeys(run.group.dataset for run in plan.runs() if store.run_problem(run))
        if (problem := store.dataset_problem(dataset))
    ]
    lines += [f"train {run}: {reason}" for run in plan.runs() if (reason := explain_run(run))]
    for group, evaluations in plan.evaluations().items():
        for seed in plan.seeds:
            run = Run(group, seed)
            lacking = [evaluation for evaluation in evaluations if not store.has_evaluation(run, evaluation)]
            if lacking and not store.run_problem(run):
                counts = ", ".join(f"N_a {item.action_samples} × {item.episodes} episodes" for item in lacking)
                lines.append(f"evaluate {run}: {_evaluation_reason(run, lacking[0])} ({counts})")
    page = pages.problem(plan)
    if lines or page:
        lines.append(f"report {study}: {page or 'its runs change'}")
    return lines or [f"{study}: complete, nothing to do"]


def explain_run(run: Run) -> str | None:
    """Why a run is not complete: the settings that differ from its nearest relative in the store, or what is broken."""
    problem = store.run_problem(run)
    if problem != "missing":
        return problem
    identity = json.loads(run.group.identity)
    relatives = [_differences(found, identity) for found in _relatives(run.group, run.seed)]
    if relatives:
        return "new setting " + "; ".join(_shortest(relatives))
    if any(not store.run_problem(Run(run.group, seed)) for seed in _seeds(run.group)):
        return "missing: a new seed, or its files were deleted"
    return "missing: no run of this task and seed is in the store"


def _relatives(group: Group, seed: int) -> list[dict[str, Any]]:
    """Identities of the runs of this task and seed at other settings."""
    found = []
    for path in sorted((paths.RUNS / group.task).glob(f"*/seed-{seed}/run.json")):
        content = run_record(path.parent)
        if content and path.parent.parent.name != group.name:
            found.append(content["identity"])
    return found


def _shortest(differences: list[list[str]]) -> list[str]:
    return min(differences, key=len)


def _seeds(group: Group) -> list[int]:
    return [int(path.name.removeprefix("seed-")) for path in store.group_directory(group).glob("seed-*")]


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """`name: old → new` for every leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        nested = [_differences(old.get(key), new.get(key), f"{where}.{key}" if where else key) for key in keys]
        return [line for lines in nested for line in lines]
    if old == new:
        return []
    return [f"{where.removeprefix('settings.')}: {_show(old)} → {_show(new)}"]


def _show(value: Any) -> str:
    return "not set" if value is None else json.dumps(value)


def _evaluation_reason(run: Run, wanted: Evaluation) -> str:
    recorded = (run_record(store.run_directory(run)) or {}).get("evaluations", {})
    if wanted.fingerprint in recorded:
        return "its file is missing or has another size"
    others = [_differences(entry["settings"], wanted.identity) for entry in recorded.values()]
    return "new setting " + "; ".join(_shortest(others)) if others else "missing"


def list_runs(params: Params, verify: bool) -> list[dict[str, str]]:
    """Every run in the store: where it is, its state, its size, and the studies that use it.

    Args:
        verify: compare contents with the recorded sha256 (reads every file), not sizes alone.
    """
    users: dict[Path, list[str]] = {}
    runs: dict[Path, Run] = {}
    for study in params.studies:
        for planned in study_plan(params, study).runs():
            users.setdefault(store.run_directory(planned), []).append(study)
            runs[store.run_directory(planned)] = planned
    rows = []
    for path in sorted(paths.RUNS.glob("*/*/seed-*")):
        content = run_record(path) or {}
        rows.append(
            {
                "run": str(path.relative_to(paths.RUNS)),
                "state": _state(path, runs.get(path), content, verify),
                "evaluations": str(len(content.get("evaluations", {}))),
                "MB": f"{sum(file.stat().st_size for file in path.iterdir()) / 1e6:.1f}",
                "used by": ", ".join(users.get(path, [])) or "no study of params.yaml",
            }
        )
    return rows


def _state(path: Path, run: Run | None, content: dict[str, Any], verify: bool) -> str:
    """One word for what is there, or the problem; a run that no study plans is judged by its run.json alone."""
    problem = store.run_problem(run) if run else None if content else "incomplete: no run.json"
    if problem:
        return "incomplete: no run.json" if problem == "missing" else problem
    damaged = store.corrupt_files(path) if verify else []
    return f"corrupt: {', '.join(damaged)}" if damaged else str(content.get("status"))
