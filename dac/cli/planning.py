"""`dac plan`, `status`, `show`, `why`, `runs`, `verify`: what a study would run, how far it is, what the store has."""

from __future__ import annotations

import argparse

from dac.cli.commands import Commands
from dac.study import check, listing, named, plan, why
from dac.system import paths
from dac.system.errors import UserError


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
    command = commands.add(
        "status", _status, "say how far a study is: what is done, runs, waits, failed, and time left"
    )
    command.add_argument("study", nargs="?", help="a study of params.yaml; default: dvc_study")
    command.add_argument("--watch", action="store_true", help="draw it anew every few seconds, until Ctrl-C")
    command.add_argument("--all", action="store_true", help="list every job and run, not the first ones")
    command = commands.add("show", _show, "say all of one run: score, settings, data, log, curve, how to make it again")
    command.add_argument("run", help=named.FORMS)
    command = commands.add("why", _why, "say why something would run")
    command.add_argument("what", nargs="?", help=f"a study, or a run: {named.FORMS}; default: dvc_study")
    command = commands.add("runs", _runs, "sum up the runs in the store, or list them")
    command.add_argument("task", nargs="*", help="list the runs of these tasks")
    command.add_argument("--all", action="store_true", help="list every run")
    command = commands.add("verify", _verify, "compare every file of the store, data and states with what is recorded")
    command.add_argument("study", nargs="?", help="a study of params.yaml; everything that is there if left out")


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


def _status(options: argparse.Namespace) -> None:
    from dac.watch import status
    from dac.watch.command import on_terminal

    params = check.load()
    asked = plan.study_plan(params, options.study or params.dvc_study)
    if options.watch and on_terminal():
        status.watch(asked)
    print(status.text(asked, None if options.all else status.SHOWN), end="")


def _show(options: argparse.Namespace) -> None:
    from dac.watch import show

    params = check.load()
    print(show.text(params, named.run(params, options.run)), end="")


def _why(options: argparse.Namespace) -> None:
    params = check.load()
    what = options.what or params.dvc_study
    if what in params.studies:
        from dac.study import unheeded

        print("\n".join([*why.explain_study(params, what), *unheeded.notices(params, what)]))
        return
    run = named.run(params, what)
    print(f"{run}: {why.Reasons(params).of(run) or 'complete, nothing to do'}")


def _runs(options: argparse.Namespace) -> None:
    params = check.load()
    found = listing.runs(params, options.task)
    damaged = [run for run in found if run.damaged]
    if not found:
        for task in options.task:
            plan.check_task(params, task)  # runs of a task that is no longer there are listed
        print(f"the store {paths.RUNS} has no run" + (f" of {', '.join(options.task)}" if options.task else ""))
    elif options.task or options.all:
        _print_table([run.row for run in found])
    else:
        _print_table(listing.summary(found))
        print("\n`dac runs TASK` lists a task's runs, `dac runs --all` every run; unused: by no study of params.yaml.")
        if damaged:
            print()
            _print_table([run.row for run in damaged])
    if damaged:
        raise UserError(
            "some runs are damaged; delete the files and start snakemake again, or `dvc checkout --force <file>`."
        )


def _print_table(rows: list[dict[str, str]]) -> None:
    from tabulate import tabulate  # type: ignore[import-untyped]

    numbers = ("settings", "runs", "diverged", "damaged", "evaluations", "MB", "unused")
    aligned = ["right" if title in numbers else "left" for title in rows[0]]
    # The header is a row: tabulate widens the columns of its own by two.
    table = [list(rows[0]), *(list(row.values()) for row in rows)]
    print(tabulate(table, tablefmt="plain", disable_numparse=True, colalign=aligned))


def _verify(options: argparse.Namespace) -> None:
    from dac.verify import command

    lines, found = command.verify(check.load(), options.study)
    print("\n".join(lines), flush=True)  # in front of what standard error gets
    if remedy := command.remedy(found):
        raise UserError(remedy)
