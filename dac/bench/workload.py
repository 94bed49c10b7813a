"""A pack that trains on random data, whole or by part, and how long each takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from dac.agent import ActingNoise, Agent, AgentConfig, Batch, ShuffledScan, UpdateNoise
from dac.agent.critic import critic_loss, td_targets
from dac.agent.graph import updater
from dac.agent.inputs import Inputs
from dac.agent.networks import q_values
from dac.agent.policy import sample_actions
from dac.agent.precision import without_gradient
from dac.agent.streams import BLOCK_STEPS
from dac.study.params import TrainingSettings

TRANSITIONS = 100_000


class Workload:
    """A pack that trains on random transitions, and the parts of its gradient step by themselves.

    Args:
        runs: in the pack. sizes: of the observation and the action.
        batch_size: transitions per run and step; None = the paper's.
        terminal: whether every transition ends its episode, as a bandit's do.
        episodes, action_samples: states per run that `act` acts in at once, and candidates in each.
        captured: whether a step is a recorded graph, on a GPU.
        kind: of the agent, by which code it computes.
    """

    def __init__(
        self,
        config: AgentConfig,
        runs: int,
        sizes: tuple[int, int],
        device: torch.device,
        *,
        batch_size: int | None = None,
        terminal: bool = False,
        episodes: int = 10,
        action_samples: int = 10,
        captured: bool = True,
        kind: type[Agent] = Agent,
    ) -> None:
        self.config, self.device = config, device
        self.batch_size = batch_size or TrainingSettings().batch_size
        self.episodes, self.action_samples = episodes, action_samples
        seeds = list(range(runs))
        self.agent = kind(config, seeds, *sizes, device)
        self.noise = UpdateNoise(seeds, config, self.batch_size, sizes[1], device, next_actions=not terminal)
        self.scan = ShuffledScan(seeds, TRANSITIONS, self.batch_size, device)
        self.acting = ActingNoise(seeds, "bench", 0, config, episodes, action_samples, sizes[1], device=device)
        self._acted = 0
        generator = torch.Generator(device).manual_seed(0)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(TRANSITIONS, *shape, generator=generator, device=device)

        self.data = Batch(
            observations=normal(sizes[0]),
            actions=normal(sizes[1]).tanh(),
            rewards=normal(),
            dones=torch.full((TRANSITIONS,), float(terminal), device=device),
            next_observations=normal(sizes[0]),
        )
        self.inputs = Inputs(self.data, self.scan, self.noise)
        self._update = updater(self.agent, self.inputs, captured=captured)

    def step(self) -> None:
        self._update()

    def parts(self) -> dict[str, Callable[[], object]]:
        """The parts of a step, each to be called alone; `draws` makes a block of BLOCK_STEPS steps' numbers.

        `target_sampling` and `target_q` are there of the plain `Agent` alone: other kinds compute them by other code.
        """
        agent, config = self.agent, self.config
        batch, draws = self.inputs.at(agent.step)
        assert draws.critic_prior is not None
        prior, states = draws.critic_prior, batch.next_observations
        with torch.no_grad():
            actions, values = agent.next_action_values(states, prior, draws.critic_z)
            targets = td_targets(config, batch, values)

        actor, critics = (
            without_gradient(network.target.named, config.precision, config.next_action_samples)
            for network in (agent.actor, agent.critic)
        )

        blocks = itertools.count(1)  # another at each call: the noise keeps the last
        zero = torch.zeros((), device=self.device, dtype=torch.float64)

        @torch.no_grad()
        def sample() -> None:
            sample_actions(config, agent.schedule, actor, states, prior, draws.critic_z)

        @torch.no_grad()
        def evaluate() -> None:
            q_values(critics, states, actions)

        def critic() -> None:
            loss, _ = critic_loss(agent.critic.online.named, batch, targets)
            agent.critic.descend(loss, agent.active, zero, zero, config.gradient_clip)

        def follow() -> None:
            agent.critic.follow(0.0, agent.active)
            agent.actor.follow(0.0, agent.active)

        halves: dict[str, Callable[[], object]] = {"target_sampling": sample, "target_q": evaluate}
        return {
            "draws": lambda: self.noise.draws(next(blocks) * BLOCK_STEPS),
            "batch": lambda: self.inputs.batch(agent.step),
            **(halves if type(agent) is Agent else {}),
            "critic": critic,
            "actor": lambda: agent.update_actor(batch, draws),
            "ema": follow,
        }

    def act(self) -> None:
        """Choose actions in the states of all episodes of every run, as an evaluation does at every step."""
        draws = self.acting.draws(self._acted)
        self._acted += 1
        states = self.data.observations[: self.episodes].expand(len(self.agent.eta), -1, -1)
        self.agent.policy.act(states, self.action_samples, draws.prior, draws.z, gumbel=draws.gumbel).cpu()
