"""Which device a job computes on."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator

import torch

from dac.system import gpus
from dac.system.errors import UserError

SETTING = "params.yaml: compute.device"


@contextlib.contextmanager
def claimed(setting: str, packs: int = 1, *, asked_by: str = SETTING) -> Iterator[torch.device]:
    """The device to compute on, made current; a GPU, or a share of one, is held for this process in the block.

    A process is bound to the GPU that it gets: CUDA, here and in the processes started from here, sees no other.

    Args:
        setting: `cpu`, `cuda` (see `gpus.held`), `cuda:<number>`, or `auto`: `cuda` where there is a GPU, else `cpu`.
        packs: how many processes may hold a GPU at a time. asked_by: what errors call the setting.

    Raises:
        UserError: a GPU is to be used, and there is none, or PyTorch cannot use it; there is none of this number.
    """
    if setting == "cpu":
        yield prepared(torch.device("cpu"))
        return
    look = _look(setting, asked_by)
    if not look():
        if setting != "auto":
            raise _no_gpu(asked_by, setting, gpus.why_none())
        yield prepared(torch.device("cpu"))
        return
    with gpus.held(look, packs) as gpu:
        if gpu.uuid.startswith(("GPU-", "MIG-")):  # NVML's names, which CUDA takes
            os.environ[gpus.VISIBLE] = gpu.uuid
        if not torch.cuda.is_available():
            raise _no_gpu(asked_by, setting, _why_torch_sees_none())
        # One is visible; more only where CUDA was in use before, which then keeps the numbers of that time.
        yield prepared(torch.device("cuda", 0 if torch.cuda.device_count() == 1 else gpu.number))


def _look(setting: str, asked_by: str) -> Callable[[], list[gpus.Gpu]]:
    """What looks for the GPUs that a setting admits."""

    def look() -> list[gpus.Gpu]:
        found = gpus.visible() or _seen_by_torch()
        if found and setting.startswith("cuda:"):
            return [gpus.numbered(found, int(setting.removeprefix("cuda:")), asked_by)]
        return found

    return look


def _seen_by_torch() -> list[gpus.Gpu]:
    """GPUs of a machine without NVML: nothing is known of what others do there."""
    numbers = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    found = (torch.cuda.get_device_properties(number) for number in numbers)
    return [gpus.Gpu(number, str(gpu.uuid), gpu.name) for number, gpu in enumerate(found)]


def _no_gpu(asked_by: str, setting: str, reason: str) -> UserError:
    return UserError(
        f"{asked_by}: a GPU is to be used ({setting}), and none can be: {reason}. Correct that, or choose cpu there, "
        "which takes many times longer."
    )


def _why_torch_sees_none() -> str:
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (AssertionError, RuntimeError) as error:
        return f"PyTorch {torch.__version__} says: {str(error).strip().splitlines()[0].rstrip('.')}"
    return f"PyTorch {torch.__version__} sees no GPU"


def prepared(device: torch.device) -> torch.device:
    """Make this process ready to compute on a device that it, or the process that it helps, holds; returns it."""
    if device.type == "cpu":
        _keep_freed_memory()
    return use(device)


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


# In what PyTorch, cuBLAS, cuDNN, cuSOLVER and the C library say. A library that finds no memory for its own handle only
# says that it is not initialised, and the recording of a graph only that it was ended.
_NO_MEMORY = (
    "out of memory",
    "OutOfMemoryError",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",
    "STATUS_NOT_INITIALIZED",
    "cudaErrorMemoryAllocation",
    "during capture",
    "stream is capturing",
    "cudaErrorStreamCapture",
)


def out_of_memory(error: BaseException) -> str | None:
    """What an error, or one that it came from, says of a device's memory that did not suffice; None: it is another.

    A graph whose recording failed counts, too: of its causes, memory is the one that fewer runs mend.
    """
    lines = str(error).strip().splitlines()
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return lines[0] if lines else type(error).__name__
    if isinstance(error, RuntimeError):
        for line in lines:
            if any(words.lower() in line.lower() for words in _NO_MEMORY):
                return line.strip()
    origin = error.__cause__ or error.__context__
    return None if origin is None else out_of_memory(origin)


def name(device: torch.device) -> str:
    """The device's name for people: `cpu`, or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
