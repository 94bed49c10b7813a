"""Where and with what something was made: kept beside results, outside of every identity."""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = (
    "dac", "torch", "gymnasium", "gymnasium-robotics", "mujoco", "minari", "stable-baselines3", "numpy", "pandas",
    "snakemake", "dvc",
)  # fmt: skip
PACKAGE = Path(__file__).resolve().parents[1]
UNKNOWN = "unknown"
GIT_SECONDS = 10.0  # for one answer; a finished training does not wait for a repository that does not answer

_GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")


def provenance(device: str, **facts: Any) -> dict[str, Any]:
    """Versions, machine, git commit and time, as plain JSON values. What cannot be found out is `unknown`.

    Args:
        device: where it was computed, for example `cpu` or a GPU's name.
        facts: anything else worth keeping, such as the seconds that it took.
    """
    return {
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "device": device,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "commit": commit(),
        **facts,
    }


def device_seconds(made: Mapping[str, Any]) -> float:
    """A run's share of its pack's time by its provenance.json, so that a sum over runs counts every pack once.

    Earlier files have `seconds`, the whole pack's since its last start, and `pack`, its number of runs. NaN where there
    is neither.
    """
    if "device_seconds" in made:
        return float(made["device_seconds"])
    return float(made.get("seconds", math.nan)) / int(made.get("pack", 1))


def version(package: str) -> str:
    """The version of an installed package; `unknown` where it has no metadata, or damaged ones."""
    try:
        return importlib.metadata.version(package) or UNKNOWN
    except (importlib.metadata.PackageNotFoundError, KeyError, OSError):
        return UNKNOWN


def machine() -> str:
    """The processor's model name and the number of cores."""
    return f"{processor()}, {_cores()} cores"


def processor() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # not Linux, or a container that hides it
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    return os.cpu_count() or 1


def commit() -> str:
    """The git commit of this code, with `+changes` where files differ from it; `unknown` where git does not track it.

    It is asked for where the code lies: the working folder may be in a repository of its user's own.
    """
    if not _git("ls-files", "--error-unmatch", "--", f"{PACKAGE.name}/__init__.py"):
        return UNKNOWN
    head = _git("rev-parse", "--short=12", "HEAD")
    code = (PACKAGE.name, "workflow", "Snakefile")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *code)
    if not head or changed is None:
        return UNKNOWN
    return head + ("+changes" if changed else "")


def _git(*arguments: str) -> str | None:
    """What git says in the folder that holds the package; None where it says nothing in time."""
    # Within a git hook these name that hook's repository, whatever the folder.
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    try:
        asked = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *arguments],
            capture_output=True,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.decode(errors="replace").strip()
