"""Development data beside the checkout, which a user does not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_data(name: str) -> Path:
    """A folder of the development data; the test that asks is skipped where they are absent."""
    shared = Path(os.environ.get("DAC_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    folder = shared / "data" / name
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder}; set DAC_SHARED to the folder that holds them")
    return folder
