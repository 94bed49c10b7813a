"""Random streams of a pack that need no saved state.

Every draw is a pure function of (the run's seed, a purpose, an index), so a resumed run continues its streams by
knowing its step, and a run draws the same numbers in any pack. Numbers differ between the CPU and CUDA generators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dac.agent.batch import Draws
from dac.agent.components import GUIDANCES
from dac.agent.config import AgentConfig

BLOCK_STEPS = 32  # steps drawn at once; another value gives other numbers


def stream_generator(seed: int, purpose: str, index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator seeded with the first 63 bits of sha256("seed/purpose/index")."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    generator = torch.Generator(device)
    generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return generator


def _renewed(before: dict[str, Tensor], after: dict[str, Tensor], in_place: bool) -> dict[str, Tensor]:
    """The later tensors; in the place of the earlier ones, where that is asked for."""
    if not in_place:
        return after
    for name, value in after.items():
        before[name].copy_(value)
    return before


class _Blocks:
    """Random tensors of consecutive steps, drawn BLOCK_STEPS steps at a time for every run and stacked over runs."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str, dtype: torch.dtype) -> None:
        self.seeds = tuple(seeds)
        self.device = device
        self.dtype = dtype

    def normal(self, purpose: str, block: int, shape: Sequence[int]) -> Tensor:
        """(R, BLOCK_STEPS, *shape) standard normal."""
        values = torch.empty(len(self.seeds), BLOCK_STEPS, *shape, device=self.device, dtype=self.dtype)
        for row, seed in zip(values, self.seeds, strict=True):
            row.normal_(generator=stream_generator(seed, purpose, block, self.device))
        return values

    def uniform(self, purpose: str, block: int, shape: Sequence[int]) -> Tensor:
        """(R, BLOCK_STEPS, *shape) uniform on [0, 1)."""
        values = torch.empty(len(self.seeds), BLOCK_STEPS, *shape, device=self.device, dtype=self.dtype)
        for row, seed in zip(values, self.seeds, strict=True):
            row.uniform_(generator=stream_generator(seed, purpose, block, self.device))
        return values

    def integers(self, purpose: str, block: int, low: int, high: int, shape: Sequence[int]) -> Tensor:
        """(R, BLOCK_STEPS, *shape) uniform on low..high, both included."""
        values = torch.empty(len(self.seeds), BLOCK_STEPS, *shape, device=self.device, dtype=torch.int64)
        for row, seed in zip(values, self.seeds, strict=True):
            row.random_(low, high + 1, generator=stream_generator(seed, purpose, block, self.device))
        return values


class UpdateNoise:
    """The draws of gradient steps.

    Args:
        seeds: one per run. batch_size: B.
        next_actions: whether to draw for the next actions; False where every transition of the data terminates, so
            that its target is its reward alone.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        config: AgentConfig,
        batch_size: int,
        action_dim: int,
        device: torch.device | str = "cpu",
        *,
        dtype: torch.dtype = torch.float32,
        next_actions: bool = True,
    ) -> None:
        self._blocks = _Blocks(seeds, device, dtype)
        self._config = config
        self._next_actions = next_actions
        self._batch_size = batch_size
        self._action_dim = action_dim
        self._block = -1
        self._values: dict[str, Tensor] = {}
        self._in_place = False

    def draws(self, step: int) -> Draws:
        """Draws of one gradient step, counted from 0; steps may be asked for in any order."""
        self.prepare(step)
        return self._made({name: value[:, step % BLOCK_STEPS] for name, value in self._values.items()})

    def prepare(self, step: int) -> None:
        """Draw the block of steps that a step is in, unless that is the last one drawn."""
        block = step // BLOCK_STEPS
        if block != self._block:
            self._values = _renewed(self._values, self._draw(block), self._in_place)
            self._block = block

    def draws_at_count(self, count: Tensor) -> Draws:
        """The draws of the step `count` (), which `prepare` was called with, found by operations on the device alone.

        From now on every block is drawn to where the first one is: a captured step reads it there.
        """
        self._in_place = True
        row = (count % BLOCK_STEPS).long().view(1)
        return self._made({name: value.index_select(1, row).squeeze(1) for name, value in self._values.items()})

    @staticmethod
    def _made(values: dict[str, Tensor]) -> Draws:
        return Draws(
            critic_prior=values.get("critic_prior"),
            critic_z=values.get("critic_z"),
            t=values["t"],
            eps=values["eps"],
            actor_prior=values.get("actor_prior"),
            actor_z=values.get("actor_z"),
        )

    def _draw(self, block: int) -> dict[str, Tensor]:
        config, normal = self._config, self._blocks.normal
        single = (self._batch_size, self._action_dim)
        repeated = (self._batch_size * config.next_action_samples, self._action_dim)
        noisy_steps = config.diffusion_steps - 1
        values = {
            "t": self._blocks.integers("diffusion-time", block, 1, config.diffusion_steps, single[:1]),
            "eps": normal("noise", block, single),
        }
        if self._next_actions:
            values["critic_prior"] = normal("critic-prior", block, repeated)
        if self._next_actions and config.sampler == "ddpm":
            values["critic_z"] = normal("critic-z", block, (noisy_steps, *repeated))
        drawn = GUIDANCES[config.guidance].draws
        if "actor_prior" in drawn:
            values["actor_prior"] = normal("actor-prior", block, single)
        if "actor_z" in drawn:
            values["actor_z"] = normal("actor-z", block, (noisy_steps, *single))
        return values


@dataclass(frozen=True)
class ActingDraws:
    """Random numbers of one action selection in n states with m candidates each; rows grouped by state."""

    prior: Tensor  # (R, n * m, A) standard normal
    z: Tensor | None  # (R, T - 1, n * m, A) standard normal; None for the deterministic sampler
    gumbel: Tensor | None  # (R, n, m) standard Gumbel; None for the greedy choice (temperature 0)


class ActingNoise:
    """The draws of one evaluation: a function of (seed, purpose, gradient step) and the time in the episodes.

    Args:
        seeds: one per run. purpose: what the evaluation is for. step: gradient step of the evaluated policies.
        states: n, states acted in at once. action_samples: candidates per state.
        temperature: of the choice; Gumbel noise is drawn where it is positive. None = the configured one.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        purpose: str,
        step: int,
        config: AgentConfig,
        states: int,
        action_samples: int,
        action_dim: int,
        *,
        temperature: float | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._blocks = _Blocks(seeds, device, dtype)
        self._purpose = f"{purpose}/{step}"
        self._config = config
        self._states = states
        self._action_samples = action_samples
        self._action_dim = action_dim
        self._temperature = config.temperature if temperature is None else temperature
        self._block = -1
        self._values: dict[str, Tensor] = {}

    def draws(self, time: int) -> ActingDraws:
        """Draws of one environment step, counted from 0."""
        block, row = divmod(time, BLOCK_STEPS)
        if block != self._block:
            self._values = self._draw(block)
            self._block = block
        values = {name: value[:, row] for name, value in self._values.items()}
        return ActingDraws(values["prior"], values.get("z"), values.get("gumbel"))

    def _draw(self, block: int) -> dict[str, Tensor]:
        rows = (self._states * self._action_samples, self._action_dim)
        values = {"prior": self._blocks.normal(f"{self._purpose}/prior", block, rows)}
        if self._config.sampler == "ddpm":
            noise_rows = (self._config.diffusion_steps - 1, *rows)
            values["z"] = self._blocks.normal(f"{self._purpose}/z", block, noise_rows)
        if self._temperature > 0:
            shape = (self._states, self._action_samples)
            uniform = self._blocks.uniform(f"{self._purpose}/choice", block, shape)
            values["gumbel"] = -torch.log(-torch.log(uniform.clamp_(min=torch.finfo(uniform.dtype).tiny)))
        return values


class ShuffledScan:
    """Batches that scan a shuffled permutation of the transitions, one permutation per run and epoch.

    Within an epoch no transition repeats; the epoch's remainder, fewer than B transitions, is dropped.

    Args:
        seeds: one per run. size: number of transitions. batch_size: B.

    Raises:
        ValueError: there are fewer transitions than a batch holds.
    """

    def __init__(self, seeds: Sequence[int], size: int, batch_size: int, device: torch.device | str = "cpu") -> None:
        if size < batch_size:
            raise ValueError(f"batch_size: {batch_size}; the dataset has only {size} transitions")
        self.seeds = tuple(seeds)
        self.batches_per_epoch = size // batch_size
        self._size = size
        self._batch_size = batch_size
        self._device = device
        self._epoch = -1
        self._values: dict[str, Tensor] = {}
        self._rows = torch.arange(batch_size, device=device)
        self._in_place = False

    def batch_indices(self, step: int) -> Tensor:
        """Row numbers of one gradient step's transitions, (R, B); steps count from 0, in any order."""
        self.prepare(step)
        batch = step % self.batches_per_epoch
        return self._values["permutations"][:, batch * self._batch_size : (batch + 1) * self._batch_size]

    def prepare(self, step: int) -> None:
        """Shuffle for the epoch that a step is in, unless that is the last one shuffled for."""
        epoch = step // self.batches_per_epoch
        if epoch != self._epoch:
            permutations = torch.stack([self._permutation(seed, epoch) for seed in self.seeds])
            self._values = _renewed(self._values, {"permutations": permutations}, self._in_place)
            self._epoch = epoch

    def indices_at_count(self, count: Tensor) -> Tensor:
        """As `batch_indices`, of the step `count` (), which `prepare` was called with, by operations on the device.

        From now on every epoch is shuffled to where the first one is: a captured step reads it there.
        """
        self._in_place = True
        batch = (count % self.batches_per_epoch).long()
        return self._values["permutations"].index_select(1, batch * self._batch_size + self._rows)

    def _permutation(self, seed: int, epoch: int) -> Tensor:
        generator = stream_generator(seed, "epoch", epoch, self._device)
        return torch.randperm(self._size, generator=generator, device=self._device)
