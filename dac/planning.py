"""`dac plan`: what a study consists of and costs, as a table for people."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dac import estimate, store
from dac.params import Params
from dac.pending import packs
from dac.plan import Run, StudyPlan, study_plan


def describe(params: Params, study: str) -> str:
    """Runs, packs, gradient steps, disk and time per experiment of a study; runs that experiments share count once."""
    plan = study_plan(params, study)
    speed = estimate.calibration(_device(params.compute.device))
    counted: set[Run] = set()
    rows = []
    for name in params.studies[study].experiments:
        runs = _experiment_runs(plan, name)
        new = [run for run in runs if run not in counted]
        counted.update(runs)
        rows.append(_row(name, runs, new, plan, speed))
    rows.append(_row("total", list(counted), list(counted), plan, speed))
    header = ("experiment", "runs", "own", "packs", "missing", "steps", "evaluations", "disk", "time")
    lines = [f"study {study}: {params.studies[study].description.strip()}", "", *_table([header, *rows]), ""]
    lines.append(
        f"own: not already counted in a line above; the columns right of it count those. missing: not in {store.RUNS}."
    )
    lines.append(
        f"time: {speed.flops / 1e9:.0f} GFLOP/s and {speed.environment_steps:.0f} environment steps/s, "
        f"one job at a time, as {_measured(speed)}; an upper bound where episodes end early."
    )
    return "\n".join(lines) + "\n"


def _measured(speed: estimate.Calibration) -> str:
    if speed.date == "-":
        return "assumed (run `dac bench` to measure)"
    return f"measured on {speed.machine} ({speed.device}, {speed.date})"


def _device(setting: str) -> str:
    """The kind of device that a job would use, found without importing torch."""
    return "cuda" if setting.startswith("cuda") or (setting == "auto" and Path("/dev/nvidia0").exists()) else "cpu"


def _experiment_runs(plan: StudyPlan, experiment: str) -> list[Run]:
    groups = dict.fromkeys(cell.group for cell in plan.cells if cell.experiment == experiment)
    return [Run(group, seed) for group in groups for seed in plan.seeds]


def _row(name: str, runs: list[Run], own: list[Run], plan: StudyPlan, speed: estimate.Calibration) -> tuple[str, ...]:
    groups = dict.fromkeys(run.group for run in own)
    by_group = {group: [run for run in own if run.group == group] for group in groups}
    seeds = {group: len(runs) for group, runs in by_group.items()}
    evaluations = plan.evaluations()
    compute = plan.params.compute
    seconds = sum(estimate.training_seconds(group, count, speed) for group, count in seeds.items())
    return (
        name,
        f"{len(runs):,}",
        f"{len(own):,}",
        f"{sum(len(list(packs(runs, compute.pack_size))) for runs in by_group.values()):,}",
        f"{sum(store.run_problem(run) is not None for run in own):,}",
        f"{sum(group.values['steps'] * count for group, count in seeds.items()):,}",
        f"{sum(len(evaluations[group]) * count for group, count in seeds.items()):,}",
        _bytes(sum(estimate.run_bytes(group) * count for group, count in seeds.items())),
        _duration(seconds),
    )


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} d"
