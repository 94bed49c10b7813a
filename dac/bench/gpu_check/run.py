"""A check as a whole: each part in a process of its own, within a time, and what came of it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dac.bench.gpu_check import page
from dac.bench.gpu_check.parts import BY_NAME, PARTS, Part, outcome
from dac.bench.gpu_check.setup import Setup
from dac.system import files, gpus, provenance
from dac.system.errors import UserError
from dac.system.paths import GPU_CHECKS, WORK

KILL_SECONDS = 10.0  # for a part to end by itself once its time is over
MADE = ("parts", "project", "logs", "check.json", "README.md", "curve.png", "tests.xml")


def check(folder: Path | None, minutes: float, data: Path | None, env: str | None, on: str | None) -> bool:
    """Run all parts, print what came of each, and write the folder's page; returns whether none failed that counts.

    Args:
        folder: of the results; None: one of this machine's, of a CPU's check in work/.
        minutes: after which no part is begun, and one that runs is ended.
        data, env: see `Setup`. on: `gpu` or `cpu`; None: what is here.

    Raises:
        UserError: one of data and env is missing, or the folder is something else's.
    """
    if (data is None) != (env is None):
        raise UserError("dac gpu-check: --data and --env go together: a file of yours, and the Gymnasium id it is of.")
    kind = {"gpu": "cuda", "cpu": "cpu"}.get(on or "", "cuda" if gpus.count() else "cpu")
    folder = folder or (GPU_CHECKS / platform.node() if kind == "cuda" else WORK / "gpu-check")
    _empty(folder)
    if kind == "cpu":
        _print(f"No GPU is used here: {'--on cpu' if on else gpus.why_none()}.")
        _print("What follows is small and on the CPU: it shows that the check itself runs, and says nothing of a GPU.")
    end = time.monotonic() + 60 * minutes
    outcomes = {}
    for part in PARTS:
        left = end - time.monotonic()
        setup = Setup(folder, kind, gpus.count(), left, data, env)
        outcomes[part.name] = _run(part, setup) if _fits(part, setup) else _dropped(left)
        _print(page.line(part.name, outcomes[part.name]))
    record = {
        "machine": provenance.machine(),
        "kind": kind,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": provenance.commit(),
        "versions": {"torch": provenance.version("torch")},
        "minutes": minutes,
        "parts": outcomes,
    }
    files.write_text(folder / "check.json", json.dumps(record, indent=2) + "\n")
    for text in page.advice(record):
        _print(f"set {text}")
    _print(f"Read {page.write(folder)}")
    return not any(part.counts and outcomes[part.name]["state"] == "failed" for part in PARTS)


def run_part(name: str, setup: Setup) -> None:
    """Run one part in this process and write its outcome."""
    found = outcome(BY_NAME[name], setup)
    files.write_text(setup.file_of(name), json.dumps(found, indent=2) + "\n")


def _empty(folder: Path) -> None:
    """Remove what an earlier check left in its folder, and nothing else.

    Raises:
        UserError: there is something else in it.
    """
    strangers = sorted(path.name for path in folder.glob("*") if path.name not in MADE)
    if strangers:
        raise UserError(
            f"{folder}: found {strangers[0]}, which no check made. Give --folder another one, or an empty one."
        )
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("parts", "logs"):
        (folder / name).mkdir(parents=True)


def _fits(part: Part, setup: Setup) -> bool:
    """Whether the time that is left is worth beginning a part."""
    return setup.seconds >= (part.least if setup.kind == "cuda" else 1.0)


def _dropped(left: float) -> dict[str, Any]:
    return {"state": "dropped", "said": f"{max(0.0, left):.0f} s were left; give more --minutes", "result": None}


def _run(part: Part, setup: Setup) -> dict[str, Any]:
    """A part's outcome, from a process of its own; one that dies or takes too long fails, and nothing else does."""
    log = setup.folder / "logs" / f"{part.name}.log"
    _print(f"{part.name}: {part.title} ...")
    with log.open("w") as stream:
        process = subprocess.Popen(
            _command(part, setup), stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(setup.seconds + KILL_SECONDS)
            ended = f"its process ended with status {status}, see {log}"
        except subprocess.TimeoutExpired:
            ended = f"it did not end within the {setup.seconds:.0f} s that were left, see {log}"
        finally:
            _end(process)
    found = files.read_json(setup.file_of(part.name))
    return found if found is not None else {"state": "failed", "said": ended, "result": None}


def _command(part: Part, setup: Setup) -> list[str]:
    command = [sys.executable, "-m", "dac", "gpu-check", "--part", part.name, "--folder", str(setup.folder)]
    command += ["--minutes", str(setup.seconds / 60), "--on", "gpu" if setup.kind == "cuda" else "cpu"]
    own: Iterable[str] = ("--data", str(setup.data), "--env", str(setup.env)) if setup.data else ()
    return [*command, *own]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part's process, if it has not ended, and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _print(text: str) -> None:
    print(text, flush=True)
