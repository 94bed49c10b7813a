"""Where and when something was measured."""

from __future__ import annotations

import datetime
from typing import Any

import torch

from dac.agent import native
from dac.system import devices, provenance


def here(device: torch.device, threads: int) -> dict[str, Any]:
    """Where and when a result was measured, and with what."""
    made = provenance.provenance(devices.name(device))
    return {
        "machine": made["machine"],
        "device": device.type,
        "device_name": made["device"],
        "threads": threads,
        "compiled": native.computes_on(device),
        "versions": made["versions"],
        "commit": made["commit"],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
