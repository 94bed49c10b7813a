"""The gradient step as one CUDA graph: captured once, then launched as a whole.

A step is some two hundred small kernels. Launched one by one, they leave a fast GPU waiting for the host.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from dac.agent.agent import Agent
from dac.agent.batch import Batch, Draws
from dac.agent.critic import Metrics

Inputs = TypeVar("Inputs", Batch, Draws)
Replay = Callable[[], None]
Capture = Callable[[Callable[[], Metrics]], tuple[Replay, Metrics]]

WARM_UP = 3  # steps made one kernel at a time, in which the libraries allocate what they may not while one is captured


class ReplayError(RuntimeError):
    """A captured gradient step did not make one: what was captured is not what the device was told to do."""


def capture_cuda_graph(step: Callable[[], Metrics]) -> tuple[Replay, Metrics]:
    """Capture what a function does on the current GPU, without doing it.

    Returns:
        What does it, and the function's value, whose tensors every replay writes anew.
    """
    graph = torch.cuda.CUDAGraph()
    # A stream of the current device: the one that PyTorch keeps for recording is of the device it was first used on.
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    # Where recording fails, for want of memory say, its stream would stay the current one.
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, stream=stream):
        metrics = step()
    return graph.replay, metrics


class CapturedUpdate:
    """`Agent.update` for an agent on a GPU: the first steps as they are, the others as replays of a captured one.

    Args:
        agent: it keeps its tensors as long as this is used.
        capture: makes a function's replay, see `capture_cuda_graph`.
    """

    def __init__(self, agent: Agent, capture: Capture = capture_cuda_graph) -> None:
        self._agent = agent
        self._capture = capture
        self._left = WARM_UP
        self._replay: Replay | None = None
        self._batch: Batch
        self._draws: Draws
        self._metrics: Metrics

    def __call__(self, batch: Batch, draws: Draws) -> Metrics:
        """Make one gradient step.

        Args:
            batch, draws: of the same shapes at every call; they are copied.

        Returns:
            As `Agent.update`; the next call overwrites the tensors.

        Raises:
            ReplayError: the first replay, and only that waits for the device, did not make one step.
        """
        if self._left:
            self._left -= 1
            return self._agent.update(batch, draws)
        if self._replay is None:
            self._replay, self._metrics = self._captured(batch, draws)
            self._fill(batch, draws)
            self._replay_first(self._replay)
        else:
            self._fill(batch, draws)
            self._replay()
        self._agent.count_step()
        return self._metrics

    def _captured(self, batch: Batch, draws: Draws) -> tuple[Replay, Metrics]:
        self._batch, self._draws = _copy_of(batch), _copy_of(draws)
        device = self._agent.eta.device
        # On another device than the agent's, nothing of its step would be captured.
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            return self._capture(lambda: self._agent.update_on_device(self._batch, self._draws))

    def _fill(self, batch: Batch, draws: Draws) -> None:
        _fill(self._batch, batch)
        _fill(self._draws, draws)

    def _replay_first(self, replay: Replay) -> None:
        """Replay, and see that this made one step, and capturing it before none."""
        recorded = self._agent.device_step()
        replay()
        replayed, step = self._agent.device_step(), self._agent.step
        if (recorded, replayed) != (step, step + 1):
            raise ReplayError(
                f"at step {step}, a gradient step was recorded, which left the device at step {recorded}, and "
                f"replayed, which left it at step {replayed}, not {step + 1}"
            )


def updater(agent: Agent, *, captured: bool) -> Callable[[Batch, Draws], Metrics]:
    """The agent's `update`, as a CUDA graph where it is on a GPU and that is asked for."""
    return CapturedUpdate(agent) if captured and agent.eta.is_cuda else agent.update


def _copy_of(inputs: Inputs) -> Inputs:
    copies = {name: value.clone() for name, value in _tensors(inputs) if value is not None}
    return dataclasses.replace(inputs, **copies)


def _fill(target: Inputs, source: Inputs) -> None:
    for (_, into), (_, value) in zip(_tensors(target), _tensors(source), strict=True):
        if into is not None and value is not None:
            into.copy_(value)


def _tensors(inputs: Batch | Draws) -> list[tuple[str, Tensor | None]]:
    return [(field.name, getattr(inputs, field.name)) for field in dataclasses.fields(inputs)]
