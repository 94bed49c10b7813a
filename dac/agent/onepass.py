"""Mish in one pass over its values on a CPU, where a C compiler is there: onepass.c, compiled when it is first needed.

PyTorch has a kernel for each operation, so what `activation` writes as five or eleven of them goes through memory as
often, and takes longer than the matrix products around it. The compiled functions do the same operations with the
same roundings: where they do not give the same bits, or cannot be compiled, PyTorch's kernels are used, which differ in
nothing but time. What is compiled is kept in the user's cache folder, by a name that says for which code and processor.
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

import torch
from torch import Tensor

LOG = logging.getLogger(__name__)

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = (
    "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared",
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",  # roundings as written; errors are nobody's concern
)  # fmt: skip
COMPILE_SECONDS = 60.0
SHARED_OUT = 32768  # values from which on threads gain more than it costs to wake them; PyTorch's own number


class Functions:
    """The compiled functions.

    Args:
        path: of the compiled library.

    Raises:
        OSError: it is none that can be loaded here.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        pointer, count, threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
        self._mish, self._mish_and_slope = library.mish, library.mish_and_slope
        self._mish.argtypes = [pointer, pointer, count, threads]
        self._mish_and_slope.argtypes = [pointer, pointer, pointer, count, threads]

    def mish(self, x: Tensor, s: Tensor) -> Tensor:
        """Overwrite `x` with its Mish; s: its logistic function."""
        self._mish(x.data_ptr(), s.data_ptr(), x.numel(), _threads(x))
        return x

    def mish_and_slope(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Mish of `x`, and its derivative, which overwrites `s`, the logistic function of `x`."""
        value = torch.empty_like(x)
        self._mish_and_slope(x.data_ptr(), s.data_ptr(), value.data_ptr(), x.numel(), _threads(x))
        return value, s


def takes(x: Tensor) -> bool:
    """Whether the compiled functions can take a tensor: float32 in one piece of a CPU's memory."""
    return x.dtype == torch.float32 and x.device.type == "cpu" and x.is_contiguous()


def functions() -> Functions | None:
    """The compiled functions; None, which the log explains, where there are none."""
    compiler = shutil.which("cc")
    if compiler is None:
        LOG.info("There is no C compiler (cc) here: PyTorch's kernels compute the same, which takes a CPU longer.")
        return None
    try:
        return Functions(_compiled(compiler))
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:  # the last where nobody has a home
        said = str(getattr(error, "stderr", None) or error).strip()
        LOG.info("%s is not compiled; PyTorch's kernels compute the same, which takes a CPU longer: %s", SOURCE, said)
        return None


def _threads(x: Tensor) -> int:
    return torch.get_num_threads() if x.numel() > SHARED_OUT else 1


def _compiled(compiler: str) -> Path:
    """The library of this source for this processor, compiled unless it is there."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dac"
    identity = "\0".join([SOURCE.read_text(), *FLAGS, platform.platform(), _instructions()])
    library = folder / f"onepass-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            made = Path(temporary) / library.name
            command = [compiler, *FLAGS, "-o", str(made), str(SOURCE), "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_SECONDS)
            made.replace(library)  # whole at once: others may compile it at the same time
    return library


def _instructions() -> str:
    """What the processor can do, which `-march=native` compiles for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
