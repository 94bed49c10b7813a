"""`dac parity`, `bench`, `gpu-check`: exactness and speed on this machine."""

from __future__ import annotations

import argparse
import json
from typing import Any

from dac.agent.config import PRECISIONS
from dac.cli.commands import Commands
from dac.system import files
from dac.system.errors import UserError, closest


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_parity(
        commands.add("parity", _parity, "replay recorded arrays through the agent and print the worst deviations")
    )
    _add_bench(commands.add("bench", _bench, "measure speed, or exactness, of training on this machine"))
    _add_gpu_check(
        commands.add("gpu-check", _gpu_check, "check that this machine's GPUs compute what they should, and how fast")
    )


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
    command.add_argument(
        "--kernel",
        choices=("torch", "triton"),
        default="torch",
        help="of the targets; triton's are for a GPU",
    )
    command.add_argument("--processes", type=int, default=0, help="also time this many runs at once, a process each")
    command.add_argument(
        "--accuracy",
        nargs="*",
        metavar="RUN",
        help="measure instead how exact the targets are in every precision: on runs of the store, or on small networks "
        "that are trained first",
    )
    command.add_argument(
        "--targets",
        action="store_true",
        help="measure instead, in turns, the times that this code aims at on a CPU: best on an idle machine",
    )
    command.add_argument("--page", action="store_true", help="write benchmarks/README.md from the recorded results")
    command.add_argument("--json", type=files.expanded, help="also write the result there")


def _add_gpu_check(command: argparse.ArgumentParser) -> None:
    command.add_argument("--minutes", type=float, default=10.0, help="that it may take; the last parts are dropped")
    command.add_argument(
        "--data", type=files.expanded, help="a file in D4RL's layout to train on, instead of collecting"
    )
    command.add_argument("--env", help="the Gymnasium id of its environment")
    command.add_argument(
        "--folder", type=files.expanded, help="where the results go; default: benchmarks/gpu-check/HOST"
    )
    command.add_argument(
        "--on", choices=("gpu", "cpu"), help="default: a GPU where there is one, else small on the CPU"
    )
    command.add_argument("--part", help="run this one alone, in this process, and write its outcome")


def _gpu_check(options: argparse.Namespace) -> None:
    from dac.bench.gpu_check import parts, run
    from dac.bench.gpu_check.setup import Setup
    from dac.system import gpus

    if options.part is None:
        if not run.check(options.folder, options.minutes, options.data, options.env, options.on):
            raise SystemExit(1)
        return
    if options.part not in parts.BY_NAME or not options.folder or not options.on:
        raise UserError(f"--part: {closest(options.part, list(parts.BY_NAME))} It needs --folder and --on, too.")
    kind = "cuda" if options.on == "gpu" else "cpu"
    setup = Setup(options.folder, kind, gpus.count(), 60 * options.minutes, options.data, options.env)
    run.run_part(options.part, setup)


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
    if options.targets:
        from dac.bench import targets

        result = targets.measure(options.threads, options.seconds)
    elif options.accuracy is not None:
        from dac.bench import accuracy

        result = accuracy.measure(options.device, options.threads, options.accuracy)
    else:
        result = _speed(options)
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
        options.kernel,
    )
