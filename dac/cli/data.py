"""`dac datasets`, `fetch`, `collect`, `behaviours`: the data that runs are trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

from dac.cli.commands import Commands
from dac.study import check, plan
from dac.study.identity import dataset_named
from dac.study.params import Params, Task
from dac.study.sources import SOURCES
from dac.system import files, paths, progress
from dac.system.errors import UserError


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_datasets(
        commands.add("datasets", _datasets, "list the configured datasets; describe: a task's data, with a histogram")
    )
    _add_fetch(commands.add("fetch", _fetch, "bring data here: download, check, convert"))
    command = commands.add(
        "collect", _collect, "collect datasets: train SAC, or roll out recorded policies, and record them"
    )
    command.add_argument("env")
    command.add_argument("--datasets", required=True, help="fingerprints joined by '-'")
    _add_behaviours(
        commands.add("behaviours", _behaviours, "train SAC and record its policies, for a recipe's `policies`")
    )


def _add_datasets(command: argparse.ArgumentParser) -> None:
    command.add_argument("what", nargs="*", metavar="describe TASK", help="left out: the list, with checksums compared")
    command.add_argument(
        "--figure", type=files.expanded, help="where the histogram goes; default: work/datasets/<task>.png"
    )


def _add_fetch(command: argparse.ArgumentParser) -> None:
    what = "a task of params.yaml, one of D4RL's ids, or a dataset, such as minari:<id>; with --all: a study"
    command.add_argument("what", nargs="?", help=what)
    command.add_argument("--dataset", help="refuse if the task's dataset has another fingerprint than this")
    command.add_argument("--all", action="store_true", help="the data of all tasks, or of those of the study WHAT")
    command.add_argument("--jobs", type=int, default=4, help="with --all: fetch this many side by side")


def _add_behaviours(command: argparse.ArgumentParser) -> None:
    command.add_argument("env", help="Gymnasium id")
    command.add_argument("--steps", type=int, nargs="+", required=True, help="steps of SAC to record at, ascending")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--folder", type=files.expanded, default=Path("behaviours"), help="where the files go")


def _datasets(options: argparse.Namespace) -> None:
    from dac.datasets import describe

    params = check.load()
    if not options.what:
        print(describe.listing(params), end="")
    elif len(options.what) == 2 and options.what[0] == "describe":
        task = options.what[1]
        plan.check_task(params, task)
        figure = options.figure or paths.HISTOGRAMS / f"{task}.png"
        print(describe.describe(params, task, figure), end="")
    else:
        raise UserError(f"dac datasets: found {' '.join(options.what)!r}; allowed: nothing, or describe TASK.")


def _fetch(options: argparse.Namespace) -> None:
    from dac.datasets import load

    params, what = check.load(), options.what
    mirrors = params.compute.d4rl_mirrors
    if options.all:
        from dac.watch import fetching

        if options.jobs < 1:
            raise UserError(f"--jobs: found {options.jobs}; allowed are numbers from 1 on.")
        fetching.fetch_all(params, what, options.jobs)
        return
    if what is None:
        raise UserError("dac fetch: found no name; give a task, one of D4RL's ids, minari:<id>, or --all.")
    name = _dataset_to_fetch(params, what)
    with progress.announced(f"fetch {name}"):
        load.identify(name, mirrors)
        dataset = dataset_named(name, params.collect)
        if options.dataset not in (None, dataset.fingerprint):
            raise UserError(
                f"params.yaml changed since this job was planned: the dataset of {what} is now {dataset.id} "
                f"({dataset.fingerprint}). Nothing was written. Start again: the new plan is used."
            )
        load.fetch(dataset, mirrors)
    print(f"{dataset.id} is in {dataset.path}")


def _dataset_to_fetch(params: Params, what: str) -> str:
    """The id, `<source>:<name>`, of what is asked for: a task's, one of D4RL's without its source, or any fetched."""
    from dac.study.catalog import d4rl_ids, suggestions

    if what in params.tasks:
        return params.tasks[what].dataset
    prefix, _, rest = what.partition(":")
    source = SOURCES.get(prefix)
    if source and source.not_by_name:
        raise UserError(f"dac fetch: {what} {source.not_by_name}.")
    if source and not rest:
        raise UserError(f"dac fetch: found {what!r}; give a name behind it, such as minari:D4RL/door/human-v2.")
    for problem in source.problems(rest, Task(dataset=what), params) if source else ():
        raise UserError(f"dac fetch: {problem.removeprefix('dataset: ')}.")
    name = what if source else f"d4rl:{what}"
    if name.startswith("d4rl:") and name.partition(":")[2] not in d4rl_ids():
        known = list(dict.fromkeys([*params.tasks, *d4rl_ids()]))
        hint = f"`dac fetch --all {what}` fetches what that study needs." if what in params.studies else ""
        raise UserError(f"No task or D4RL dataset {what!r}. {hint or suggestions(what, known)}")
    return name


def _collect(options: argparse.Namespace) -> None:
    from dac.datasets.sources import collect

    with progress.announced(f"collect data in {options.env}"):
        collect.collect(check.load(), options.env, options.datasets.split("-"))


def _behaviours(options: argparse.Namespace) -> None:
    from dac.datasets.sac import policies

    policies.record(options.env, options.steps, options.folder, options.seed, print)
