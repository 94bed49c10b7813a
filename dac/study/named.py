"""A run by what a user calls it: its path in the store, its fingerprint's beginning, or what it is of."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from dac.study.identity import Run
from dac.study.params import Params
from dac.study.plan import cells_of_study_and_task
from dac.system import paths
from dac.system.errors import UserError, closest

FORMS = "<task>/<label>-<fp>/seed-<k>, <fp>/<k>, or <task>/<variant>/<k>"
SHOWN = 8  # runs that a message lists


def run(params: Params, name: str) -> Run:
    """The run that a name means, of those that the studies of params.yaml plan.

    A fingerprint may be cut after four digits or more; without a seed the lowest is meant.

    Raises:
        UserError: none, or runs of several groups.
    """
    path = name.strip("/").removeprefix(f"{paths.RUNS}/")
    *what, last = path.split("/")
    seed = re.fullmatch(r"(?:seed-)?(\d+)", last) if what else None
    wanted = "/".join(what) if seed else path
    task = wanted.partition("/")[0]
    planned = _planned(params, [task] if task in params.tasks else list(params.tasks))
    found = [run for run, names in planned.items() if _means(wanted, run, names)]
    if seed:
        found = [run for run in found if run.seed == int(seed[1])]
    if not found:
        raise UserError(
            f"params.yaml: no study or run {name!r}; studies {closest(path, list(params.studies))} Runs are named "
            f"{FORMS}; `dac runs TASK` lists those of a task, {_task(params, wanted)}."
        )
    groups = list(dict.fromkeys(run.group for run in found))
    if len(groups) > 1:
        listed = "".join(f"\n  {group.task}/{group.name}" for group in groups[:SHOWN])
        more = f"\n  and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
        raise UserError(
            f"{name!r} names runs of {len(groups)} settings; give one of these, with its seed:{listed}{more}"
        )
    return min(found, key=lambda run: run.seed)


def _planned(params: Params, tasks: Iterable[str]) -> dict[Run, set[str]]:
    """The runs of some tasks in all studies, with the names that experiments give their variants."""
    found: dict[Run, set[str]] = {}
    for task in tasks:
        for name, study in params.studies.items():
            for cell in cells_of_study_and_task(params, name, task):
                for seed in study.seeds:
                    found.setdefault(Run(cell.group, seed), set()).add(cell.variant)
    return found


def _means(name: str, run: Run, variants: set[str]) -> bool:
    group = run.group
    if re.fullmatch(r"[0-9a-f]{4,}", name):
        return group.fingerprint.startswith(name)
    task, _, rest = name.partition("/")
    return task == group.task and rest in ("", group.name, group.label, group.fingerprint, *variants)


def _task(params: Params, wanted: str) -> str:
    """The task that a name may have meant, else where tasks are."""
    near = difflib.get_close_matches(wanted.partition("/")[0], list(params.tasks), n=1, cutoff=0.5)
    return f"such as {near[0]}" if near else "one of params.yaml"
