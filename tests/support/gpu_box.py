"""A machine with GPUs that are not there, for this process and those that it starts."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dac.system import gpus

FAKE = Path(__file__).parent / "fake_nvml"

Box = Callable[..., None]


def gpu(uuid: str, **more: Any) -> dict[str, Any]:
    """A GPU of 80 GB that nobody uses, but for what is said otherwise; memory in GB."""
    return {"uuid": uuid, "free": 79, "total": 80, "utilisation": 0, **more}


def make_box(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """What sets this machine's GPUs; its users' locks are in the folder. PyTorch sees what NVML shows."""
    spec = importlib.util.spec_from_file_location("fake_pynvml", FAKE / "pynvml.py")
    assert spec is not None
    assert spec.loader is not None
    nvml = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nvml)
    monkeypatch.setattr(gpus, "pynvml", nvml)
    monkeypatch.setattr(gpus, "FOLDER", folder / "locks")
    # Set and taken away again, so that what a claim sets is taken away at the end of the test, too.
    for name in ("FAKE_NVML", gpus.VISIBLE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus.visible()))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus.visible()))
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)

    def box(*found: dict[str, Any]) -> None:
        file = folder / "gpus.json"
        file.write_text(json.dumps(found))
        monkeypatch.setenv("FAKE_NVML", str(file))

    return box
