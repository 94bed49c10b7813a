"""Trained runs on their way into the store: those whose kept policies are whole, and that training has changed."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from dac.agent import AgentConfig
from dac.agent.trained import untrained
from dac.study import store
from dac.study.identity import Run
from dac.system import provenance
from dac.system.errors import UserError
from dac.training import checkpoint
from dac.training.checkpoint import RunState
from dac.training.data import TrainingData
from dac.training.policies import policy_name

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Publisher:
    """What the published runs of one training have in common.

    Attributes:
        kept: the steps whose policies are published.
        device: its name.
        resumed_from: by run, the step that it went on from.
        pack: how many runs trained together.
        compiled: whether native.c computed their networks.
    """

    config: AgentConfig
    data: TrainingData
    kept: frozenset[int]
    device: str
    resumed_from: dict[Run, int]
    pack: int
    compiled: bool

    def publish_whole(self, states: list[RunState]) -> list[RunState]:
        """Publish the runs whose kept policies are whole; returns the others.

        Raises:
            UserError: training changed nothing of a run; the other runs are published.
        """
        damaged, refused = [], []
        for state in states:
            problems = self._untrained(state)
            if problems:
                folder = store.work_directory(state.run)
                refused.append(f"{state.run}: {'; '.join(problems)}. It was not published. Delete {folder}")
            elif checkpoint.policy_problems(state, self.kept):
                damaged.append(state)
            else:
                self.publish(state)
        if refused:
            raise UserError(
                "\n".join(refused)
                + "\nand start again: it trains anew. On a GPU, set compute.cuda_graphs: false first."
            )
        return damaged

    def _untrained(self, state: RunState) -> list[str]:
        """What shows that a run's state is no result of its training; a diverged run may be anything."""
        diverged = not bool(state.agent["active"])
        return [] if diverged else untrained(self.config, state.run.seed, state.step, state.agent)

    def publish(self, state: RunState) -> None:
        """Move a run into the store and delete what it leaves in its folder of work.

        Raises:
            UserError: the store does not take it; it is kept where it is.
        """
        work = store.work_directory(state.run)
        meant = {"curve.csv": checkpoint.write_curve(state, work / "curve.csv")}
        meant |= {policy_name(step): state.policies[step] for step in sorted(self.kept)}
        status = "complete" if bool(state.agent["active"]) else "diverged"
        facts = {
            "status": status,
            "steps": state.step,
            "dataset_sha256": self.data.sha256,
            "data": self.data.statistics,
        }
        made = provenance.provenance(
            self.device,
            device_seconds=round(state.device_seconds, 1),
            wall_seconds=round(state.wall_seconds, 1),
            evaluation_wait_seconds=round(state.waited_seconds, 1),
            pack=self.pack,
            compiled=self.compiled,
            resumed_from_step=self.resumed_from[state.run],
        )
        try:
            store.publish_run(state.run, {name: work / name for name in meant}, facts, made, meant)
        except OSError as error:
            raise UserError(
                f"{store.run_directory(state.run)}: not published: {error}. Make room there, or correct the "
                f"permissions, and start again: what was trained is kept in {work}."
            ) from error
        store.journal("train", run=str(state.run))
        checkpoint.remove(state.run, meant)
        LOG.info("%s is published (%s)", state.run, status)
