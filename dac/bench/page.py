"""benchmarks/README.md and its plots, from the recorded results of `dac bench`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate  # type: ignore[import-untyped]

from dac.bench import accuracy_page, targets_page
from dac.bench.gpu_check import page as gpu_checks
from dac.system import files
from dac.system.errors import UserError
from dac.system.paths import BENCHMARKS, GPU_CHECKS

PARTS = ("draws", "batch", "target_sampling", "target_q", "critic", "actor", "ema")

Record = Mapping[str, Any]

INTRODUCTION = """\
# Speed and exactness

Written by `dac bench --page` from the files in [results/](results), each made on one machine by `make bench`, or by
`dac bench --json FILE`. Where nothing else is said, times are of the paper's settings (batch 256, N = 10, H = 10,
T = 5, networks of 256-256-256) on random data of Hopper's sizes, without evaluations; medians over repeated calls.
Training data are in memory, on the device. `fp32` and `bf16` are values of `training.precision`.
"""


def write(folder: Path = BENCHMARKS) -> Path:
    """Write the page; returns its path.

    Raises:
        UserError: there is no result to show.
    """
    found = [json.loads(path.read_text()) for path in sorted((folder / "results").glob("*.json"))]
    records = [record for record in found if "packs" in record]
    exactness = [record for record in found if "accuracy" in record]  # others are bare calibrations
    aims = [record for record in found if "targets" in record]
    if not records and not exactness and not aims:
        raise UserError(f"{folder}/results: no result is recorded there; run `make bench` first.")
    sections = [
        INTRODUCTION,
        *targets_page.sections(aims, _machine, table),
        *(_speed(records, folder) if records else []),
        *accuracy_page.sections(exactness, _machine, table),
        *gpu_checks.section(folder / GPU_CHECKS.name),
    ]
    page = folder / "README.md"
    files.write_text(page, "\n".join(sections))
    return page


def _speed(records: list[Record], folder: Path) -> list[str]:
    return [
        *_packs(records, folder),
        *_separate(records),
        *_memory(records),
        *_parts(records),
        *_sweep(records, folder),
        _environments(records),
    ]


def _machine(record: Record) -> str:
    precision = "" if "packs" not in record else f", {record.get('precision', 'fp32')}"
    kernel = "" if record.get("kernel", "torch") == "torch" else f", {record['kernel']}"
    threads = f"{record['threads']} thread{'s' * (record['threads'] > 1)}"
    where = f", {threads}" if record["device"] == "cpu" else f" ({record['device_name']})"
    compiled = ", compiled networks" if record.get("compiled") else ""
    made = f"torch {record['versions']['torch']}, {record['date']}"
    return f"{record['machine']}{precision}{kernel}{where}{compiled}, {made}"


def table(rows: Iterable[tuple[Any, ...]], headers: tuple[str, ...]) -> str:
    return str(tabulate(list(rows), headers=headers, tablefmt="github", disable_numparse=True)) + "\n"


def _packs(records: list[Record], folder: Path) -> list[str]:
    rows = [
        (
            _machine(record),
            pack["runs"],
            f"{pack['step_ms']:.1f}",
            f"{pack['step_ms'] / pack['runs']:.1f}",
            f"{record['plain_ms'] * pack['runs'] / pack['step_ms']:.2f}" if "plain_ms" in record else "-",
            f"{pack['flops'] / 1e9:.0f}",
            f"{100 * pack['flops'] / record['matmul_flops']:.0f} %",
            f"{pack['acting_ms']:.1f}",
            f"{pack['peak_bytes'] / 1e6:.0f}" if pack["peak_bytes"] else "-",
        )
        for record in records
        for pack in record["packs"]
    ]
    headers = (
        "machine",
        "runs",
        "ms a step",
        "ms a step and run",
        "plain PyTorch ÷ this",
        "GFLOP/s",
        "of torch.bmm's",
        "ms to act",
        "peak MB",
    )
    frame = pd.DataFrame(
        [(_machine(record), pack["runs"], pack["step_ms"]) for record in records for pack in record["packs"]],
        columns=["machine", "runs", "ms"],
    )
    _plot(frame, "runs", "machine", folder / "figures/packs.png", "Runs in the pack", "ms per gradient step of all")
    text = """\
`torch.bmm` is what the same machine reaches in nothing but the critics' batched matrix products as PyTorch computes
them; compiled networks have products of their own, which may be faster. To act is to choose one of ten candidates in
ten states of every run, as an evaluation does at every environment step. Plain PyTorch is the same step in float32 as
one would first write it (`dac/agent/plain.py`), with as many runs one after the other.
"""
    return [
        "## Time against the number of runs that train together\n",
        table(rows, headers),
        text,
        "![](figures/packs.png)\n",
    ]


def _separate(records: list[Record]) -> list[str]:
    rows = []
    for record in records:
        packs = {pack["runs"]: pack["step_ms"] for pack in record["packs"]}
        separate = record.get("separate")
        if separate and separate["processes"] in packs:
            one, pack = packs.get(1), packs[separate["processes"]]
            rows.append(
                (
                    _machine(record),
                    separate["processes"],
                    f"{pack:.1f}",
                    f"{separate['step_ms']:.1f}",
                    f"{separate['step_ms'] / pack:.2f}",
                    f"{pack / one:.2f}" if one else "-",
                )
            )
    if not rows:
        return []
    headers = ("machine", "runs", "one pack", "a process each", "÷ pack", "pack ÷ one run alone")
    text = """\
Milliseconds for one gradient step of all the runs: together in a pack, and in as many processes of one run each that
share the device and, on a CPU, its threads.
"""
    return ["## One pack against as many processes\n", table(rows, headers), text]


def _memory(records: list[Record]) -> list[str]:
    rows = []
    for record in records:
        packs = [(pack["runs"], pack["peak_bytes"] / 1e6) for pack in record["packs"] if pack["peak_bytes"]]
        if len(packs) > 2:
            runs, megabytes = np.array(packs).T
            slope, fixed = np.polyfit(runs, megabytes, 1)
            worst = np.abs(fixed + slope * runs - megabytes).max()
            rows.append((_machine(record), f"{slope:.1f}", f"{fixed:.1f}", f"{worst:.1f}", f"{runs.max():.0f}"))
    if not rows:
        return []
    headers = ("machine", "MB a run", "MB besides", "largest deviation (MB)", "largest pack")
    text = """\
A straight line through the packs' peaks: of tensors on a GPU; of the whole process, less what it needed before its
first pack, on a CPU. The 100,000 transitions that all runs share are among what is needed besides.
"""
    return ["## Memory\n", table(rows, headers), text]


def _parts(records: list[Record]) -> list[str]:
    rows = [
        (
            _machine(record),
            pack["runs"],
            *(f"{pack['parts_ms'][part]:.2f}" if part in pack["parts_ms"] else "-" for part in PARTS),
            f"{pack['step_ms']:.1f}",
        )
        for record in records
        for pack in record["packs"]
    ]
    headers = ("machine", "runs", *(part.replace("_", " ") for part in PARTS), "whole step")
    text = """\
Milliseconds, each part called by itself; together they are about the whole step. `target sampling` and `target q`,
which need no gradient, are the next actions and their values.
"""
    if any(part not in pack["parts_ms"] for record in records for pack in record["packs"] for part in PARTS):
        text += "Kernels that compute both in their own way are timed in the whole step alone.\n"
    return ["## Where the time goes\n", table(rows, headers), text]


def _sweep(records: list[Record], folder: Path) -> list[str]:
    frames = []
    for record in records:
        if record["sweep"]:
            frame = pd.DataFrame(record["sweep"]).pivot(index="diffusion_steps", columns="guidance")
            frames.append((record, frame))
    if not frames:
        return []
    rows = [
        (
            _machine(record),
            steps,
            *(f"{frame.loc[steps, ('step_ms', guidance)]:.1f}" for guidance in ("soft", "denoised")),
            f"{frame.loc[steps, ('step_ms', 'denoised')] / frame.loc[steps, ('step_ms', 'soft')]:.2f}",
            *(f"{frame.loc[steps, ('actor_ms', guidance)]:.1f}" for guidance in ("soft", "denoised")),
            f"{frame.loc[steps, ('actor_ms', 'denoised')] / frame.loc[steps, ('actor_ms', 'soft')]:.2f}",
        )
        for record, frame in frames
        for steps in frame.index
    ]
    headers = (
        "machine", "T", "soft, step (ms)", "denoised, step", "ratio", "soft, actor (ms)", "denoised, actor", "ratio",
    )  # fmt: skip
    long = pd.concat(
        [pd.DataFrame(record["sweep"]).assign(machine=_machine(record)) for record, _ in frames], ignore_index=True
    )
    long["what"] = long["guidance"] + ", " + long["machine"]
    frame = long.rename(columns={"diffusion_steps": "T", "actor_ms": "ms"})[["what", "T", "ms"]]
    _plot(
        frame, "T", "what", folder / "figures" / "diffusion-steps.png", "Diffusion steps T", "ms of the actor's update"
    )
    text = """\
The paper's Table 8 times the update of DAC against Diffusion-QL, whose gradient goes through the whole chain as that of
denoised guidance does here, and reports about 18 times at T = 100. Both ratios are shown because the next actions are
sampled by the same chain in both: it is in the whole step, and not in the actor's update.
"""
    return [
        "## Soft and denoised guidance against the diffusion steps (the paper's Table 8)\n",
        table(rows, headers),
        text,
        "![](figures/diffusion-steps.png)\n",
    ]


def _environments(records: list[Record]) -> str:
    rows = [(_machine(record), record["environment"], f"{record['environment_steps']:,.0f}") for record in records]
    return "## Environments\n\n" + table(rows, ("machine", "environment", "steps a second and core"))


def _plot(frame: pd.DataFrame, x: str, hue: str, path: Path, xlabel: str, ylabel: str) -> None:
    import seaborn
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    seaborn.lineplot(frame, x=x, y="ms", hue=hue, style=hue, markers=True, dashes=False, ax=axis)
    axis.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    ticks = sorted(frame[x].unique())
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.legend(title=None, frameon=False, fontsize="small")
    axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
