"""The half of a gradient step that has no gradient as three Triton kernels, instead of some hundred of PyTorch's.

For a GPU, and off: `dac bench --kernel triton` and `dac gpu-check` measure it (docs/speed.md). It computes what `Agent`
does but for rounding. In Triton's interpreter (TRITON_INTERPRET=1, before Triton is imported) it runs on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import torch
import triton
from torch import Tensor
from torch.nn.functional import pad

from dac.agent.agent import Agent
from dac.agent.batch import Batch, Draws
from dac.agent.config import AgentConfig
from dac.agent.diffusion import check_sampler_noise, visited_steps
from dac.agent.kernels import sample_kernel, target_kernel, value_kernel
from dac.agent.native import rows_together
from dac.agent.networks import Params, first_layer_parts, layers_behind_first, q_layer_parts

# How tl.dot multiplies. A precision that is missing has no kernel.
PRODUCTS = {"fp32": "ieee", "tf32": "tf32"}
LEAST = 16  # rows, columns and terms of the smallest product of tiles
# Triton's default loads ahead, which would hold each tile of a layer's weights three times: more than a GPU's shared
# memory.
STAGES = 1
WIDEST = 256  # the paper's; a wider tile of activations would not stay on the chip
# A layer of that width takes 96 KiB of shared memory in float32; a block has 64 on Turing (7.5), 99 and more since.
LEAST_CAPABILITY = 8, 0


@dataclass(frozen=True)
class Tiles:
    """How a kernel cuts its work: rows of a program, columns of a tile of weights, warps of a program."""

    rows: int = 64
    chunk: int = 64
    warps: int = 8


class FusedAgent(Agent):
    """`Agent` whose next actions, their values and the targets are computed by kernels; all else is as there.

    Attributes:
        tiles: of the kernels; may be set before the first step.

    Raises:
        ValueError: the configuration is one that there is no kernel for; the message names the setting.
    """

    tiles = Tiles()

    def _assemble(
        self,
        config: AgentConfig,
        states: Sequence[Mapping[str, Tensor]],
        step: int,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> None:
        check_kernels(config, dtype)
        super()._assemble(config, states, step, device, dtype)
        self._visited = visited_steps(self.schedule, config.sampler, config.sampler_steps)
        self._times = torch.tensor([t - 1 for t, _ in self._visited], device=device)
        numbers = [astuple(step) for _, step in self._visited]
        self._coefficients = torch.tensor(numbers, dtype=torch.float64).to(device, dtype)

    @torch.no_grad()
    def next_action_values(self, next_observations: Tensor, prior: Tensor, z: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `Agent.next_action_values`."""
        runs, states, _ = next_observations.shape
        with torch.cuda.device_of(prior):  # type: ignore[no-untyped-call]
            actions = self._next_actions(next_observations, prior, z)
            values = self._values(next_observations, actions)
        return actions, values.view(runs, -1, states, prior.shape[1] // states)

    def _next_actions(self, observations: Tensor, prior: Tensor, z: Tensor | None) -> Tensor:
        """Actions (R, B*N, A) of the target actor."""
        config, tiles = self.config, self.tiles
        runs, rows, size = prior.shape
        if z is None:
            if config.sampler == "ddpm":
                raise ValueError("the ddpm sampler needs its noise z")
            z = prior.new_empty(runs, 0, rows, size)
        elif config.sampler == "ddpm":
            check_sampler_noise(self.schedule, z)
        steps, chunk, width = len(self._visited), *_widths(config, tiles)
        components = _padded_size(size)
        params = self.actor.target.named
        state_part, time_part, action_kernel = first_layer_parts(params, observations, self.schedule.steps, size)
        inner_kernels, inner_biases, last_kernel, last_bias = _packed(params, "noise/", width)
        actions = prior.new_empty(runs, rows, size)
        prior, z = rows_together(prior), rows_together(z)
        sample_kernel[triton.cdiv(rows, tiles.rows), runs](
            prior, z, _wide(state_part, width), _wide(time_part[:, self._times], width),
            _wide(action_kernel, width, components), inner_kernels, inner_biases,
            _wide(last_kernel, components), _wide(last_bias, components), self._coefficients, actions,
            prior.stride(0), z.stride(0), z.stride(1), rows, observations.shape[1], rows // observations.shape[1],
            size, runs, steps, steps - 1 if config.sampler == "ddpm" else 0,
            LAYERS=len(inner_kernels), W=width, CHUNK=chunk, ROWS=tiles.rows, COMPONENTS=components,
            CLIP=config.clip_denoised, PRODUCTS=PRODUCTS[config.precision], num_warps=tiles.warps, num_stages=STAGES,
        )  # fmt: skip
        return actions

    def _values(self, observations: Tensor, actions: Tensor) -> Tensor:
        """The target critics' values (R*H, B*N)."""
        config, tiles = self.config, self.tiles
        runs, rows, size = actions.shape
        chunk, width = _widths(config, tiles)
        components = _padded_size(size)
        params = self.critic.target.named
        state_part, action_kernel = q_layer_parts(params, observations, size)
        inner_kernels, inner_biases, last_kernel, last_bias = _packed(params, "", width)
        critics = len(state_part)
        values = actions.new_empty(critics, rows)
        value_kernel[triton.cdiv(rows, tiles.rows), critics](
            actions, _wide(state_part, width), _wide(action_kernel, width, components), inner_kernels, inner_biases,
            last_kernel.contiguous(), last_bias.contiguous(), values,
            rows, observations.shape[1], rows // observations.shape[1], size, critics // runs, critics,
            LAYERS=len(inner_kernels), W=width, CHUNK=chunk, ROWS=tiles.rows, COMPONENTS=components,
            PRODUCTS=PRODUCTS[config.precision], num_warps=tiles.warps, num_stages=STAGES,
        )  # fmt: skip
        return values

    @torch.no_grad()
    def targets(self, batch: Batch, draws: Draws) -> Tensor:
        """As `Agent.targets`."""
        if draws.critic_prior is None:
            return batch.rewards
        _, values = self.next_action_values(batch.next_observations, draws.critic_prior, draws.critic_z)
        runs, members, states, samples = values.shape
        targets, tile = values.new_empty(runs, states), LEAST
        with torch.cuda.device_of(values):  # type: ignore[no-untyped-call]
            target_kernel[triton.cdiv(states, tile), runs](
                values, batch.rewards.contiguous(), batch.dones.contiguous(), targets, states, samples, members,
                self.config.lcb_coefficient, self.config.discount,
                SAMPLES=triton.next_power_of_2(samples), TILE=tile, MAX_BACKUP=self.config.max_backup,
                Q_TARGET=self.config.q_target, num_warps=1,
            )  # fmt: skip
        return targets


def check_kernels(config: AgentConfig, dtype: torch.dtype = torch.float32) -> None:
    """Check that there are kernels for a configuration.

    Raises:
        ValueError: there are none; the message names the setting, what it is and what is allowed.
    """
    if config.precision not in PRODUCTS:
        raise ValueError(f"precision: {config.precision}; the Triton kernels have {' and '.join(PRODUCTS)}")
    if max(config.hidden_sizes) > WIDEST:
        raise ValueError(f"hidden_sizes: {config.hidden_sizes}; the Triton kernels take layers of at most {WIDEST}")
    if config.q_target not in ("lcb", "min", "convex"):
        raise ValueError(f"q_target: {config.q_target}; the Triton kernels have lcb, min and convex")
    if dtype != torch.float32:
        raise ValueError(f"dtype: {dtype}; the Triton kernels compute in float32")


def _widths(config: AgentConfig, tiles: Tiles) -> tuple[int, int]:
    """Columns of a tile of weights, and the width that all layers are padded to."""
    widest = max(config.hidden_sizes)
    chunk = min(tiles.chunk, max(LEAST, triton.next_power_of_2(widest)))
    return chunk, chunk * triton.cdiv(widest, chunk)


def _padded_size(size: int) -> int:
    """Action components, padded to what a product of tiles takes."""
    return max(LEAST, int(triton.next_power_of_2(size)))


def _packed(params: Params, prefix: str, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Kernels and biases behind the first layer, in memory as the kernels read them.

    Returns:
        The inner layers' (L, M, width, width) and (L, M, width); the last one's (M, width, its outputs) and its bias.
    """
    *inner, last = layers_behind_first(params, prefix)
    empty = last.kernel.new_empty(0)
    kernels = [_wide(layer.kernel, width, width) for layer in inner]
    biases = [_wide(layer.bias.squeeze(1), width) for layer in inner]
    outputs = last.kernel.shape[2]
    return (
        torch.stack(kernels) if inner else empty,
        torch.stack(biases) if inner else empty,
        _wide(last.kernel, outputs, width),
        last.bias.squeeze(1),
    )


def _wide(x: Tensor, columns: int, rows: int | None = None) -> Tensor:
    """`x` with zeros behind its last axis, and behind the one before, up to a size; its rows follow each other."""
    missing = [0, columns - x.shape[-1]] + ([] if rows is None else [0, rows - x.shape[-2]])
    return pad(x, missing).contiguous() if any(missing) else x.contiguous()
