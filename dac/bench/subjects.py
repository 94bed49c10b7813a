"""Trained networks to measure the precisions on: runs of the store, or small ones that are trained here.

Barely trained networks say nothing of trained ones: their values are small, and hardly any of them comes out of the
layers between the first and the last, which are those that a precision rounds.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from dac.agent import Agent, AgentConfig, Batch, ShuffledScan, UpdateNoise, initial_run_state
from dac.agent.critic import critic_loss
from dac.agent.policy import state_dims
from dac.datasets import behaviours, folder, mixture
from dac.datasets.transitions import to_transitions
from dac.rows.raw import RawDataset
from dac.study import check, named, store
from dac.study.catalog import policy_file
from dac.study.plan import kept_steps
from dac.system.errors import UserError
from dac.training.data import training_data
from dac.training.policies import agent_config, policy_name

LOG = logging.getLogger(__name__)

SMALL = AgentConfig(  # the preset `small` of params.yaml, which the quick study trains with
    hidden_sizes=(64, 64, 64), ensemble_size=2, next_action_samples=1, actor_lr=1e-3, critic_lr=1e-3, discount=0.95,
    target_rate=0.02, eta=0.05, eta_lr=0.0,
)  # fmt: skip
BATCH = 256
UNFINISHED = 300  # last rows of an episode whose discounted return lacks what came after the time limit


@dataclass(frozen=True)
class Subject:
    """Trained networks, and states to value.

    Attributes:
        state: of a run, as `Agent.run_state`; the targets of both networks count.
        observations: (n, O), next states of the data that it was trained on.
        samples: values of N, next actions of a state, that it is measured with.
    """

    name: str
    config: AgentConfig
    state: Mapping[str, Tensor]
    observations: Tensor
    samples: tuple[int, ...]


@dataclass(frozen=True)
class Training:
    """A subject that is trained here, on data of recorded policies as the quick study's, but fewer.

    Attributes:
        policies, noise, mix: of the recipe, as in `collect` of params.yaml.
        regression: whether the critics learn the data's discounted returns instead of their own targets.
    """

    env: str
    policies: tuple[str, ...]
    noise: tuple[float, float]
    mix: str
    config: AgentConfig
    transitions: int
    steps: int
    regression: bool = False

    @property
    def name(self) -> str:
        """For people."""
        what = "returns, regression" if self.regression else "trained"
        return f"{self.env}, {what}, {'×'.join(map(str, self.config.hidden_sizes))}, H = {self.config.ensemble_size}"


_CHEETAH: dict[str, Any] = {
    "env": "HalfCheetah-v5", "policies": ("HalfCheetah-v5-12500", "HalfCheetah-v5-17500"), "noise": (0.25, 0.55),
    "mix": "blend", "transitions": 20_000,
}  # fmt: skip
PENDULUM = Training("Pendulum-v1", ("Pendulum-v1-5000",), (0.0, 1.0), "replace", SMALL, 10_000, 3000)
TRAININGS = (
    PENDULUM,
    Training(**_CHEETAH, config=dataclasses.replace(SMALL, lcb_coefficient=0.0), steps=3000),
    Training(
        **_CHEETAH, config=AgentConfig(guidance="none", actor_lr=1e-3, critic_lr=1e-3), steps=600, regression=True
    ),
)


def of_run(name: str) -> Subject:
    """A run of the store, its last kept policy; the target actor was not kept, so the online one takes its place.

    Args:
        name: of a run that params.yaml plans, as `dac runs` lists it.

    Raises:
        UserError: no such run, it or its data are not here, or its targets are rewards alone.
    """
    run = named.run(check.load(), name)
    settings = run.group.settings
    policy = load_file(store.verified_file(run, policy_name(max(kept_steps(settings)))))
    config = agent_config(settings)
    state = initial_run_state(config, run.seed, *state_dims(policy)) | policy
    state |= {f"target_{name}": value for name, value in policy.items() if name.startswith("actor/")}
    transitions = training_data(run.group).transitions
    states = torch.as_tensor(transitions.next_observations[transitions.dones == 0])
    if not len(states):
        raise UserError(
            f"{run}: every transition of its data ends its episode, so no target has a next value. Name "
            "another run, or none."
        )
    return Subject(str(run), config, state, states, (config.next_action_samples,))


def trained(training: Training) -> Subject:
    """Train a subject: some ten thousand recorded transitions, then a minute or so."""
    raw = collected(training)
    data, config = batch_of(raw), training.config
    LOG.info("%s: %d steps on %d transitions", training.name, training.steps, len(data.rewards))
    agent = Agent(config, [0], data.observations.shape[1], data.actions.shape[1])
    if training.regression:
        returns, kept = discounted_returns(raw, config.discount)
        data = Batch(**{field.name: getattr(data, field.name)[kept] for field in dataclasses.fields(Batch)})
        _regress(agent, data, returns[kept], training.steps)
    else:
        noise = UpdateNoise([0], config, BATCH, data.actions.shape[1])
        for batch in batches(data, [0], training.steps):
            agent.update(batch, noise.draws(agent.step))
    samples = tuple(sorted({config.next_action_samples, AgentConfig().next_action_samples}))
    return Subject(training.name, config, agent.run_state(0), data.next_observations, samples)


def batches(data: Batch, seeds: Sequence[int], steps: int, size: int = BATCH) -> Iterator[Batch]:
    """The batches of the first gradient steps of a pack, `size` transitions for each run."""
    scan = ShuffledScan(seeds, len(data.rewards), size, data.rewards.device)
    for step in range(steps):
        indices = scan.batch_indices(step)
        yield Batch(**{field.name: getattr(data, field.name)[indices] for field in dataclasses.fields(Batch)})


def collected(training: Training) -> RawDataset:
    """Roll out a training's recorded policies."""
    recipe = {
        "seed": 0,
        "policies": {"files": list(training.policies), "noise": list(training.noise), "mixture": training.mix},
        "levels": {"mixed": {"transitions": training.transitions}},
    }
    policies = [behaviours.load(policy_file(name)) for name in training.policies]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "mixed"
        mixture.collect(training.env, recipe, policies, {"mixed": place}, LOG.info)
        return folder.load(place)


def batch_of(raw: RawDataset) -> Batch:
    """All transitions of recorded rows, their rewards scaled as for locomotion, one row each."""
    transitions = to_transitions(raw, "locomotion")
    return Batch(
        **{field.name: torch.as_tensor(getattr(transitions, field.name)) for field in dataclasses.fields(Batch)}
    )


def discounted_returns(raw: RawDataset, discount: float) -> tuple[Tensor, Tensor]:
    """The discounted return from each transition on, and which of them lie far enough from their episode's end.

    Returns:
        (n,) float32, in the scale of `batch_of`'s rewards, and (n,) bool; transitions are those of `to_transitions`.
    """
    over = raw.terminals | raw.timeouts
    scaled = to_transitions(
        dataclasses.replace(raw, terminals=over, timeouts=np.zeros_like(over)), "locomotion"
    ).rewards
    returns, left = np.zeros(len(scaled)), np.zeros(len(scaled), np.int64)
    after, rows = 0.0, 0
    for row in range(len(scaled) - 1, -1, -1):
        after, rows = (0.0, 0) if over[row] else (after, rows + 1)
        after = float(scaled[row]) + discount * after
        returns[row], left[row] = after, rows
    kept = raw.terminals[:-1] | ~raw.timeouts[:-1]
    return torch.as_tensor(returns[kept], dtype=torch.float32), torch.as_tensor(left[kept] >= UNFINISHED)


def _regress(agent: Agent, data: Batch, returns: Tensor, steps: int) -> None:
    """Fit all critics to returns and the actor to the data, and let the targets be what was learnt."""
    config = agent.config
    noise = UpdateNoise([0], config, BATCH, data.actions.shape[1])
    scan = ShuffledScan([0], len(returns), BATCH)
    rate = torch.tensor(config.critic_lr, dtype=torch.float64)
    for step, batch in enumerate(batches(data, [0], steps)):
        loss, _ = critic_loss(agent.critic.online.named, batch, returns[scan.batch_indices(step)])
        agent.critic.descend(loss, agent.active, torch.tensor(float(step)).double(), rate, config.gradient_clip)
        agent.update_actor(batch, noise.draws(step))
    agent.critic.follow(1.0, agent.active)
    agent.actor.follow(1.0, agent.active)
