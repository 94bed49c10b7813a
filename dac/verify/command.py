"""`dac verify [STUDY]`: what is looked at, what is told of it, and the commands that mend it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dac.study import store
from dac.study.identity import Dataset, Run
from dac.study.params import Params
from dac.study.plan import study_plan
from dac.study.task_data import dataset_of
from dac.system import paths
from dac.system.errors import UserError, closest
from dac.system.progress import Bar
from dac.verify import data, results, states
from dac.verify.findings import Finding, Looked, Recorded


@dataclass
class Scope:
    """What is looked at.

    Attributes:
        study: the one that was asked for; None: everything that is there.
        runs: folders of the store, each with a study that plans the run, if one does. timings: the same of timings.
        states: those of runs under work/.
        datasets: those of params.yaml, each with a task on it. pages: each with whether params.yaml has the study.
        notes: sentences on what could not be told.
    """

    study: str | None
    runs: dict[Path, str | None] = field(default_factory=dict)
    timings: dict[Path, str | None] = field(default_factory=dict)
    states: dict[Path, str | None] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    datasets: dict[Dataset, str] = field(default_factory=dict)
    pages: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def verify(params: Params, study: str | None) -> tuple[list[str], list[Finding]]:
    """Compare what is recorded with what is there.

    Args:
        study: whose runs, states, data and page are looked at; None: all that there are.

    Returns:
        lines to print, and what was found.

    Raises:
        UserError: params.yaml has no such study.
    """
    if study is not None and study not in params.studies:
        raise UserError(f"params.yaml: no study {study!r}; {closest(study, list(params.studies))}")
    scope = _scope(params, study)
    items = list(_looked(params, scope))
    compared = [item for item in items if isinstance(item, Recorded)]
    found = [item for item in items if isinstance(item, Finding)]
    size = sum(item.size for item in compared)
    with Bar(total=size, desc="verify", unit="B", unit_scale=True, disable=None) as bar:
        for item in compared:
            if finding := item.compare():
                found.append(finding)
            bar.update(item.size)
    found.sort(key=lambda finding: finding.path)
    counts = {state: sum(finding.state == state for finding in found) for state in ("damaged", "missing", "left over")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    total = f"{len(compared)} files, {size / 1e9:.2f} GB, compared with what is recorded of them: {told}."
    return [*map(str, found), *scope.notes, total, *_leftovers(found)], found


def _scope(params: Params, study: str | None) -> Scope:
    scope = Scope(study)
    if study is None:
        scope.runs = dict.fromkeys(sorted(path for path in paths.RUNS.glob("*/*/seed-*") if path.is_dir()))
        scope.timings = dict.fromkeys(sorted(path.parent for path in paths.RUNS.glob("*/*/timing.json")))
        scope.states = dict.fromkeys(sorted(path for path in paths.WORK.glob("*/seed-*") if path.is_dir()))
        scope.pages = {path.parent.name: False for path in sorted(paths.RESULTS.glob("*/report.json"))}
        scope.tasks = list(params.tasks)
    for name in params.studies if study is None else (study,):
        scope.pages[name] = True
        try:
            plan = study_plan(params, name)
        except UserError as error:
            if study is not None:
                raise
            scope.notes.append(f"Which runs are of study {name} is not known: {error}")
            continue
        for run in plan.runs():
            _add(scope, name, run)
        scope.timings |= {timing.directory: name for timing in plan.timings()}
        scope.tasks += [cell.task for cell in plan.cells if study is not None]
    scope.tasks = list(dict.fromkeys(scope.tasks))
    for task in scope.tasks:
        try:
            scope.datasets.setdefault(dataset_of(params, task), task)
        except UserError:  # told of with its file, if that is here
            continue
    return scope


def _add(scope: Scope, study: str, run: Run) -> None:
    for folders, path in ((scope.runs, store.run_directory(run)), (scope.states, store.work_directory(run))):
        if scope.study is not None or path in folders:
            folders[path] = folders.get(path) or study


def _looked(params: Params, scope: Scope) -> Iterator[Looked]:
    yield from results.runs(scope.runs)
    yield from results.timings(scope.timings)
    yield from results.pages(scope.pages)
    yield from data.folders(scope.datasets, others=scope.study is None)
    yield from data.files(params, scope.tasks)
    yield from states.of_runs(scope.states)
    if scope.study is None or any(dataset.kind.made == "collected" for dataset in scope.datasets):
        yield from states.of_sac()
    yield from states.of_dvc()


def _leftovers(found: Sequence[Finding]) -> list[str]:
    left = [finding.path for finding in found if finding.state == "left over"]
    if not left:
        return []
    return ["Nothing uses what is left over; while no job runs, this removes it:", *_removal("rm -r", left)]


def remedy(found: Iterable[Finding]) -> str | None:
    """What makes the damaged and missing files again, as commands to run; None where there are none."""
    wrong = [finding for finding in found if finding.state != "left over"]
    if not wrong:
        return None
    advice = {f"{finding.path}: {finding.cure.advice}": None for finding in wrong if finding.cure.advice}
    deleted = [finding.path for finding in wrong if finding.cure.delete and finding.state == "damaged"]
    commands = list(dict.fromkeys(finding.cure.command for finding in wrong if finding.cure.command))
    commands.sort(key=lambda command: command.startswith("snakemake"))  # data first
    kept = list(dict.fromkeys(finding.path for finding in wrong if finding.cure.by_dvc))
    lines = [f"{len(wrong)} files are not what is recorded of them.", *advice]
    if kept:
        lines += ["What DVC has of them it brings back:", *_removal("dvc checkout --force", kept)]
    if commands:
        lines += [f"{'Else this' if kept else 'This'} makes them again:", *_removal("rm", deleted)]
        lines += [f"  {command}" for command in commands]
    return "\n".join(lines)


def _removal(command: str, files: Sequence[Path]) -> list[str]:
    """One command for some files, a line each."""
    if not files:
        return []
    return [f"  {command} " + " \\\n    ".join(shlex.quote(str(path)) for path in files)]
