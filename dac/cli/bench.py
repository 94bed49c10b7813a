"""`dac parity`, `bench`, `gpu-check`: exactness and speed on this machine."""

from __future__ import annotations

import argparse
import functools
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from dac.agent.config import PRECISIONS
from dac.bench.kernel import KERNELS
from dac.cli.commands import Commands
from dac.study.params import DEVICE
from dac.system import files
from dac.system.errors import UserError, closest

# The options of `dac bench` that say how to measure, and what they are where they are not given.
MEASURING: dict[str, Any] = {
    "device": "cpu",
    "threads": 2,
    "seconds": 10.0,
    "runs": [1],
    "diffusion_steps": [],
    "precision": "fp32",
    "kernel": "torch",
    "processes": 0,
    "json": None,
}
# Those that are heeded where something else than speed is asked for.
HEEDED = {
    "accuracy": ("device", "threads", "json"),
    "targets": ("threads", "seconds", "json"),
    "page": (),
}


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
    command.add_argument("--pack", type=_whole(1), default=1, help="replay it as one of this many runs")
    command.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the products; sets the tolerance")
    command.add_argument("--tolerance", type=float, help="largest relative deviation that passes; default: by quantity")


def _add_bench(command: argparse.ArgumentParser) -> None:
    # Without a default here: what is in the namespace was given.
    option = functools.partial(command.add_argument, default=argparse.SUPPRESS)
    option("--device", type=_device, help="cpu (the default), cuda, cuda:NUMBER or auto")
    option("--threads", type=_whole(1))
    option("--seconds", type=_positive, help="time for each measurement")
    option("--runs", type=_whole(1), nargs="+", help="pack sizes")
    option("--diffusion-steps", type=_whole(1, 1000), nargs="*", help="compare soft and denoised guidance at these T")
    option("--precision", choices=PRECISIONS)
    option("--kernel", choices=KERNELS, help="of the targets; triton's are for a GPU")
    option("--processes", type=_whole(0), help="also time this many runs at once, a process each")
    option("--json", type=files.expanded, help="also write the result there")
    instead = command.add_mutually_exclusive_group()
    instead.add_argument(
        "--accuracy",
        nargs="*",
        metavar="RUN",
        help="measure instead how exact the targets are in every precision: on runs of the store, or on small networks "
        f"that are trained first; goes with {_flags(HEEDED['accuracy'])}",
    )
    instead.add_argument(
        "--targets",
        action="store_true",
        help="measure instead, in turns, the times that this code aims at on a CPU: best on an idle machine; goes with "
        f"{_flags(HEEDED['targets'])}",
    )
    instead.add_argument("--page", action="store_true", help="write benchmarks/README.md from the recorded results")


def _flags(names: Iterable[str]) -> str:
    """Options as they are typed, for people."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an option that is a whole number within limits."""
    allowed = f"allowed: a whole number from {least} {'on' if most is None else f'to {most}'}"

    def number(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or not least <= int(text) <= (most or int(text)):
            raise argparse.ArgumentTypeError(f"found {text!r}; {allowed}")
        return int(text)

    return number


def _positive(text: str) -> float:
    """The type of an option that is a time."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed: a number above 0")
    return number


def _device(text: str) -> str:
    """The type of an option that is a device, as `compute.device` in params.yaml."""
    if not re.fullmatch(DEVICE, text):
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed: cpu, cuda, cuda:NUMBER, auto")
    return text


def _add_gpu_check(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--minutes",
        type=_positive,
        default=10.0,
        help="that it may take; parts for which too little is left are dropped",
    )
    command.add_argument(
        "--data", type=files.expanded, help="a file in D4RL's layout to train on, instead of collecting"
    )
    command.add_argument("--env", help="the Gymnasium id of its environment")
    command.add_argument(
        "--folder",
        type=files.expanded,
        help="where the results go; default: benchmarks/gpu-check/HOST, of a CPU work/gpu-check",
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
    how = _measuring(options)
    if options.page:
        from dac.bench import page

        print(f"Read {page.write()}")
        return
    if options.targets:
        from dac.bench import targets

        result = targets.measure(how["threads"], how["seconds"])
    elif options.accuracy is not None:
        from dac.bench import accuracy

        result = accuracy.measure(how["device"], how["threads"], options.accuracy)
    else:
        result = _speed(how)
    text = json.dumps(result, indent=2, sort_keys=True)
    print(text)
    if how["json"]:
        files.write_text(how["json"], text + "\n")


def _measuring(options: argparse.Namespace) -> dict[str, Any]:
    """The values of all options in MEASURING.

    Raises:
        UserError: one is given that would be ignored.
    """
    given = {name: value for name, value in vars(options).items() if name in MEASURING}
    for what, heeded in HEEDED.items():
        ignored = [name for name in given if name not in heeded]
        if getattr(options, what) not in (None, False) and ignored:
            raise UserError(
                f"dac bench --{what}: found {_flags(ignored)}, which it does not heed; allowed with it: "
                f"{_flags(heeded) or 'nothing'}. Leave out the one or the other."
            )
    return MEASURING | given


def _speed(how: dict[str, Any]) -> dict[str, Any]:
    from dac.bench.measure import measure

    return measure(
        how["device"],
        how["threads"],
        how["seconds"],
        how["runs"],
        how["diffusion_steps"],
        how["precision"],
        how["processes"],
        how["kernel"],
    )
