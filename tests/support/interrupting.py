"""What happens at a step of an environment or of a training, and not at a time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dac.agent.critic import Metrics
from dac.datasets.sac.recorder import Recorder
from dac.training.steps import GradientSteps


def terminate_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send SIGTERM to this process once some recorder has recorded so many steps."""
    take_step = Recorder.step

    def interrupted(recorder: Recorder, action: Any) -> Any:
        result = take_step(recorder, action)
        if recorder.steps == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(Recorder, "step", interrupted)


@contextmanager
def before_gradient_step(step: int, act: Callable[[], None]) -> Iterator[None]:
    """Something happens when a pack is told to make the gradient step after `step` of them."""
    make = GradientSteps.make

    def act_and_make(self: GradientSteps, now: int) -> Metrics:
        if now == step:
            act()
        return make(self, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GradientSteps, "make", act_and_make)
        yield
