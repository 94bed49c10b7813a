"""What a study lacks, in a line: runs, time here, disk, and what is to be downloaded."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from dac.cost import estimate, speeds, table
from dac.study import store, timings
from dac.study.catalog import d4rl_file
from dac.study.identity import Dataset
from dac.study.jobs import Fetch, Job, jobs
from dac.study.plan import StudyPlan

WIDTH = 100  # columns of a terminal


def line(plan: StudyPlan) -> str:
    """Such as: `paper: 248 of 752 runs, about 3 h on 1 GPU, 2.3 GB of disk, …`; two lines where one is too narrow."""
    runs = plan.runs()
    missing = [run for run in runs if store.run_problem(run)]
    work = jobs(plan, runs, missing=True)
    time = table.time_here(plan, speeds.calibration(plan.params.compute))
    disk = table.size_text(sum(estimate.run_bytes(run.group) for run in missing))
    device = speeds.device_kind(plan.params.compute.device)
    gpu = "" if device == "cuda" else ", no GPU"
    text = f"{plan.name}: {_counts(plan, len(runs), len(missing))}, {time}{gpu}, {disk} of disk, {_downloads(work)}"
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _counts(plan: StudyPlan, runs: int, missing: int) -> str:
    """How many runs are missing, and times of steps, of a study that has them."""
    timed = plan.timings()
    lacking = sum(timings.problem(timing) is not None for timing in timed)
    parts = [f"{missing:,} of {runs:,} runs"] if runs or not timed else []
    return ", ".join([*parts, *([f"{lacking:,} of {len(timed):,} timings"] if timed else [])])


def _downloads(work: Iterable[Job]) -> str:
    datasets = [job.dataset for job in work if isinstance(job, Fetch)]
    if not datasets:
        return "nothing to download"
    sizes = [_size(dataset) for dataset in datasets]
    known = [size for size in sizes if size is not None]
    unknown = len(sizes) - len(known)
    parts = [table.size_text(sum(known))] if known else []
    parts += [f"{unknown} dataset{'' if unknown == 1 else 's'} of unknown size"] if unknown else []
    return f"{' and '.join(parts)} to download"


def _size(dataset: Dataset) -> int | None:
    """Bytes of a dataset's file, where they are known before it is here."""
    return d4rl_file(dataset.name).size if dataset.source == "d4rl" else None
