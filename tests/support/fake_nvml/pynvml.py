"""Stands in for nvidia-ml-py: the GPUs that the JSON file of the variable FAKE_NVML lists; the calls that dac makes.

With this folder in PYTHONPATH, a command and all that it starts see these GPUs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = 3


class NVMLError(Exception):
    """Something that NVML, or this GPU, does not do."""


def nvmlInit() -> None:  # noqa: N802
    if "FAKE_NVML" not in os.environ:
        raise NVMLError("NVML Shared Library Not Found")


def nvmlShutdown() -> None:  # noqa: N802
    pass


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(json.loads(Path(os.environ["FAKE_NVML"]).read_text()))


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, Any]:  # noqa: N802
    handle: dict[str, Any] = json.loads(Path(os.environ["FAKE_NVML"]).read_text())[index]
    return handle


def nvmlDeviceGetUUID(handle: dict[str, Any]) -> str:  # noqa: N802
    return str(handle["uuid"])


def nvmlDeviceGetName(handle: dict[str, Any]) -> str:  # noqa: N802
    return str(handle.get("name", "Fake GPU"))


def nvmlDeviceGetMigMode(handle: dict[str, Any]) -> list[int]:  # noqa: N802
    if "mig" not in handle:
        raise NVMLError("Not Supported")
    return list(handle["mig"])


def nvmlDeviceGetComputeMode(handle: dict[str, Any]) -> int:  # noqa: N802
    if "mode" not in handle:
        raise NVMLError("Not Supported")
    return int(handle["mode"])


def nvmlDeviceGetMaxMigDeviceCount(handle: dict[str, Any]) -> int:  # noqa: N802
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle: dict[str, Any], index: int) -> dict[str, Any]:  # noqa: N802
    if index >= len(handle["slices"]):
        raise NVMLError("Not Found")
    part: dict[str, Any] = handle["slices"][index]
    return part


def nvmlDeviceGetMemoryInfo(handle: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
    if "free" not in handle:
        raise NVMLError("Not Supported")
    return SimpleNamespace(free=handle["free"] * 10**9, total=handle.get("total", 80) * 10**9)


def nvmlDeviceGetUtilizationRates(handle: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
    if "utilisation" not in handle:
        raise NVMLError("Not Supported")
    return SimpleNamespace(gpu=handle["utilisation"])
