"""Which device a job computes on."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import torch

from dac.system.errors import UserError

LOG = logging.getLogger(__name__)
POLL_SECONDS = 2.0


@contextlib.contextmanager
def claimed(setting: str) -> Iterator[torch.device]:
    """The device to compute on, made current; a GPU chosen by `auto` is held for this process alone in the block.

    Snakemake counts GPUs but assigns none, so jobs beside each other share them out through a lock per GPU.

    Args:
        setting: `cpu`, `cuda`, `cuda:<index>`, or `auto`: a GPU that no other job holds, the CPU where there is none.

    Raises:
        UserError: CUDA is asked for and not there, or has no GPU of this index.
    """
    if setting == "cpu" or (setting == "auto" and not torch.cuda.is_available()):
        _keep_freed_memory()
        yield torch.device("cpu")
        return
    if not torch.cuda.is_available():
        raise UserError(
            f"params.yaml: compute.device: found {setting!r}; PyTorch sees no GPU here. Allowed here: auto, cpu."
        )
    if setting.startswith("cuda:"):
        index, count = int(setting.removeprefix("cuda:")), torch.cuda.device_count()
        if index >= count:
            raise UserError(
                f"params.yaml: compute.device: found {setting!r}; PyTorch sees {count} GPUs here, the last is "
                f"cuda:{count - 1}. Give one of them, or auto."
            )
        yield use(torch.device("cuda", index))
        return
    index, stream = _free_gpu()
    with stream:
        yield use(torch.device("cuda", index))


def use(device: torch.device) -> torch.device:
    """Make a GPU the process's current one, on which CUDA does what names no device, such as recording; returns it."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def _keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next allocation instead of giving it back to the system.

    A gradient step frees and allocates the same large tensors again and again; fetching their pages anew each time
    costs about a third of the step. Does nothing where the C library is not glibc.
    """
    trim_threshold, mmap_max = -1, -4  # numbers of mallopt, from glibc's malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def _free_gpu() -> tuple[int, TextIO]:
    """Index of a GPU and its held lock; waits while other jobs hold them all."""
    folder = Path(tempfile.gettempdir()) / "dac-gpu-locks"
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)  # whatever the umask: other users of the machine share these locks
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    LOG.info("looking for a free GPU among %d", len(names))
    while True:
        for index, gpu in enumerate(names):
            # Opened for reading: the file may be another user's.
            stream = open(os.open(folder / gpu, os.O_RDONLY | os.O_CREAT, 0o666))  # noqa: SIM115, PTH123
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.close()
                continue
            return index, stream
        time.sleep(POLL_SECONDS)


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices itself; others only imitate it, slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return platform.machine() not in ("x86_64", "AMD64") or torch.cpu._is_avx512_bf16_supported()


def name(device: torch.device) -> str:
    """The device's name for people: `cpu`, or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
