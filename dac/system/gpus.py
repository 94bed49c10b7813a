"""The GPUs that a process may use, by NVIDIA's management library (NVML), and which of them it holds. No torch.

Snakemake and clusters count GPUs, but on one machine nothing assigns them: jobs beside each other, of any user, share
them out through locks. Work of others, which knows nothing of these locks, is seen in a GPU's memory and utilisation.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pynvml

from dac.system import locks
from dac.system.errors import UserError

LOG = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
# One folder for all users of a machine, whatever the TMPDIR of each.
FOLDER = Path("/tmp/dac-gpus")
POLL_SECONDS = 2.0
TELL_SECONDS = 60.0
# Somebody computes there; a desktop alone takes less of either.
BUSY_PERCENT = 10
BUSY_SHARE = 0.25  # of the memory
# CUDA's context, its libraries and one run of the paper's size: with less free, a GPU is not worth the try.
LEAST_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a slice of one (MIG).

    Attributes:
        number: its place among the visible ones: `cuda:<number>`.
        uuid: NVIDIA's name of it, as CUDA_VISIBLE_DEVICES takes it.
        free, total: bytes of its memory; None where they are not told.
        utilisation: percent of the time in which something computed on it lately; None where that is not told.
    """

    number: int
    uuid: str
    name: str
    free: int | None = None
    total: int | None = None
    utilisation: int | None = None

    @property
    def busy(self) -> bool:
        """Whether somebody seems to compute on it."""
        used = 1 - self.free / self.total if self.free is not None and self.total else 0.0
        return (self.utilisation or 0) >= BUSY_PERCENT or used > BUSY_SHARE

    @property
    def full(self) -> bool:
        """Whether nothing fits any more."""
        return self.free is not None and self.free < LEAST_BYTES

    def __str__(self) -> str:
        known = []
        if self.free is not None and self.total is not None:
            known.append(f"{self.free / 1e9:.1f} of {self.total / 1e9:.1f} GB free")
        if self.utilisation is not None:
            known.append(f"{self.utilisation} % in use")
        return f"cuda:{self.number} ({', '.join([self.name, *known])})"


# Which there are


@dataclass(frozen=True)
class _Device:
    """What NVML shows: a GPU, or one of the slices of GPU `number`, whose own uuid is `whole`."""

    number: int
    whole: str
    uuid: str
    handle: Any


def visible() -> list[Gpu]:
    """The GPUs that this process may use, in the order of their numbers; none where NVML or a driver is missing.

    CUDA_VISIBLE_DEVICES holds, with numbers (as `nvidia-smi` counts), uuids, or beginnings of uuids; as in CUDA, what
    follows the first that does not exist is not visible. The number of a GPU that is sliced means all of its slices.
    """
    try:
        return _visible()
    except pynvml.NVMLError:
        return []


def exclusive() -> bool:
    """Whether a visible GPU is in the compute mode EXCLUSIVE_PROCESS: the driver lets one process alone use it, or MPS.

    False where NVML does not tell.
    """
    try:
        with _nvml():
            numbers = {device.number for device in _selected(_devices(), os.environ.get(VISIBLE))}
            modes = [
                _asked(pynvml.nvmlDeviceGetComputeMode, pynvml.nvmlDeviceGetHandleByIndex(number)) for number in numbers
            ]
    except pynvml.NVMLError:
        return False
    return pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS in modes


def why_none() -> str:
    """Why `visible` found nothing, for people."""
    try:
        with _nvml():
            there = len(_devices())
    except pynvml.NVMLError as error:
        return f"NVIDIA's driver does not answer ({error})"
    if there:
        return f"{VISIBLE}={os.environ.get(VISIBLE)} shows none of this machine's {there} GPUs"
    return "NVIDIA's driver lists no GPU"


def count() -> int:
    """Number of GPUs that jobs here can be promised: those that are visible.

    Where the driver does not answer, its device files count: a job then fails and says why, instead of computing for
    weeks on the CPU.
    """
    try:
        return len(_visible())
    except pynvml.NVMLError:
        hidden = os.environ.get(VISIBLE) in ("", "-1")
        return 0 if hidden else len(list(Path("/dev").glob("nvidia[0-9]*")))


@contextlib.contextmanager
def _nvml() -> Iterator[None]:
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _visible() -> list[Gpu]:
    with _nvml():
        devices = _selected(_devices(), os.environ.get(VISIBLE))
        return [_gpu(number, device) for number, device in enumerate(devices)]


def _devices() -> list[_Device]:
    found = []
    for number in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        whole = _text(pynvml.nvmlDeviceGetUUID(handle))
        slices = _slices(handle)
        parts = [handle] if slices is None else slices
        found += [_Device(number, whole, _text(pynvml.nvmlDeviceGetUUID(part)), part) for part in parts]
    return found


def _slices(handle: Any) -> list[Any] | None:
    """Handles of a GPU's MIG slices; None where it is not sliced."""
    if _asked(pynvml.nvmlDeviceGetMigMode, handle) in (None, [0, 0], [0, 1]):
        return None
    indices = range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle))
    found = (_asked(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index) for index in indices)
    return [part for part in found if part is not None]


def _asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """NVML's answer; None where this device or driver has none."""
    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _selected(devices: list[_Device], setting: str | None) -> list[_Device]:
    """Those that CUDA_VISIBLE_DEVICES names, in its order."""
    if setting is None:
        return devices
    found: list[_Device] = []
    for item in setting.split(","):
        name = item.strip()
        if name.isdecimal():
            named = [device for device in devices if device.number == int(name)]
        else:
            named = [device for device in devices if name and name in (device.uuid, device.whole)]
            named = named or [device for device in devices if name and device.uuid.startswith(name)]
        one = len({device.whole for device in named}) == 1
        if not one or any(device in found for device in named):
            break
        found += named
    return found


def _gpu(number: int, device: _Device) -> Gpu:
    memory = _asked(pynvml.nvmlDeviceGetMemoryInfo, device.handle)
    rates = _asked(pynvml.nvmlDeviceGetUtilizationRates, device.handle)
    return Gpu(
        number,
        device.uuid,
        _text(_asked(pynvml.nvmlDeviceGetName, device.handle) or "GPU"),
        None if memory is None else int(memory.free),
        None if memory is None else int(memory.total),
        None if rates is None else int(rates.gpu),
    )


# Which one is held


@contextlib.contextmanager
def held(look: Callable[[], Sequence[Gpu]], packs: int = 1) -> Iterator[Gpu]:
    """A GPU for this process in the block: at most `packs` processes of this program hold one at a time.

    A free one comes first, then one with a process of this program on it, last one that somebody else computes on; of
    several the one with the most free memory. Where all are held, or too full for one run, this waits, and says so
    every minute.

    Args:
        look: the GPUs to choose from, as they are now; at least one.

    Raises:
        UserError: the locks of this machine's users cannot be opened.
    """
    started, told = time.monotonic(), 0.0
    while True:
        seen = look()
        found = _choose(seen, packs)
        if found is not None:
            break
        waited = time.monotonic() - started
        if waited >= told:
            told += TELL_SECONDS
            LOG.info("waiting for a free GPU, %d min so far: %s", waited // 60, "; ".join(map(_occupied, seen)))
        time.sleep(POLL_SECONDS)
    gpu, lock = found
    with lock:
        LOG.info("using %s", gpu)
        yield gpu


def _choose(gpus: Sequence[Gpu], packs: int) -> tuple[Gpu, TextIO] | None:
    """The best GPU of which a share is left, with that share's lock."""
    with locks.shared(FOLDER / "choosing"):  # others would meanwhile take for held what is only looked at
        shares = [(gpu, *_share(gpu, packs)) for gpu in gpus if not gpu.full]
        left = [(gpu, taken, lock) for gpu, taken, lock in shares if lock is not None]
        left.sort(key=lambda share: _preference(share[0], share[1]))
        for _, _, lock in left[1:]:
            lock.close()
    return (left[0][0], left[0][2]) if left else None


def _preference(gpu: Gpu, taken: int) -> tuple[int, int, int]:
    """The lower, the better. What computes where this program holds a share is taken for this program."""
    kind = 1 if taken else 2 if gpu.busy else 0
    return kind, taken, -(gpu.free or 0)


def _share(gpu: Gpu, packs: int) -> tuple[int, TextIO | None]:
    """How many shares of a GPU are held by others, and the lock of one that is not."""
    taken, mine = 0, None
    for number in range(packs):
        lock = locks.try_shared(_lock_of(gpu, number))
        if lock is None:
            taken += 1
        elif mine is None:
            mine = lock
        else:
            lock.close()
    return taken, mine


def _lock_of(gpu: Gpu, share: int) -> Path:
    return FOLDER / f"{gpu.uuid.replace('/', '_')}-{share}"


def _occupied(gpu: Gpu) -> str:
    """Why a GPU cannot be had, for people."""
    path = _lock_of(gpu, 0)
    holder = path.read_text().strip() if path.exists() else ""
    return f"{gpu} is {'too full' if gpu.full else 'held by ' + (holder or 'another process')}"


def numbered(gpus: Sequence[Gpu], number: int, asked_by: str) -> Gpu:
    """The GPU `cuda:<number>`; `asked_by`: what errors call the setting that asks for it.

    Raises:
        UserError: there are not so many.
    """
    if number >= len(gpus):
        raise UserError(
            f"{asked_by}: found 'cuda:{number}'; {len(gpus)} GPUs are visible here, the last is "
            f"cuda:{len(gpus) - 1}. Give one of them, or auto."
        )
    return gpus[number]
