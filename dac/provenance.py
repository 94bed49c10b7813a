"""Where and with what something was made: kept beside results, outside of every identity."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "gymnasium", "mujoco", "minari", "stable-baselines3", "numpy", "pandas", "snakemake", "dvc")


def provenance(device: str, seconds: float, **facts: Any) -> dict[str, Any]:
    """Versions, machine, git commit and time, as plain JSON values.

    Args:
        device: where it was computed, for example `cpu` or a GPU's name.
        seconds: wall-clock time that it took.
        facts: anything else worth keeping.
    """
    return {
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "machine": machine(),
        "device": device,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "commit": commit(),
        **facts,
    }


def machine() -> str:
    """The processor's model name and the number of cores."""
    return f"{processor()}, {_cores()} cores"


def processor() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    return os.cpu_count() or 1


def commit() -> str:
    """The git commit of the working tree, with `+changes` where files differ from it; `unknown` outside of git."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", "dac", "workflow", "Snakefile"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
