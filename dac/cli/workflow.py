"""`dac watch`, `record`: Snakemake's jobs while they run, and what DVC is told at their end."""

from __future__ import annotations

import argparse

from dac.cli.commands import Commands


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_watched(
        commands.add("watch", _watch, "show the jobs that run in this project, or those of a command while it runs")
    )
    commands.add("record", _record, "record the store in dvc.lock, as snakemake does at its end")


def _add_watched(command: argparse.ArgumentParser) -> None:
    what = "snakemake or dvc with its arguments; what it prints goes to a log under logs/watch/"
    command.add_argument("what", nargs=argparse.REMAINDER, metavar="COMMAND", help=what)
    command.set_defaults(renders=True)  # a study's page does, and its command starts below this one


def _watch(options: argparse.Namespace) -> None:
    from dac.watch import command

    if status := command.watch(options.what):
        raise SystemExit(status)


def _record(options: argparse.Namespace) -> None:
    from dac.study import dvc

    if stage := dvc.in_dvc_stage():
        dvc.check(stage)
    else:
        print("\n".join(dvc.record()))
