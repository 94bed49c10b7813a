"""`dac train`, `evaluate`, `time`: the jobs of packs of runs, and the timing of gradient steps."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager

from dac.cli.commands import Commands
from dac.study import check, labels, plan, seed_names, task_data, timings
from dac.study.identity import Group
from dac.study.params import Params
from dac.system import imports, progress


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_pack(commands.add("train", _train, "train a pack of runs of one group"))
    command = commands.add("evaluate", _evaluate, "evaluate a pack of runs of one group")
    _add_pack(command)
    command.add_argument("--evaluations", required=True, help="fingerprints joined by '-'")
    command = commands.add("time", _time, "time gradient steps of one run, best on an idle machine")
    command.add_argument("task")
    command.add_argument("timing", help="timing-<label>-<fp>: the name of its folder under results/runs/<task>/")
    _add_where(command)


def _add_pack(command: argparse.ArgumentParser) -> None:
    command.add_argument("task")
    command.add_argument("group", help="<label>-<fp>: the name of the group's folder under results/runs/<task>/")
    command.add_argument("--seeds", required=True, help="joined by '-', and ranges of them: 0-2-5..9")
    _add_where(command)


def _add_where(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=int, default=1)
    command.add_argument(
        "--on", choices=("gpu", "cpu"), help="gpu: fail where none can be used; left out: as compute.device says"
    )


def _train(options: argparse.Namespace) -> None:
    params = check.load()
    group = plan.find_group(params, options.task, options.group)
    with _announced(options, params, group):
        with imports.of_what_stays():
            from dac.training import trainer  # torch: only once the plan is known to be right

        varied = labels.told_apart(params, [group.task])[group]
        trainer.train(group, seed_names.parse(options.seeds), params.compute.on(options.on), options.threads, varied)


def _evaluate(options: argparse.Namespace) -> None:
    params = check.load()
    group = plan.find_group(params, options.task, options.group)
    evaluations = plan.find_evaluations(params, group, options.evaluations.split("-"))
    with _announced(options, params, group):
        with imports.of_what_stays():
            from dac.training import evaluate

        compute = params.compute.on(options.on)
        evaluate.evaluate(group, seed_names.parse(options.seeds), evaluations, compute, options.threads)


def _time(options: argparse.Namespace) -> None:
    params = check.load()
    plan.check_task(params, options.task)
    timing = timings.find(params, options.task, options.timing)
    with progress.announced(f"time {timing}", job=f"time/{timing}"):
        from dac.bench import timing as bench  # torch

        bench.measure(timing, params.compute.on(options.on), options.threads)


def _announced(options: argparse.Namespace, params: Params, group: Group) -> AbstractContextManager[None]:
    """A pack's job as `dac watch` shows it: without the fingerprint, which few terminals have room for."""
    step = "train" if options.command is _train else "evaluate"
    reference = task_data.references(params.tasks[group.task], group.task)
    job = f"{step}/{group.task}/{group.name}/{options.seeds}"
    varied = labels.told_apart(params, [group.task])[group]
    name = " ".join(filter(None, (step, group.task, group.label, varied, options.seeds)))
    return progress.announced(name, reference, job)
