"""How fast this machine trains at the paper's sizes: by part, by pack, by diffusion steps, against what it could do.

The result is also behind `dac plan`'s times where nothing nearer is measured (`dac.speeds`).
"""

from __future__ import annotations

import dataclasses
import datetime
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from dac import devices, envs, provenance
from dac.agent import ActingNoise, Agent, AgentConfig, Batch, ShuffledScan, UpdateNoise
from dac.agent.critic import critic_loss, td_targets
from dac.agent.graph import updater
from dac.agent.networks import noise_predictor, q_values
from dac.agent.policy import sample_actions
from dac.agent.precision import matrix_products, without_gradient
from dac.agent.streams import BLOCK_STEPS
from dac.bench_plain import PlainAgent
from dac.estimate import step_flops
from dac.params import AgentSettings, TrainingSettings

ENVIRONMENT = "Hopper-v5"
TRANSITIONS = 100_000
WARM_UP = 5  # calls before the clock; a graph is recorded in the fourth
SWEEP = (5, 10, 20, 50, 100)


def measure(
    device: str,
    threads: int,
    seconds: float,
    runs: Sequence[int] = (1,),
    sweep: Sequence[int] = (),
    precision: str = "fp32",
) -> dict[str, Any]:
    """Time gradient steps with the paper's settings on random data of Hopper's sizes, and environment steps.

    Args:
        device: `cpu`, `cuda` or `auto`.
        threads: of PyTorch, on the CPU.
        seconds: how long to measure each number.
        runs: pack sizes.
        sweep: diffusion steps T, for soft and denoised guidance, one run each.
        precision: of a step's products, as `training.precision`.

    Returns:
        `packs`, `sweep`, `plain_ms` (a step of one run, `dac.bench_plain`), `matmul_flops` (the ceiling: this machine's
        batched float32 products of the critics' size), `environment_steps` (per second and core); `flops` and `step_ms`
        of the smallest pack; machine, device, threads, versions and date.
    """
    torch.set_num_threads(threads)
    env = envs.make(ENVIRONMENT)
    assert env.observation_space.shape and env.action_space.shape  # vectors, says envs.make
    sizes = env.observation_space.shape[0], env.action_space.shape[0]
    with devices.claimed(device) as chosen:
        packs = [_pack(count, sizes, chosen, seconds, precision) for count in sorted(runs)]
        ceiling = _matmul_flops(chosen, seconds)
        plain = _plain_seconds(sizes, chosen, seconds)
        steps = [
            _sweep_row(
                AgentConfig(guidance=guidance, diffusion_steps=count, precision=precision), sizes, chosen, seconds
            )
            for count in sweep
            for guidance in _GUIDANCES
        ]
    made = provenance.provenance(devices.name(chosen), seconds)
    return {
        "what": "soft guidance at the paper's settings on random data, without evaluations",
        "precision": precision,
        "step_ms": packs[0]["step_ms"],
        "flops": packs[0]["flops"],
        "packs": packs,
        "plain_ms": round(1000 * plain, 3),
        "sweep": steps,
        "matmul_flops": ceiling,
        "environment": ENVIRONMENT,
        "environment_steps": round(_environment_steps(env, seconds), 1),
        "machine": made["machine"],
        "device": chosen.type,
        "device_name": made["device"],
        "threads": threads,
        "versions": made["versions"],
        "commit": made["commit"],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


_GUIDANCES = ("soft", "denoised")


class Workload:
    """A pack that trains on random transitions, and the parts of its gradient step by themselves.

    Args:
        runs: in the pack. sizes: of the observation and the action.
        batch_size: transitions per run and step; None = the paper's.
        terminal: whether every transition ends its episode, as a bandit's do.
        episodes, action_samples: states per run that `act` acts in at once, and candidates in each.
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
    ) -> None:
        self.config, self.device = config, device
        self.batch_size = batch_size or TrainingSettings().batch_size
        self.episodes, self.action_samples = episodes, action_samples
        seeds = list(range(runs))
        self.agent = Agent(config, seeds, *sizes, device)
        self.update = updater(self.agent, recorded=True)
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

    def batch(self) -> Batch:
        indices = self.scan.batch_indices(self.agent.step)
        return Batch(*(getattr(self.data, field.name)[indices] for field in dataclasses.fields(Batch)))

    def step(self) -> None:
        self.update(self.batch(), self.noise.draws(self.agent.step))

    def parts(self) -> dict[str, Callable[[], object]]:
        """The parts of a step, each to be called alone; `draws` makes a block of BLOCK_STEPS steps' numbers."""
        agent, config = self.agent, self.config
        batch, draws = self.batch(), self.noise.draws(agent.step)
        assert draws.critic_prior is not None
        prior, states = draws.critic_prior, batch.next_observations
        with torch.no_grad():
            actions, values = agent.next_action_values(states, prior, draws.critic_z)
            targets = td_targets(config, batch, values)

        actor = without_gradient(agent._actor.target.named, config.precision)
        critics = without_gradient(agent._critic.target.named, config.precision)

        @torch.no_grad()
        def sample() -> None:
            predictor = noise_predictor(actor, states, config.diffusion_steps, prior.shape[-1])
            sample_actions(config, agent._schedule, predictor, prior, draws.critic_z)

        @torch.no_grad()
        def evaluate() -> None:
            q_values(critics, states, actions)

        def critic() -> None:
            loss, _ = critic_loss(agent._critic.online.named, batch, targets)
            agent._critic.descend(
                loss, agent.active, agent._count, torch.zeros_like(agent._count), config.gradient_clip
            )

        def follow() -> None:
            agent._critic.follow(0.0, agent.active)
            agent._actor.follow(0.0, agent.active)

        return {
            "draws": lambda: self.noise._draw(0),
            "batch": self.batch,
            "target_sampling": sample,
            "target_q": evaluate,
            "critic": critic,
            "actor": lambda: agent._update_actor(batch, draws),
            "ema": follow,
        }

    def act(self) -> None:
        """Choose actions in the states of all episodes of every run, as an evaluation does at every step."""
        draws = self.acting.draws(self._acted)
        self._acted += 1
        states = self.data.observations[: self.episodes].expand(len(self.agent.eta), -1, -1)
        self.agent.act(states, self.action_samples, draws.prior, draws.z, gumbel=draws.gumbel).cpu()


def _pack(runs: int, sizes: tuple[int, int], device: torch.device, seconds: float, precision: str) -> dict[str, Any]:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    work = Workload(AgentConfig(precision=precision), runs, sizes, device)
    step = _time(work.step, seconds, device)
    with matrix_products(precision):
        parts = {name: _time(part, seconds / 4, device) for name, part in work.parts().items()}
    parts["draws"] /= BLOCK_STEPS
    values = {**AgentSettings().model_dump(), **TrainingSettings().model_dump()}
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {
        "runs": runs,
        "step_ms": round(1000 * step, 3),
        "flops": runs * step_flops(values, *sizes) / step,
        "parts_ms": {name: round(1000 * part, 3) for name, part in parts.items()},
        "acting_ms": round(1000 * _time(work.act, seconds / 4, device), 3),
        "peak_bytes": memory,
    }


def _plain_seconds(sizes: tuple[int, int], device: torch.device, seconds: float) -> float:
    """Seconds of a gradient step of one run, written plainly; always in float32."""
    work = Workload(AgentConfig(), 1, sizes, device)
    agent = PlainAgent(work.config, *sizes, device)
    return _time(lambda: agent.update(work.batch(), work.noise.draws(agent.step)), seconds, device)


def _sweep_row(config: AgentConfig, sizes: tuple[int, int], device: torch.device, seconds: float) -> dict[str, Any]:
    work = Workload(config, 1, sizes, device)
    return {
        "diffusion_steps": config.diffusion_steps,
        "guidance": config.guidance,
        "step_ms": round(1000 * _time(work.step, seconds, device), 3),
        "actor_ms": round(1000 * _time(work.parts()["actor"], seconds / 2, device), 3),
    }


def _time(call: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Median seconds of a call, over as many as fit the time, at least three."""
    for _ in range(WARM_UP):
        call()
    _synchronise(device)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        call()
        _synchronise(device)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def _matmul_flops(device: torch.device, seconds: float) -> float:
    """Floating-point operations per second of nothing but the critics' products for the next actions, in float32."""
    config, width = AgentConfig(), AgentConfig().hidden_sizes[0]
    rows = TrainingSettings().batch_size * config.next_action_samples
    left = torch.randn(config.ensemble_size, rows, width, device=device)
    right = torch.randn(config.ensemble_size, width, width, device=device)
    out = torch.empty(config.ensemble_size, rows, width, device=device)
    operations = 2 * config.ensemble_size * rows * width * width
    return operations / _time(lambda: torch.bmm(left, right, out=out), seconds, device)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _environment_steps(env: envs.Environment, seconds: float) -> float:
    """Steps per second of one environment under random actions, resets included."""
    actions = np.random.default_rng(0)
    env.reset(seed=0)
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        *_, terminated, truncated, _ = env.step(actions.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps / (time.perf_counter() - started)
