"""A C source as a library of this machine: compiled when it is first needed, where a C compiler is there.

What is compiled is kept in the user's cache folder, by a name that says for which code and processor.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

LOG = logging.getLogger(__name__)

FLAGS = (
    "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared",
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",  # roundings as written; errors are nobody's concern
)  # fmt: skip
COMPILE_SECONDS = 120.0
DIGITS = 16  # of a hash in a file's name


def library(source: Path) -> ctypes.CDLL | None:
    """The compiled library; None, which the log explains, where there is none."""
    compiler = shutil.which("cc")
    if compiler is None:
        LOG.info("There is no C compiler (cc) here: PyTorch computes the same, which takes a CPU longer.")
        return None
    try:
        return ctypes.CDLL(str(_compiled(compiler, source)))
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:  # the last where nobody has a home
        said = str(getattr(error, "stderr", None) or error).strip()
        LOG.info("%s is not compiled; PyTorch computes the same, which takes a CPU longer: %s", source, said)
        return None


def _compiled(compiler: str, source: Path) -> Path:
    """The library of a source for this processor, compiled unless it is there and whole."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dac"
    identity = _digest("\0".join([source.read_text(), *FLAGS, platform.platform(), _instructions()]).encode())
    for path in folder.glob(f"{source.stem}-{identity}-*.so"):
        if path.stem.endswith(_digest(path.read_bytes())):  # a damaged one would end the process that loads it
            return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        made = Path(temporary) / "made.so"
        command = [compiler, *FLAGS, "-o", str(made), str(source), "-lm"]
        subprocess.run(
            command, check=True, capture_output=True, encoding="utf-8", errors="replace", timeout=COMPILE_SECONDS
        )
        found = folder / f"{source.stem}-{identity}-{_digest(made.read_bytes())}.so"
        made.replace(found)  # whole at once: others may compile it at the same time
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _instructions() -> str:
    """What the processor can do, which `-march=native` compiles for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
