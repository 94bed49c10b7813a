"""`dac report`, `trace`, `play`, `claims`: a study's page, what it shows and what is behind it."""

from __future__ import annotations

import argparse
import logging

from dac.cli.commands import Commands
from dac.study import check, named, pages, plan, store
from dac.system import files, locks, paths, progress
from dac.system.errors import UserError

LOG = logging.getLogger(__name__)


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    command = commands.add("report", _report, "write a study's tables, figures and page")
    command.add_argument("study")
    command.add_argument("--partial", action="store_true", help="of what is there, into work/partial/, at any time")
    command.add_argument("--plan", help="refuse if the study's plan has another fingerprint than this")
    command.set_defaults(renders=True)
    command = commands.add("trace", _trace, "say what is behind a cell of a table: runs, settings, data, machines")
    command.add_argument("table", type=files.expanded, help="a CSV of a page, results/<study>/tables/….csv")
    command.add_argument("--cell", required=True, help="a task, or <task>/<variant>")
    command = commands.add("play", _play, "record an episode of a trained policy as a film, without a screen")
    command.add_argument("run", help=f"a run: its folder, a policy in it, {named.FORMS}")
    command.add_argument("--out", type=files.expanded, required=True, help="the film: a name that ends in .mp4 or .gif")
    command.add_argument("--steps", type=int, help="show so many at most; default: the whole episode")
    command.add_argument("--seed", type=int, default=0, help="of the episode's beginning and of the policy's noise")
    command.set_defaults(renders=True)
    command = commands.add("claims", _claims, "print what a study is to show and whether it does, from its page")
    command.add_argument("study")


def _report(options: argparse.Namespace) -> None:
    from dac.report import build

    params = check.load()
    study = plan.study_plan(params, options.study)
    if options.plan and options.plan != study.fingerprint:
        raise UserError(
            f"params.yaml changed since this page was planned (plan {options.plan}, now {study.fingerprint}). "
            "Nothing was written. Start again: the new plan is used."
        )
    if options.partial:
        with locks.lock(paths.LOCKS / f"partial-{options.study}", LOG.info):
            print(f"Read {build.build_partial(study)}/README.md")
        return
    with (
        progress.announced(f"write the page of {options.study}"),
        locks.lock(paths.LOCKS / f"report-{options.study}", LOG.info),
    ):
        if options.plan and pages.problem(study) is None:  # another process has made it meanwhile
            print(f"The page of {options.study} is complete.")
            return
        build.build(study)
    store.journal("report", study=options.study)
    print(f"Read {pages.folder_of(options.study)}/README.md")


def _trace(options: argparse.Namespace) -> None:
    from dac.watch import trace

    print(trace.text(check.load(), options.table, options.cell), end="")


def _play(options: argparse.Namespace) -> None:
    from dac.watch import play

    run = files.expanded(options.run)
    if not run.exists():
        run = store.run_directory(named.run(check.load(), options.run))
    print(play.play(run, options.out, seed=options.seed, most=options.steps))


def _claims(options: argparse.Namespace) -> None:
    from dac.report import verdicts

    params = check.load()
    study = plan.study_plan(params, options.study)
    if problem := pages.problem(study):
        runs = study.runs()
        missing = sum(store.run_problem(run) is not None for run in runs)
        absent = f" ({missing:,} of its {len(runs):,} runs are not in {paths.RUNS} here)" if missing else ""
        raise UserError(
            f"the page of {options.study}: {problem}{absent}. `snakemake {options.study} --cores all` makes it."
        )
    directory = pages.folder_of(options.study)
    table = directory / "tables/claims.csv"
    if not table.is_file():
        raise UserError(f"params.yaml: no experiment of studies.{options.study} has claims.")
    print("\n".join(verdicts.lines(table)))
    figures = sorted((directory / "figures").glob("*.png"))
    print(f"Read {directory}/README.md" + (f"; the first figure is {figures[0]}" if figures else ""))
