"""What the store holds: run by run, and summed up by task."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dac.study import store
from dac.study.identity import Run
from dac.study.labels import told_apart
from dac.study.params import Params
from dac.study.plan import study_plan
from dac.study.records import run_record
from dac.system import paths

DAMAGED = ("corrupt", "incomplete")


@dataclass(frozen=True)
class Listed:
    """A run in the store.

    Attributes:
        name: `<task>/<label>-<fp>/seed-<k>`.
        state: complete, diverged, or a problem that begins with one of DAMAGED.
        varied: the settings that its label leaves out, of a run that params.yaml plans.
        evaluations: number of them. size: in bytes. studies: those of params.yaml that use it.
    """

    name: str
    varied: str
    state: str
    evaluations: int
    size: int
    studies: tuple[str, ...]

    @property
    def task(self) -> str:
        return self.name.partition("/")[0]

    @property
    def damaged(self) -> bool:
        return self.state.startswith(DAMAGED)

    @property
    def row(self) -> dict[str, str]:
        """For people."""
        return {
            "run": self.name,
            "varied": self.varied,
            "state": self.state,
            "evaluations": str(self.evaluations),
            "MB": _megabytes(self.size),
            "used by": _users(self.studies),
        }


def runs(params: Params, tasks: Collection[str] = ()) -> list[Listed]:
    """The runs in the store, by name, judged by sizes alone.

    Args:
        tasks: list only those of these tasks; all if there are none.
    """
    users: dict[Path, list[str]] = {}
    planned: dict[Path, Run] = {}
    for study in params.studies:
        for run in study_plan(params, study).runs():
            users.setdefault(store.run_directory(run), []).append(study)
            planned[store.run_directory(run)] = run
    varied = told_apart(params, (run.group.task for run in planned.values()))
    found = []
    for path in sorted(paths.RUNS.glob("*/*/seed-*")):
        if tasks and path.parent.parent.name not in tasks:
            continue
        content = run_record(path) or {}
        known = planned.get(path)
        state, said = _state(known, content), varied[known.group] if known else ""
        size = sum(file.stat().st_size for file in path.iterdir())
        evaluations = len(content.get("evaluations", {}))
        name, studies = str(path.relative_to(paths.RUNS)), tuple(users.get(path, []))
        found.append(Listed(name, said, state, evaluations, size, studies))
    return found


def _state(run: Run | None, content: dict[str, Any]) -> str:
    """One word for what is there, or the problem; a run that no study plans is judged by its run.json alone."""
    problem = store.run_problem(run) if run else None if content else "incomplete: no run.json"
    if problem:
        return "incomplete: no run.json" if problem == "missing" else problem
    return str(content.get("status"))


def summary(listed: list[Listed]) -> list[dict[str, str]]:
    """A row for each task, and their total."""
    by_task: dict[str, list[Listed]] = {}
    for run in listed:
        by_task.setdefault(run.task, []).append(run)
    return [_summed(name, of_task) for name, of_task in {**by_task, "total": listed}.items()]


def _summed(name: str, listed: list[Listed]) -> dict[str, str]:
    return {
        "task": name,
        "settings": f"{len({run.name.rpartition('/')[0] for run in listed}):,}",
        "runs": f"{len(listed):,}",
        "diverged": f"{sum(run.state == 'diverged' for run in listed):,}",
        "damaged": f"{sum(run.damaged for run in listed):,}",
        "evaluations": f"{sum(run.evaluations for run in listed):,}",
        "MB": _megabytes(sum(run.size for run in listed)),
        "unused": f"{sum(not run.studies for run in listed):,}",
        "used by": _users(tuple(dict.fromkeys(study for run in listed for study in run.studies))),
    }


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


def _users(studies: tuple[str, ...]) -> str:
    return ", ".join(studies) or "no study of params.yaml"
