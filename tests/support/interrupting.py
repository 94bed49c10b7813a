"""What happens at a step of an environment or of a training, and not at a time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dac.agent.critic import Metrics
from dac.training.steps import GradientSteps


def terminate_before(owner: type, name: str, when: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Send SIGTERM to this process before each call of a method whose arguments, `self` first, are such."""
    method = getattr(owner, name)

    def interrupted(*arguments: Any) -> Any:
        if when(*arguments):
            os.kill(os.getpid(), signal.SIGTERM)
        return method(*arguments)

    monkeypatch.setattr(owner, name, interrupted)


@contextmanager
def before_gradient_step(step: int, act: Callable[[], None]) -> Iterator[None]:
    """Something happens when a pack is told to make the gradient step after `step` of them."""
    make = GradientSteps.make

    def act_and_make(self: GradientSteps) -> Metrics:
        if self.agent.step == step:
            act()
        return make(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GradientSteps, "make", act_and_make)
        yield
