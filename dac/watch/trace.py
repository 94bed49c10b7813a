"""`dac trace`: what is behind a cell of a study's table, as text for a terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from dac.study import job_logs, origin, plan, seed_names, store
from dac.study.identity import Run
from dac.study.params import Params
from dac.study.plan import Cell
from dac.system.errors import UserError, closest
from dac.watch import show

NOT_THERE = "the page has none of these settings: params.yaml was edited since; ask for the study again"
METHOD = ("variant", "method")  # columns that name a variant, one or the other
Rows = list[dict[str, str]]


def text(params: Params, table: Path, cell: str) -> str:
    """The numbers of a cell, and the runs, settings, data, machines, logs and commands that they come from.

    Args:
        table: a CSV of a study's page, `results/<study>/tables/<experiment>-….csv`, or of a partial one.
        cell: a task, or `<task>/<variant>` for one of its columns.

    Raises:
        UserError: no such table, or no such cell in it.
    """
    if not table.is_file() or table.suffix != ".csv":
        raise UserError(f"{table}: no table; give a CSV of a page, as in results/quick/tables/.")
    page = table.resolve().parent.parent
    asked = plan.study_plan(params, page.name)
    task, _, variant = cell.partition("/")
    # A table of the whole study, such as that of the claims, names no experiment.
    of_table = [item for item in asked.cells if table.stem.startswith(f"{item.experiment}-")] or list(asked.cells)
    found = [item for item in of_table if item.task == task and variant in ("", item.variant)]
    if not found:
        names = [f"{item.task}/{item.variant}" if variant else item.task for item in of_table]
        raise UserError(f"{table}: no cell {cell!r}; {closest(cell, list(dict.fromkeys(names)))}")
    files = [table, page / "tables/provenance.csv", page / "scores.csv"]
    numbers, runs, scores = (_rows(path) for path in files)
    return "\n".join(_cell(params, asked.seeds, item, numbers, runs, scores) for item in found)


def _rows(path: Path) -> Rows:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _cell(params: Params, seeds: tuple[int, ...], cell: Cell, numbers: Rows, runs: Rows, scores: Rows) -> str:
    group = cell.group
    made = {int(row["seed"]): row for row in runs if (row["task"], row["run"]) == (cell.task, group.name)}
    own = (cell.experiment, cell.task, cell.variant)
    by_seed = {
        int(row["seed"]): row["score"] for row in scores if (row["experiment"], row["task"], row["variant"]) == own
    }
    said = [f"{seed_names.name(made)} of {seed_names.name(seeds)}"] if made else [NOT_THERE]
    sha256 = dict.fromkeys(f"{group.dataset.id}, sha256 {row['dataset_sha256']}" for row in made.values())
    parts = {
        "cell": [f"{cell.task}, {cell.variant}, of the experiment {cell.experiment}"],
        "numbers": list(_numbers(cell, numbers)),
        "runs": [str(store.group_directory(group))],
        "seeds": said,
        "settings": show.settings(params, group),
        "data": [*sha256, f"evaluated in {group.env}"],
    }
    parts |= {f"seed {seed}": list(_run(Run(group, seed), made[seed], by_seed.get(seed))) for seed in made}
    return show.parts_text({**parts, "again": origin.remake_commands(group, seeds, cell.evaluations)})


def _numbers(cell: Cell, rows: Rows) -> Iterator[str]:
    """The table's rows that are of a cell."""
    for row in rows:
        if row.get("task") == cell.task and cell.variant in [row[name] for name in METHOD if name in row]:
            yield ", ".join(f"{name} {value}" for name, value in row.items() if value and name not in ("task", *METHOD))


def _run(run: Run, made: dict[str, str], score: str | None) -> Iterator[str]:
    """A run's score, state, time, machine and log."""
    scored = "" if score is None else f"score {score}, "
    yield f"{scored}{made['status']}, {made['finished']} on {made['machine']}, {made['device']}"
    log = job_logs.of_run(run)
    if log is not None:
        yield str(log)
