"""`dac parity`, `bench`: exactness and speed on this machine."""

from __future__ import annotations

import argparse
import json
from typing import Any

from dac.agent.config import PRECISIONS
from dac.cli.commands import Commands
from dac.system import files


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_parity(
        commands.add("parity", _parity, "replay recorded arrays through the agent and print the worst deviations")
    )
    _add_bench(commands.add("bench", _bench, "measure speed, or exactness, of training on this machine"))


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
    command.add_argument(
        "--accuracy",
        nargs="*",
        metavar="RUN",
        help="measure instead how exact the targets are in every precision: on runs of the store, or on small networks "
        "that are trained first",
    )
    command.add_argument("--page", action="store_true", help="write benchmarks/README.md from the recorded results")
    command.add_argument("--json", type=files.expanded, help="also write the result there")


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
    if options.accuracy is None:
        result = _speed(options)
    else:
        from dac.bench import accuracy

        result = accuracy.measure(options.device, options.threads, options.accuracy)
    text = json.dumps(result, indent=2, sort_keys=True)
    print(text)
    if options.json:
        files.write_text(options.json, text + "\n")


def _speed(options: argparse.Namespace) -> dict[str, Any]:
    from dac.bench.measure import measure

    return measure(
        options.device,
        options.threads,
        options.seconds,
        options.runs,
        options.diffusion_steps,
        options.precision,
        options.processes,
    )
