"""Whether MuJoCo draws on this machine, and by what."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dac.envs.drawing import RENDERERS

ROOT = Path(__file__).parents[2]
DRAW = "from dac.envs import make; env = make('InvertedPendulum-v5', 'rgb_array'); env.reset(); env.render()"


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: which library draws is decided when MuJoCo is imported."""
    kept = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    environment: Mapping[str, str] = {**kept, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment)


@functools.cache
def _found() -> str | None:
    return next((name for name in RENDERERS if python("-c", DRAW, MUJOCO_GL=name).returncode == 0), None)


def renderer() -> str:
    """The value of MUJOCO_GL that works here; the test that asks is skipped where none does."""
    if (found := _found()) is None:
        pytest.skip("neither EGL nor OSMesa draws on this machine")
    return found
