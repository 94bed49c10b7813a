"""The gradient step as one CUDA graph: captured once, then launched as a whole.

A step is some two hundred small kernels. Launched one by one, they leave a fast GPU waiting for the host.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

from dac.agent.agent import Agent
from dac.agent.critic import Metrics
from dac.agent.inputs import Inputs

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
    """Gradient steps of an agent on a GPU: the first ones as they are, the others as replays of a captured one.

    A replay is one launch: the captured step finds its batch, its draws and its rates by the count that the device
    keeps. Beside it, a block of draws is made every `streams.BLOCK_STEPS` steps and a permutation every epoch.

    Args:
        agent: it keeps its tensors as long as this is used. inputs: of its steps.
        capture: makes a function's replay, see `capture_cuda_graph`.
    """

    def __init__(self, agent: Agent, inputs: Inputs, capture: Capture = capture_cuda_graph) -> None:
        self._agent = agent
        self._inputs = inputs
        self._capture = capture
        self._left = WARM_UP
        self._replay: Replay | None = None
        self._metrics: Metrics

    def __call__(self) -> Metrics:
        """Make the agent's next gradient step.

        Returns:
            As `Agent.update`; the next call overwrites the tensors.

        Raises:
            ReplayError: the first replay, and only that waits for the device, did not make one step.
        """
        agent, inputs = self._agent, self._inputs
        if self._left:
            self._left -= 1
            return agent.update(*inputs.at(agent.step))
        inputs.prepare(agent.step)
        if self._replay is None:
            self._replay, self._metrics = self._captured()
            self._replay_first(self._replay)
        else:
            self._replay()
        agent.count_step()
        return self._metrics

    def _captured(self) -> tuple[Replay, Metrics]:
        agent, inputs, device = self._agent, self._inputs, self._agent.eta.device
        # On another device than the agent's, nothing of its step would be captured.
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            return self._capture(lambda: agent.update_on_device(*inputs.at_count(agent.count)))

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


def updater(agent: Agent, inputs: Inputs, *, captured: bool) -> Callable[[], Metrics]:
    """What makes the agent's next gradient step: a CUDA graph where it is on a GPU and that is asked for."""
    if captured and agent.eta.is_cuda:
        return CapturedUpdate(agent, inputs)
    return lambda: agent.update(*inputs.at(agent.step))
