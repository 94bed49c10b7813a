"""A signal that comes at a step of an environment, and not at a time."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from dac.datasets.sac.recorder import Recorder


def terminate_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send SIGTERM to this process once some recorder has recorded so many steps."""
    take_step = Recorder.step

    def interrupted(recorder: Recorder, action: Any) -> Any:
        result = take_step(recorder, action)
        if recorder.steps == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(Recorder, "step", interrupted)
