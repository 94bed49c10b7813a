"""Shared by all other *.smk: the parameters, the plan, and the functions that ask for missing work."""

import os
import shlex
import subprocess
import sys
from functools import cache

# The code beside this Snakefile, wherever a `dac` may be installed.
sys.path.insert(0, str(workflow.basedir))

from snakemake.exceptions import WorkflowError

from dac.cost import demand, speeds
from dac.study import check, dual_ascent, identity, pending, plan, seed_names, unheeded
from dac.system import paths
from dac.system.errors import UserError

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
TODO = str(paths.TODO)


def or_explain(function, *arguments):
    """The function's value; a user's mistake as an error that Snakemake prints without a traceback."""
    try:
        return function(*arguments)
    except UserError as error:
        raise WorkflowError(str(error)) from None


PARAMS = or_explain(check.load)
PENDING = pending.Pending(PARAMS)

# `dvc exp run -S` edits params.yaml by itself, so nobody sees that an edit changes nothing.
if os.environ.get("DVC_STAGE") == "datasets" and workflow.is_main_process:
    for notice in or_explain(unheeded.notices, PARAMS, PARAMS.dvc_study):
        print(notice, file=sys.stderr)


@cache
def say_what_is_too_short(study):
    """Tell of trainings too short for the dual ascent, once: a target is the user's, not a job's on its node."""
    # Of the stages of `dvc repro`, each of which plans anew, the first.
    if os.environ.get("DVC_STAGE") in (None, "datasets"):
        for notice in dual_ascent.notices(PENDING.plan(study)):
            print(notice, file=sys.stderr)


def asked(function, study):
    """What a target asks for of a study."""
    or_explain(say_what_is_too_short, study)
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


@cache
def speed():
    """The speed that jobs are estimated with: this machine's, or the nearest measured one's."""
    return or_explain(speeds.calibration, PARAMS.compute)


# What a job asks for is estimated once, for its memory and its run time: once for each job's text of wildcards.
@cache
def training_demand(task, group, seeds):
    runs = len(or_explain(seed_names.parse, seeds))
    return demand.training(group_named(task, group), runs, PARAMS, speed())


@cache
def evaluation_demand(task, group, seeds, evaluations):
    pack, runs = group_named(task, group), len(or_explain(seed_names.parse, seeds))
    wanted = or_explain(plan.find_evaluations, PARAMS, pack, evaluations.split("-"))
    return demand.evaluation(pack, runs, wanted, PARAMS, speed())


@cache
def collection_demand(env):
    return demand.collection(env, PARAMS, speed())


def demand_of_training(wildcards):
    return training_demand(wildcards.task, wildcards.group, wildcards.seeds)


def demand_of_evaluation(wildcards):
    return evaluation_demand(
        wildcards.task, wildcards.group, wildcards.seeds, wildcards.evaluations
    )


def demand_of_collection(wildcards):
    return collection_demand(wildcards.env)


def memory(needs):
    """Resource function: what a job needs, and twice that once an attempt failed, which may have been for want of it."""
    return lambda wildcards, attempt: min(attempt, 2) * needs(wildcards).mem_mb


def minutes(needs):
    """Resource function: the time limit of a job; --retries goes on where one that reached it was."""
    return lambda wildcards: needs(wildcards).runtime


# Of a training or an evaluation.
GPUS = int(demand.uses_gpu(PARAMS))


wildcard_constraints:
    study=r"[A-Za-z][A-Za-z0-9_]*",
    task=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    group=identity.GROUP_NAME,
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


onsuccess:
    record_in_dvc()


# What was published is recorded also where another job failed, but for DVC's own: its stage holds the lock.
onerror:
    if "DVC_STAGE" in os.environ:
        print(
            "DVC records nothing of a stage that fails: run `dvc repro` again, or `dac record`, before any "
            "`dvc pull --force` or `dvc checkout --force`.",
            file=sys.stderr,
        )
    record_in_dvc()
