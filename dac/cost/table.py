"""`dac plan`: what a study consists of and costs, as a table for people."""

from __future__ import annotations

from collections.abc import Iterable

from tabulate import tabulate  # type: ignore[import-untyped]

from dac.cost import demand, estimate, speeds
from dac.cost.shapes import job_shapes
from dac.cost.wall_clock import Activity, wall_clock
from dac.study import store
from dac.study.identity import Run
from dac.study.jobs import Evaluate, Job, Train, jobs, packs, timing_jobs
from dac.study.params import Params
from dac.study.plan import StudyPlan, study_plan
from dac.system import durations
from dac.system.paths import RUNS

HEADER = ("experiment", "runs", "own", "packs", "missing", "steps", "evaluations", "disk", "memory", "time")


def text(params: Params, study: str) -> str:
    """Runs, packs, gradient steps, bytes and time per experiment of a study; runs that experiments share count once."""
    plan = study_plan(params, study)
    speed = speeds.calibration(params.compute)
    counted: set[Run] = set()
    made: set[str] = set()
    rows = []
    for name in params.studies[study].experiments:
        runs = _experiment_runs(plan, name)
        own = [run for run in runs if run not in counted]
        counted.update(runs)
        # Data that several experiments share count with the first, as their runs do.
        timed = (cell.timing for cell in plan.timed if cell.experiment == name)
        asked = [*jobs(plan, own, missing=False), *timing_jobs(timed, missing=False)]
        work = [job for job in asked if job.name not in made]
        made.update(job.name for job in work)
        rows.append(_row(name, runs, own, work, plan, speed))
    everything = plan.runs()
    rows.append(_row("total", everything, everything, _work(plan, missing=False), plan, speed))
    lines = [f"study {study}: {params.studies[study].description.strip()}", "", _table(rows), ""]
    lines += [f"wall clock of what is missing: {wall_clock_text(plan, speed)}", ""]
    lines.append(
        f"own: not already counted in a line above; the columns right of it count those. missing: not in {RUNS}."
    )
    lines.append("memory: of the largest pack, PyTorch's own (about 0.5 GB) aside.")
    lines.append(f"time: {_unit(speed)}, one job at a time, {_basis(plan, speed)}")
    return "\n".join(lines) + "\n"


def _work(plan: StudyPlan, *, missing: bool) -> list[Job]:
    """The study's jobs but for the page; `missing`: only for what the store lacks."""
    return [*jobs(plan, plan.runs(), missing=missing), *timing_jobs(plan.timings(), missing=missing)]


def _unit(speed: speeds.Calibration) -> str:
    return "GPU time" if speed.device == "cuda" else f"of jobs with {_count(speed.threads, 'thread')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _basis(plan: StudyPlan, speed: speeds.Calibration) -> str:
    """Where the time comes from, for people."""
    bound = "an upper bound where episodes end early"
    wanted = _shapes(plan)
    if not wanted:
        return "as long as its measurements are asked to take."
    known = sum(key in speed.measured for key in wanted)
    precisions = {run.group.settings.precision for run in plan.runs()}
    rates = " or ".join(f"{speed.step_flops(item) / 1e9:.0f} GFLOP/s ({item})" for item in sorted(precisions))
    arithmetic = f"{rates} and {speed.environment_steps:.0f} environment steps/s"
    if known == len(wanted):
        return f"measured here ({speed.machine}, {speed.device}, {speed.date}); {bound}."
    advice = f"`dac plan {plan.name} --calibrate` measures here"
    if known:
        return (
            f"measured here ({speed.date}) for {known} of {len(wanted)} shapes, else from {arithmetic}; {bound}. "
            f"{advice} what is left."
        )
    if speed.date == speeds.NEVER:
        return f"from {arithmetic}, assumed; {bound}. {advice}."
    return f"from {arithmetic}, as measured on {speed.machine} ({speed.device}, {speed.date}); {bound}. {advice}."


def _shapes(plan: StudyPlan) -> set[str]:
    """Keys of all that the study's time depends on."""
    return {key for job in _work(plan, missing=False) for key in job_shapes(job, plan.params)}


def wall_clock_text(plan: StudyPlan, speed: speeds.Calibration) -> str:
    """How long this machine takes for what a study lacks, and with how many jobs side by side."""
    if not _work(plan, missing=True):
        return "nothing, except perhaps the page, which takes seconds"
    return f"{time_here(plan, speed)} ({_count(_slots(plan.params), 'job')} side by side)"


def time_here(plan: StudyPlan, speed: speeds.Calibration) -> str:
    """How long this machine takes for what a study lacks, its page included."""
    gpus = -(-demand.gpu_jobs(plan.params) // plan.params.compute.packs_per_gpu)
    place = _count(gpus, "GPU") if gpus else _count(speeds.cores(), "core")
    return f"about {durations.rounded(missing_seconds(plan, speed, _slots(plan.params)))} on {place}"


def _slots(params: Params) -> int:
    """Jobs that this machine runs side by side."""
    cores, shares = speeds.cores(), demand.gpu_jobs(params)
    return max(1, min(shares, cores) if shares else cores // params.compute.cpu_threads)


def missing_seconds(plan: StudyPlan, speed: speeds.Calibration, slots: int) -> float:
    """Wall clock of what a study lacks, on the cores and GPUs of this machine, with so many jobs side by side."""
    work = activities(_work(plan, missing=True), plan.params, speed, slots)
    seconds = wall_clock(work, speeds.cores(), demand.gpu_jobs(plan.params))
    return seconds + estimate.WORKFLOW_SECONDS + estimate.REPORT_SECONDS


def activities(work: Iterable[Job], params: Params, speed: speeds.Calibration, slots: int) -> list[Activity]:
    """Jobs to schedule; with others beside them on the same cores, each takes longer."""
    longer = speed.beside if slots > 1 else 1.0
    known = demand.Speeds.known(params.compute)
    found = []
    for job in work:
        cores, gpus = demand.here(job, params, speeds.cores(), known)
        after = job.after if isinstance(job, Train | Evaluate) else ()
        found.append(Activity(job.name, estimate.job_seconds(job, params, speed) * longer, cores, gpus, after))
    return found


def _experiment_runs(plan: StudyPlan, experiment: str) -> list[Run]:
    groups = dict.fromkeys(cell.group for cell in plan.cells if cell.experiment == experiment)
    return [Run(group, seed) for group in groups for seed in plan.seeds]


def _row(
    name: str, runs: list[Run], own: list[Run], work: list[Job], plan: StudyPlan, speed: speeds.Calibration
) -> tuple[str, ...]:
    groups = dict.fromkeys(run.group for run in own)
    by_group = {group: [run for run in own if run.group == group] for group in groups}
    seeds = {group: len(runs) for group, runs in by_group.items()}
    evaluations = plan.evaluations()
    params = plan.params
    memory = (estimate.pack_bytes(job.group, job.runs, params) for job in work if isinstance(job, Train))
    return (
        name,
        f"{len(runs):,}",
        f"{len(own):,}",
        f"{sum(len(list(packs(runs, params.compute.pack_size))) for runs in by_group.values()):,}",
        f"{sum(store.run_problem(run) is not None for run in own):,}",
        f"{sum(group.settings.steps * count for group, count in seeds.items()):,}",
        f"{sum(len(evaluations[group]) * count for group, count in seeds.items()):,}",
        size_text(sum(estimate.run_bytes(group) * count for group, count in seeds.items())),
        size_text(max(memory, default=0.0)),
        durations.rounded(sum(estimate.job_seconds(job, params, speed) for job in work)),
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    aligned = ("left", *["right"] * (len(HEADER) - 1))
    # The header is a row: tabulate widens the columns of its own by two.
    return str(tabulate([HEADER, *rows], tablefmt="plain", colalign=aligned, disable_numparse=True))


def size_text(count: float) -> str:
    """Bytes, for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
