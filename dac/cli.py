"""The command line: one command per step of the pipeline, and those that look at the plan and the store."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from dac.agent.config import PRECISIONS
from dac.study import check, pages, plan, seed_names, store, task_data, why
from dac.study.identity import Group, dataset_named
from dac.study.params import Params
from dac.study.sources import SOURCES
from dac.system import files, paths, progress
from dac.system.errors import UserError, closest
from dac.system.signals import Interrupted


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 a user's mistake, 2 wrong usage, 130 or 143 interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    for chatty in ("fontTools", "httpx", "httpx2"):  # a line for every font table in a PDF, for every request
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        options.command(options)
    except UserError as error:
        print(f"dac: {error}", file=sys.stderr)
        return 1
    except Interrupted as interrupted:
        print(f"dac: {interrupted}", file=sys.stderr)
        return 128 + interrupted.signal
    except BrokenPipeError:  # `dac plan | head`
        return 141
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dac", description="Diffusion Actor-Critic: the steps of the reproduction.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: object, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help)
        command.set_defaults(command=function)
        return command

    command = add("plan", _plan, "print runs, packs, steps, disk, memory and a time estimate per experiment")
    command.add_argument("study", nargs="?", help="a study of params.yaml; all of them if left out")
    command.add_argument(
        "--calibrate",
        action="store_true",
        help="first measure here what work/calibration.json lacks of the study's networks and environments; delete "
        "that file to measure all anew, best on an idle machine",
    )
    command = add("why", _why, "say why something would run")
    command.add_argument("what", nargs="?", help="a study, or a run: <task>/<label>-<fp>/seed-<k>; default: dvc_study")
    command = add("runs", _runs, "list the runs in the store")
    command.add_argument("--verify", action="store_true", help="compare contents with their sha256, not sizes alone")
    _add_datasets(add("datasets", _datasets, "list the configured datasets; describe: a task's data, with a histogram"))
    _add_fetch(add("fetch", _fetch, "bring data here: download, check, convert"))
    command = add("collect", _collect, "collect datasets: train SAC, or roll out recorded policies, and record them")
    command.add_argument("env")
    command.add_argument("--datasets", required=True, help="fingerprints joined by '-'")
    _add_behaviours(add("behaviours", _behaviours, "train SAC and record its policies, for a recipe's `policies`"))
    command = add("train", _train, "train a pack of runs of one group")
    _add_pack(command)
    command = add("evaluate", _evaluate, "evaluate a pack of runs of one group")
    _add_pack(command)
    command.add_argument("--evaluations", required=True, help="fingerprints joined by '-'")
    command = add("report", _report, "write a study's tables, figures and page")
    command.add_argument("study")
    command.add_argument("--plan", help="refuse if the study's plan has another fingerprint than this")
    command = add("claims", _claims, "print what a study is to show and whether it does, from its page")
    command.add_argument("study")
    _add_watched(add("watch", _watch, "show the jobs that run in this project, or those of a command while it runs"))
    add("record", _record, "record the store in dvc.lock, as snakemake does at its end")
    _add_parity(add("parity", _parity, "replay recorded arrays through the agent and print the worst deviations"))
    _add_bench(add("bench", _bench, "measure training and environment speed on this machine"))
    return parser


def _add_parity(command: argparse.ArgumentParser) -> None:
    command.add_argument("recordings", nargs="+", type=files.expanded, metavar="FIXTURE", help="an .npz recording")
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    command.add_argument("--pack", type=int, default=1, help="replay it as one of this many runs")
    command.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the products; sets the tolerance")
    command.add_argument("--tolerance", type=float, help="largest relative deviation that passes; default: by quantity")


def _add_bench(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu")
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--seconds", type=float, default=10.0, help="time for each measurement")
    command.add_argument("--runs", type=int, nargs="+", default=[1], help="pack sizes")
    command.add_argument(
        "--diffusion-steps", type=int, nargs="*", default=[], help="compare soft and denoised guidance at these T"
    )
    command.add_argument("--precision", choices=PRECISIONS, default="fp32")
    command.add_argument("--processes", type=int, default=0, help="also time this many runs at once, a process each")
    command.add_argument("--page", action="store_true", help="write benchmarks/README.md from the recorded results")
    command.add_argument("--json", type=files.expanded, help="also write the result there")


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


def _add_pack(command: argparse.ArgumentParser) -> None:
    command.add_argument("task")
    command.add_argument("group", help="<label>-<fp>: the name of the group's folder under results/runs/<task>/")
    command.add_argument("--seeds", required=True, help="joined by '-', and ranges of them: 0-2-5..9")
    command.add_argument("--threads", type=int, default=1)


def _add_watched(command: argparse.ArgumentParser) -> None:
    what = "snakemake or dvc with its arguments; what it prints goes to a log under logs/watch/"
    command.add_argument("what", nargs=argparse.REMAINDER, metavar="COMMAND", help=what)


def _add_behaviours(command: argparse.ArgumentParser) -> None:
    command.add_argument("env", help="Gymnasium id")
    command.add_argument("--steps", type=int, nargs="+", required=True, help="steps of SAC to record at, ascending")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--folder", type=files.expanded, default=Path("behaviours"), help="where the files go")


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


def _datasets(options: argparse.Namespace) -> None:
    from dac.datasets import describe

    params = check.load()
    if not options.what:
        print(describe.listing(params), end="")
    elif len(options.what) == 2 and options.what[0] == "describe":
        task = options.what[1]
        if task not in params.tasks:
            raise UserError(f"params.yaml: no task {task!r}; {closest(task, list(params.tasks))}")
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
    if source and source.made != "fetched":
        how = {
            "collected": "is collected: `snakemake <study>_datasets` does so",
            "given": "is a file of yours, read when a task needs it: give that task's name to have it checked",
            "drawn": "is drawn when it is needed",
        }
        raise UserError(f"dac fetch: {what} {how[source.made]}.")
    if source and not rest:
        raise UserError(f"dac fetch: found {what!r}; give a name behind it, such as minari:D4RL/door/human-v2.")
    if prefix == "minari" and not re.search(r"-v\d+$", rest):
        raise UserError(f"dac fetch: found {what!r}; give the version too, such as minari:D4RL/door/human-v2.")
    name = what if source else f"d4rl:{what}"
    if name.startswith("d4rl:") and name.partition(":")[2] not in d4rl_ids():
        known = list(dict.fromkeys([*params.tasks, *d4rl_ids()]))
        raise UserError(f"No task or D4RL dataset {what!r}. {suggestions(what, known)}")
    return name


def _collect(options: argparse.Namespace) -> None:
    from dac.datasets.sources import collect

    with progress.announced(f"collect data in {options.env}"):
        collect.collect(check.load(), options.env, options.datasets.split("-"))


def _behaviours(options: argparse.Namespace) -> None:
    from dac.datasets.sac import policies

    policies.record(options.env, options.steps, options.folder, options.seed, print)


def _train(options: argparse.Namespace) -> None:
    params = check.load()
    group = plan.find_group(params, options.task, options.group)
    with _announced(options, params, group):
        from dac.training import trainer  # torch: only once the plan is known to be right

        trainer.train(group, seed_names.parse(options.seeds), params.compute, options.threads)


def _evaluate(options: argparse.Namespace) -> None:
    params = check.load()
    group = plan.find_group(params, options.task, options.group)
    evaluations = plan.find_evaluations(params, group, options.evaluations.split("-"))
    with _announced(options, params, group):
        from dac.training import evaluate

        evaluate.evaluate(group, seed_names.parse(options.seeds), evaluations, params.compute, options.threads)


def _announced(options: argparse.Namespace, params: Params, group: Group) -> AbstractContextManager[None]:
    """A pack's job as `dac watch` shows it: without the fingerprint, which few terminals have room for."""
    step = "train" if options.command is _train else "evaluate"
    reference = task_data.references(params.tasks[group.task], group.task)
    return progress.announced(f"{step} {group.task} {group.label} {options.seeds}", reference)


def _report(options: argparse.Namespace) -> None:
    from dac.report import build

    params = check.load()
    study = plan.study_plan(params, options.study)
    if options.plan and options.plan != study.fingerprint:
        raise UserError(
            f"params.yaml changed since this page was planned (plan {options.plan}, now {study.fingerprint}). "
            "Nothing was written. Start again: the new plan is used."
        )
    with progress.announced(f"write the page of {options.study}"):
        build.build(study)
    store.journal("report", study=options.study)
    print(f"Read {pages.folder_of(options.study)}/README.md")


def _claims(options: argparse.Namespace) -> None:
    from dac.report import verdicts

    params = check.load()
    study = plan.study_plan(params, options.study)
    if problem := pages.problem(study):
        raise UserError(f"the page of {options.study}: {problem}. `snakemake {options.study} --cores all` makes it.")
    directory = pages.folder_of(options.study)
    table = directory / "tables/claims.csv"
    if not table.is_file():
        raise UserError(f"params.yaml: no experiment of studies.{options.study} has claims.")
    print("\n".join(verdicts.lines(table)))
    figures = sorted((directory / "figures").glob("*.png"))
    print(f"Read {directory}/README.md" + (f"; the first figure is {figures[0]}" if figures else ""))


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


def _parity(options: argparse.Namespace) -> None:
    import torch

    from dac.bench import parity

    dtype, recordings = getattr(torch, options.dtype), options.recordings
    for line in parity.check(
        recordings, dtype, pack=options.pack, precision=options.precision, largest=options.tolerance
    ):
        print(line)


def _bench(options: argparse.Namespace) -> None:
    if options.page:
        from dac.bench import page

        print(f"Read {page.write()}")
        return
    from dac.bench.measure import measure

    result = measure(
        options.device,
        options.threads,
        options.seconds,
        options.runs,
        options.diffusion_steps,
        options.precision,
        options.processes,
    )
    text = json.dumps(result, indent=2, sort_keys=True)
    print(text)
    if options.json:
        files.write_text(options.json, text + "\n")
