"""A pack of runs in a stretch of training: their evaluations, their logs and their seconds."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from dac.agent import Agent
from dac.system import devices
from dac.system.progress import Bar
from dac.system.signals import Stopped
from dac.training import checkpoint
from dac.training.checkpoint import CURVE_COLUMNS, RunState
from dac.training.curve import Evaluator
from dac.training.policies import PolicyState

LOG = logging.getLogger(__name__)


class EvaluationFailed(Exception):  # noqa: N818 - the trainer makes an error of it
    """An evaluation raised something; training itself is as it was. Its cause is what was raised."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the evaluation of step {step} failed")


@dataclass
class Pack:
    """Runs at one step, what evaluates them and what they are logged to.

    Attributes:
        states: of the runs, as last saved, but for their curves, kept policies and seconds, which are up to date.
        counted: the time up to which the states have the pack's seconds, by `time.monotonic`.
        waited: seconds for evaluations that the states have.
    """

    agent: Agent
    states: list[RunState]
    evaluator: Evaluator
    writers: list[SummaryWriter]
    progress: Bar
    counted: float
    waited: float = 0.0

    def count_seconds(self) -> None:
        """Give every run its part of the time since the last call."""
        now, waited = time.monotonic(), self.evaluator.waited
        for state in self.states:
            state.count(now - self.counted, waited - self.waited, len(self.states))
        self.counted, self.waited = now, waited

    def evaluate(self, kept: Collection[int]) -> None:
        """Begin the evaluation of the policies as they are, after the end of the one before.

        Args:
            kept: the steps whose policies are kept for publication.

        Raises:
            UserError: the disk does not take a kept policy.
            EvaluationFailed, Stopped, RuntimeError, MemoryError: as `finish_evaluation`.
        """
        self.finish_evaluation()
        step = self.agent.step
        policies = [self.agent.policy_state(index) for index in range(len(self.states))]
        if step in kept:
            for state, policy in zip(self.states, policies, strict=True):
                if step not in state.policies:
                    checkpoint.keep_policy(state, step, policy)
        self._submit(step, policies)

    def resume_evaluations(self) -> None:
        """Begin again what was pending when the runs were saved; raises as `finish_evaluation`.

        All of the pack's policies are rolled out, so that the numbers are those of an undisturbed pack; of a run that
        has the evaluation already they are left out.
        """
        for step in sorted({state.pending[0] for state in self.states if state.pending}):
            self.finish_evaluation()
            policies = [
                state.pending[1] if state.pending and state.pending[0] == step else self.agent.policy_state(index)
                for index, state in enumerate(self.states)
            ]
            self._submit(step, policies)

    def _submit(self, step: int, policies: Sequence[PolicyState]) -> None:
        with _failing(step):
            self.evaluator.submit(step, policies)
        if self.evaluator.ready():
            self.finish_evaluation()

    def finish_evaluation(self) -> None:
        """Wait for the pending evaluation, if there is one, and add it to the curves and the logs.

        Raises:
            EvaluationFailed: it raised something.
            Stopped: a stop was asked for; the evaluation is pending still, see `note_pending`.
            RuntimeError, MemoryError: the device's memory does not suffice.
        """
        step = self.evaluator.pending
        if step is None:
            return
        with _failing(step):
            episodes = self.evaluator.result()
        means = episodes.groupby("seed")["return"].mean()
        shown = []
        for state, writer in zip(self.states, self.writers, strict=True):
            if step in set(state.curve["step"]):
                continue
            rows = episodes[episodes["seed"] == state.run.seed]
            state.curve = pd.concat([state.curve, rows[CURVE_COLUMNS]], ignore_index=True)
            state.pending = None
            writer.add_scalar("evaluation/return", means[state.run.seed], step)
            writer.add_scalar("evaluation/length", rows["length"].mean(), step)
            shown.append(float(means[state.run.seed]))
        self.progress.evaluated(sum(shown) / len(shown))
        LOG.info("step %d: return %s", step, " ".join(f"{mean:.1f}" for mean in shown))

    def note_pending(self) -> None:
        """Have the states say which evaluation they lack, so that it can be made again after a resumption."""
        step = self.evaluator.pending
        if step is None:
            return
        for state, policy in zip(self.states, self.evaluator.states, strict=True):
            if step not in set(state.curve["step"]):
                state.pending = step, policy

    def log(self, step: int, steps: int, metrics: dict[str, Tensor], speed: float) -> None:
        """Scalars to TensorBoard and one line to the log. Here, and in the look for divergence after it, the loop waits
        for the device; nowhere else.

        Args:
            steps: of the whole training. metrics: (R,) each, of the step before. speed: in steps per second.
        """
        values = {name: value.tolist() for name, value in metrics.items()}
        for index, writer in enumerate(self.writers):
            for name, per_run in values.items():
                writer.add_scalar(f"train/{name}", per_run[index], step)
        names = ("critic_loss", "bc_loss", "eta", "q_mean")
        shown = " ".join(f"{name} {sum(values[name]) / len(self.states):.4g}" for name in names)
        LOG.info("step %d of %d: %.1f steps/s, %s", step, steps, speed, shown)


@contextlib.contextmanager
def _failing(step: int) -> Iterator[None]:
    """What an evaluation raises in the block, as the failure of that evaluation; a want of memory stays one."""
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError | MemoryError) and devices.out_of_memory(error):
            raise
        raise EvaluationFailed(step) from error
