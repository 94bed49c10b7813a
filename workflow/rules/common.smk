"""Shared by the rules: the parameters, the plan, and the functions that ask for missing work."""

import atexit
import logging
import os
import shlex
import subprocess
import sys
from functools import cache

# The code beside this Snakefile, wherever a `dac` may be installed.
sys.path.insert(0, str(workflow.basedir))

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from dac.cost import demand, missing, on_cpu, speeds
from dac.study import (
    check,
    dual_ascent,
    identity,
    jobs,
    pending,
    plan,
    seed_names,
    sessions,
    timings,
    unheeded,
)
from dac.system.errors import UserError
from dac.watch import snakemake_says

# Input of every target: without any input, Snakemake would run the target each time.
ROOT_FILE = str(check.PARAMS_FILE)
# The jobs' code is the plan's, beside this Snakefile, before one that is installed or lies in the project's folder.
CODE = f"{workflow.basedir}{os.pathsep}{os.getcwd()}"
# Each command takes the place of its shell, and its messages go through a `tee` that ignores signals: a cluster that
# ends a job signals all of its processes, of which the command alone has something to save, and last words for the log.
DAC = (
    f'exec env PYTHONSAFEPATH=1 PYTHONPATH={shlex.quote(CODE)}"${{PYTHONPATH:+:$PYTHONPATH}}" '
    f"{shlex.quote(sys.executable)} -m dac"
)
KEEP_LOG = f"sh {shlex.quote(str(workflow.basedir))}/workflow/keep_log.sh"


def or_explain(function, *arguments):
    """The function's value; a user's mistake as an error that Snakemake prints without a traceback."""
    try:
        return function(*arguments)
    except UserError as error:
        raise WorkflowError(str(error)) from None


PARAMS = or_explain(check.load)


include: "session.smk"
include: "demand.smk"


PENDING = pending.Pending(PARAMS, SESSION)
ASKED = {}  # the studies that targets ask for, as the keys, in their order


def what_is_missing():
    """The end of a dry run: for each study that was asked for, what it lacks and what that costs."""
    lines = [missing.line(PENDING.plan(study)) for study in ASKED]
    return "\n".join(
        [*lines, "Nothing was run. With -n -p every job is shown, `dac why` says why."]
    )


OUTPUT = workflow.output_settings
# A user who asks for more than Snakemake's usual lines gets them all.
if OUTPUT.dryrun and not (OUTPUT.printshellcmds or OUTPUT.verbose or OUTPUT.debug_dag):
    logger.addFilter(snakemake_says.DryRun(what_is_missing, quiet=bool(OUTPUT.quiet)))
LAST_WORD = snakemake_says.LastWord(list(PARAMS.studies))


def say_last():
    """Print what went wrong, if something did, below all that Snakemake prints."""
    if said := LAST_WORD.text(" ".join(ASKED)):
        print(said, file=sys.stderr, flush=True)


if workflow.is_main_process:
    logger.addFilter(LAST_WORD)
    atexit.register(say_last)
    # Where a full disk takes no line of Snakemake's own log, that is said last, and not by a traceback for every line.
    logging.raiseExceptions = False


@cache
def say_what_to_know(study):
    """Tell of edits that change nothing, and of trainings too short for the dual ascent or too long for a CPU, once: a
    target is the user's, not a job's on its node.
    """
    # Of the stages of `dvc repro`, each of which plans anew, the first.
    if os.environ.get("DVC_STAGE") in (None, "datasets"):
        # Anchors are a trap for `dvc exp run -S` alone.
        by_dvc = "DVC_STAGE" in os.environ
        notices = (unheeded.notices if by_dvc else unheeded.idle_edits)(PARAMS, study)
        notices += dual_ascent.notices(PENDING.plan(study))
        for notice in notices + (on_cpu.notices(PENDING.plan(study)) if here() else []):
            print(notice, file=sys.stderr)


def asked(function, study):
    """What a target asks for of a study."""
    use_own_locks()
    ASKED[study] = None
    share_out_gpus()
    or_explain(say_what_to_know, study)
    return or_explain(function, study)


def pending_report(study):
    """Input function: the marker of a study's page, if the page is not what params.yaml and the store say."""
    return lambda wildcards: asked(PENDING.report, study)


def pending_runs(study):
    """Input function: the markers of the trainings and evaluations that a study lacks."""
    return lambda wildcards: asked(PENDING.runs, study)


def pending_datasets(study):
    """Input function: the markers of the datasets that a study's missing trainings need."""
    return lambda wildcards: asked(PENDING.datasets, study)


def waits_for(function):
    """Input function of a job: the markers that it waits for, asked of the store by the main process alone.

    A process that Snakemake starts for one job, on a node say, plans nothing: what the job waits for was there before
    it started, whatever this machine's view of a shared file system shows yet.
    """
    return lambda wildcards: (
        or_explain(function, wildcards) if workflow.is_main_process else []
    )


@cache
def group_named(task, name):
    """The group of that name, looked up in the plan once."""
    return or_explain(plan.find_group, PARAMS, task, name)


def group_of(wildcards):
    """The group of runs that a training or evaluation job is about."""
    return group_named(wildcards.task, wildcards.group)


def seeds_of(wildcards):
    """The seeds of a job's pack."""
    return or_explain(seed_names.parse, wildcards.seeds)


wildcard_constraints:
    study=r"[A-Za-z][A-Za-z0-9_]*",
    task=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    group=identity.GROUP_NAME,
    timing=timings.TIMING_NAME,
    seeds=seed_names.PATTERN,
    evaluations=r"[0-9a-f]{12}(-[0-9a-f]{12})*",
    key=r"[0-9a-f]{12}",
    env=r"[A-Za-z0-9_.:/-]+",
    datasets=r"[0-9a-f]{12}(-[0-9a-f]{12})*",


def record_in_dvc():
    """Bring dvc.lock up to date with the store; inside `dvc repro`, DVC does so itself.

    In a process of its own, for which params.yaml, the numerics versions and the store are what they are now, whatever
    they were when this workflow was planned.
    """
    if "DVC_STAGE" not in os.environ:
        subprocess.run(["sh", "-c", f"{DAC} record"], stdout=sys.stderr)


def make_up_for_killed():
    """Record what a Snakemake that was killed has made, also where nothing is left to do, and no hook is called."""
    if workflow.execution_settings is not None and sessions.remove_dead():
        record_in_dvc()


if workflow.is_main_process and not OUTPUT.dryrun:
    atexit.register(make_up_for_killed)


onsuccess:
    record_in_dvc()
    HELD.close()


# What was published is recorded also where another job failed, but for DVC's own: its stage holds the lock.
onerror:
    if "DVC_STAGE" in os.environ:
        print(
            "DVC records nothing of a stage that fails: run `dvc repro` again, or `dac record`, before any "
            "`dvc pull --force` or `dvc checkout --force`.",
            file=sys.stderr,
        )
    record_in_dvc()
    LAST_WORD.ended_badly = True
    HELD.close()
