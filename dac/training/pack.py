"""A pack of runs in a stretch of training: their evaluations, their logs and their seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from dac.agent import Agent
from dac.system.progress import Bar
from dac.training import checkpoint
from dac.training.checkpoint import CURVE_COLUMNS, RunState
from dac.training.curve import Evaluator

LOG = logging.getLogger(__name__)


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
            UserError: the disk does not take a kept policy; as `Evaluator.submit`.
        """
        self.finish_evaluation()
        step = self.agent.step
        policies = [self.agent.policy_state(index) for index in range(len(self.states))]
        if step in kept:
            for state, policy in zip(self.states, policies, strict=True):
                if step not in state.policies:
                    checkpoint.keep_policy(state, step, policy)
        self.evaluator.submit(step, policies)
        if self.evaluator.ready():
            self.finish_evaluation()

    def finish_evaluation(self) -> None:
        """Wait for the pending evaluation, if there is one, and add it to the curves and the logs."""
        step = self.evaluator.pending
        if step is None:
            return
        episodes = self.evaluator.result()
        for state, writer in zip(self.states, self.writers, strict=True):
            rows = episodes[episodes["seed"] == state.run.seed]
            if step not in set(state.curve["step"]):
                state.curve = pd.concat([state.curve, rows[CURVE_COLUMNS]], ignore_index=True)
            writer.add_scalar("evaluation/return", rows["return"].mean(), step)
            writer.add_scalar("evaluation/length", rows["length"].mean(), step)
        means = episodes.groupby("seed")["return"].mean()
        self.progress.evaluated(float(means.mean()))
        LOG.info("step %d: return %s", step, " ".join(f"{means[state.run.seed]:.1f}" for state in self.states))

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
