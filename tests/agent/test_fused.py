"""The Triton kernels of the target half against the eager path, on the same draws.

Where there is no GPU they run in Triton's interpreter (tests/conftest.py); where there is one they are compiled.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small import BATCH_SIZE, small_config

ON_GPU = torch.cuda.is_available()
pytest.importorskip("triton", reason="Triton is not installed (the extra `dev` has it on Linux x86-64)")

from dac.agent import Agent, AgentConfig, Batch, Draws, UpdateNoise  # noqa: E402
from dac.agent.fused import LEAST_CAPABILITY, FusedAgent, Tiles  # noqa: E402
from dac.agent.precision import matrix_products  # noqa: E402

if ON_GPU:
    small = torch.cuda.get_device_capability() < LEAST_CAPABILITY
    pytestmark = [
        pytest.mark.gpu,
        pytest.mark.experiment,
        pytest.mark.skipif(small, reason="this GPU has too little shared memory for the widest layers"),
    ]
DEVICE = "cuda" if ON_GPU else "cpu"
OBSERVATION_DIM = 5
# Float32 rounding, of sums of up to 256 terms, amplified by the reverse process by at most 1 / sqrt(alpha_bar_T) = 12.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def agents(config: AgentConfig, runs: int, action_dim: int, tiles: Tiles) -> tuple[Agent, FusedAgent]:
    """The same runs, their targets moved off the zero biases that they begin with, eager and with kernels."""
    seeds = list(range(runs))
    eager, fused = (kind(config, seeds, OBSERVATION_DIM, action_dim, DEVICE) for kind in (Agent, FusedAgent))
    assert isinstance(fused, FusedAgent)
    fused.tiles = tiles
    generator = torch.Generator(DEVICE).manual_seed(0)
    for network in ("actor", "critic"):
        target = getattr(eager, network).target.matrix
        target.add_(torch.randn(target.shape, generator=generator, device=DEVICE), alpha=0.05)
        getattr(fused, network).target.matrix.copy_(target)
    return eager, fused


def inputs(config: AgentConfig, runs: int, batch_size: int, action_dim: int) -> tuple[Batch, Draws]:
    generator = torch.Generator(DEVICE).manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(runs, batch_size, *shape, generator=generator, device=DEVICE)

    batch = Batch(
        normal(OBSERVATION_DIM), normal(action_dim).tanh(), normal(), (normal() > 0.5).float(), normal(OBSERVATION_DIM)
    )
    return batch, UpdateNoise(list(range(runs)), config, batch_size, action_dim, DEVICE).draws(0)


def assert_same(
    config: AgentConfig, runs: int = 2, batch_size: int = 5, action_dim: int = 2, tiles: Tiles | None = None
) -> None:
    """Actions, their values and the targets are the eager path's, finite, and actions within their range."""
    eager, fused = agents(config, runs, action_dim, tiles or Tiles(rows=32))
    batch, draws = inputs(config, runs, batch_size, action_dim)
    assert draws.critic_prior is not None
    with matrix_products(config.precision):
        actions, values = eager.next_action_values(batch.next_observations, draws.critic_prior, draws.critic_z)
        found, found_values = fused.next_action_values(batch.next_observations, draws.critic_prior, draws.critic_z)
        targets, found_targets = eager.targets(batch, draws), fused.targets(batch, draws)
    assert found.isfinite().all()
    assert found_values.isfinite().all()
    if config.clip_denoised:
        assert found.abs().max() <= 1.0
    torch.testing.assert_close(found, actions, **CLOSE)
    torch.testing.assert_close(found_values, values, **CLOSE)
    torch.testing.assert_close(found_targets, targets, **CLOSE)


# Sizes: widths, critics, actions a state, steps of the sampler, runs, states, action components; most no power of two.
SIZES = [
    ((64,), 1, 1, 1, 1, 7, 1),
    ((64, 64), 3, 2, 5, 3, 9, 3),
    ((64, 64, 64), 2, 10, 2, 1, 3, 17),
    ((128, 128), 10, 3, 3, 2, 3, 6),
    ((256, 256, 256), 2, 4, 5, 1, 3, 3),
    ((24, 40), 5, 7, 4, 2, 5, 2),
    ((100, 33, 70), 2, 3, 2, 1, 5, 4),
]


@pytest.mark.parametrize(
    ("hidden", "members", "samples", "steps", "runs", "batch_size", "action_dim"),
    SIZES,
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_kernels_compute_what_the_eager_path_does(
    hidden: tuple[int, ...], members: int, samples: int, steps: int, runs: int, batch_size: int, action_dim: int
) -> None:
    config = small_config(
        hidden_sizes=hidden, ensemble_size=members, next_action_samples=samples, diffusion_steps=steps
    )
    assert_same(config, runs, batch_size, action_dim)


@pytest.mark.parametrize(
    "settings",
    [
        {"q_target": "min"},
        {"q_target": "convex", "lcb_coefficient": 0.3},
        {"lcb_coefficient": 0.0},
        {"max_backup": True, "lcb_coefficient": 1.5},
        {"sampler": "ddim"},
        {"sampler": "ddim", "sampler_steps": 2},
        {"clip_denoised": False},
        {"beta_schedule": "cosine"},
        {"precision": "tf32"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_every_setting_of_the_target_half_is_the_kernels_too(settings: dict[str, Any]) -> None:
    assert_same(small_config(**{"diffusion_steps": 3, **settings}), batch_size=3)


@pytest.mark.parametrize("tiles", [Tiles(16, 16), Tiles(16, 32), Tiles(64, 64, 4), Tiles(32, 128)])
def test_tiles_change_nothing_but_rounding(tiles: Tiles) -> None:
    assert_same(small_config(hidden_sizes=(48, 80), ensemble_size=2, diffusion_steps=2), batch_size=7, tiles=tiles)


def test_draws_are_read_where_they_lie() -> None:
    """Those of a step are a row of a block of steps; further noise, for t = 1, is ignored."""
    config = small_config(diffusion_steps=3)
    eager, fused = agents(config, 2, 2, Tiles(rows=32))
    batch, draws = inputs(config, 2, 5, 2)
    assert draws.critic_prior is not None and draws.critic_z is not None
    assert not draws.critic_z.is_contiguous()
    longer = torch.cat([draws.critic_z, torch.full_like(draws.critic_z[:, :1], float("nan"))], 1)
    for z in (draws.critic_z, draws.critic_z.contiguous(), longer):
        torch.testing.assert_close(
            fused.targets(batch, dataclasses.replace(draws, critic_z=z)), eager.targets(batch, draws), **CLOSE
        )
    with pytest.raises(ValueError, match="sampler noise has 1 rows"):
        fused.targets(batch, dataclasses.replace(draws, critic_z=draws.critic_z[:, :1]))
    with pytest.raises(ValueError, match="needs its noise"):
        fused.targets(batch, dataclasses.replace(draws, critic_z=None))
    assert fused.targets(batch, dataclasses.replace(draws, critic_prior=None)) is batch.rewards


@pytest.mark.parametrize("max_backup", [False, True])
@pytest.mark.parametrize("q_target", ["lcb", "min", "convex"])
@pytest.mark.parametrize("network", ["actor", "critic"])
def test_what_is_not_finite_stays_so_and_in_its_run(network: str, q_target: str, max_backup: bool) -> None:
    """A diverged run's targets are not finite, which freezes it; its neighbour's are what they were."""
    config = small_config(q_target=q_target, max_backup=max_backup, next_action_samples=3, diffusion_steps=2)
    _, fused = agents(config, 2, 2, Tiles(rows=16))
    batch, draws = inputs(config, 2, 5, 2)
    before = fused.targets(batch, draws)
    kernel = getattr(fused, network).target.named["noise/1/kernel" if network == "actor" else "1/kernel"]
    kernel[0].fill_(float("nan"))
    after = fused.targets(batch, draws)
    assert not after[0].isfinite().any()
    assert torch.equal(after[1], before[1])


def test_gradient_steps_are_those_of_the_eager_path() -> None:
    """Six of them, critics and actors included: parameters within what rounding grows to."""
    config = small_config(diffusion_steps=3)
    eager, fused = agents(config, 2, 2, Tiles(rows=32))
    for _ in range(6):
        batch, draws = inputs(config, 2, BATCH_SIZE, 2)
        expected, found = eager.update(batch, draws), fused.update(batch, draws)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    assert fused.step == fused.device_step() == 6
    for name, value in eager.run_state(1).items():
        torch.testing.assert_close(fused.run_state(1)[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "bf16"}, r"^precision: bf16; the Triton kernels have fp32 and tf32$"),
        ({"hidden_sizes": (64, 1024)}, r"^hidden_sizes: \(64, 1024\); .* at most 256$"),
    ],
)
def test_a_configuration_without_kernels_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FusedAgent(small_config(**settings), [0], OBSERVATION_DIM, 2, DEVICE)


def test_kernels_are_of_float32() -> None:
    with pytest.raises(ValueError, match="float32"):
        FusedAgent(small_config(), [0], OBSERVATION_DIM, 2, DEVICE, dtype=torch.float64)


COMPILE = """
import sys

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from dac.agent import kernels
from dac.agent.fused import STAGES, Tiles

NUMBERS = {
    "rows", "states", "samples", "size", "runs", "steps", "noisy_steps", "members", "networks", "prior_stride",
    "z_run_stride", "z_step_stride",
}
capability, width, products = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
tiles = Tiles()
chunk = min(width, tiles.chunk)
network = {"LAYERS": 2, "W": width, "CHUNK": chunk, "ROWS": tiles.rows, "COMPONENTS": 16, "PRODUCTS": products}
CONSTANTS = {
    "sample_kernel": {**network, "CLIP": True},
    "value_kernel": network,
    "target_kernel": {"SAMPLES": 16, "TILE": 16, "MAX_BACKUP": False, "Q_TARGET": "lcb"},
}
for name, known in CONSTANTS.items():
    kernel = getattr(kernels, name)
    if sys.argv[4] == "ones":  # a number that is 1 at a launch is a constant of the code
        known = {**known, **dict.fromkeys(NUMBERS & set(kernel.arg_names), 1)}
    kinds = {
        argument: "constexpr" if argument in known else "i32" if argument in NUMBERS
        else "fp32" if argument in ("coefficient", "discount") else "*fp32"
        for argument in kernel.arg_names
    }
    options = {"num_warps": tiles.warps, "num_stages": STAGES}
    source = ASTSource(kernel, signature=kinds, constexprs=known)
    made = compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    cores = "mma" in made.asm["ptx"] and "tf32" in made.asm["ptx"]
    print(name, len(made.asm["cubin"]) > 0, cores, made.metadata.shared)
"""
# Bytes of shared memory that a block of threads may have (CUDA's programming guide), on an A100 and an H100.
SHARED = {80: 163 * 1024, 90: 227 * 1024}


@pytest.mark.skipif(ON_GPU, reason="they are compiled in all other tests here")
@pytest.mark.parametrize(
    ("capability", "width", "products", "numbers"),
    [(80, 64, "tf32", "any"), (90, 32, "ieee", "ones"), (90, 256, "tf32", "any")],
)
def test_kernels_compile_for_gpus_that_are_not_here(
    capability: int, width: int, products: str, numbers: str, tmp_path: Path
) -> None:
    """By NVIDIA's assembler, for Ampere and Hopper: they fit the shared memory, and TF32 is the tensor cores'."""
    variables = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    del variables["TRITON_INTERPRET"]
    command = [sys.executable, "-c", COMPILE, str(capability), str(width), products, numbers]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)  # noqa: PLW1510 - asserted with what was said
    assert done.returncode == 0, done.stderr
    made = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert set(made) == {"sample_kernel", "value_kernel", "target_kernel"}
    for name, (assembled, cores, shared) in made.items():
        assert assembled == "True"
        assert (cores == "True") == (products == "tf32" and name != "target_kernel")
        assert int(shared) <= SHARED[capability]
