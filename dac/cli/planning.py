"""`dac plan`, `why`, `runs`: what a study would run, and what the store has."""

from __future__ import annotations

import argparse

from dac.cli.commands import Commands
from dac.study import check, plan, why
from dac.system import paths
from dac.system.errors import UserError, closest


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    command = commands.add("plan", _plan, "print runs, packs, steps, disk, memory and a time estimate per experiment")
    command.add_argument("study", nargs="?", help="a study of params.yaml; all of them if left out")
    command.add_argument(
        "--calibrate",
        action="store_true",
        help="first measure here what work/calibration.json lacks of the study's networks and environments; delete "
        "that file to measure all anew, best on an idle machine",
    )
    command = commands.add("why", _why, "say why something would run")
    command.add_argument("what", nargs="?", help="a study, or a run: <task>/<label>-<fp>/seed-<k>; default: dvc_study")
    command = commands.add("runs", _runs, "list the runs in the store")
    command.add_argument("--verify", action="store_true", help="compare contents with their sha256, not sizes alone")


def _plan(options: argparse.Namespace) -> None:
    from dac.cost import table
    from dac.study import dual_ascent

    params = check.load()
    studies = [options.study] if options.study else list(params.studies)
    for study in studies:
        if options.calibrate:
            from dac.bench import calibrate  # torch

            calibrate.calibrate(params, plan.study_plan(params, study))
        print(table.text(params, study))
        for notice in dual_ascent.notices(plan.study_plan(params, study)):
            print(f"{notice}\n")


def _why(options: argparse.Namespace) -> None:
    params = check.load()
    what = options.what or params.dvc_study
    if what in params.studies:
        from dac.study import unheeded

        print("\n".join([*why.explain_study(params, what), *unheeded.notices(params, what)]))
        return
    path = what.strip("/").removeprefix(f"{paths.RUNS}/")
    known = {str(run): run for run in plan.runs_of_task(params, path.partition("/")[0])}
    if path not in known:
        raise UserError(
            f"params.yaml: no study or run {what!r}; studies {closest(path, list(params.studies))} "
            "Runs are named <task>/<label>-<fp>/seed-<k>, as `dac runs` lists them."
        )
    print(f"{path}: {why.explain_run(known[path]) or 'complete, nothing to do'}")


def _runs(options: argparse.Namespace) -> None:
    from tabulate import tabulate  # type: ignore[import-untyped]

    rows = why.list_runs(check.load(), options.verify)
    if not rows:
        print(f"the store {paths.RUNS} is empty")
        return
    # The header is a row: tabulate widens the columns of its own by two.
    print(tabulate([list(rows[0]), *(list(row.values()) for row in rows)], tablefmt="plain", disable_numparse=True))
    if any(row["state"].startswith(("corrupt", "incomplete")) for row in rows):
        raise UserError(
            "some runs are damaged; delete the files and start snakemake again, or `dvc checkout --force <file>`."
        )
