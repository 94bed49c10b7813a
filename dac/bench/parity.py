"""The agent against arrays recorded from the authors' released implementation.

A recording holds initial parameters, the batches and random draws of a few gradient steps, and what the released code
(JAX, float32) made of them. Feeding the same numbers to `dac.agent.Agent` must give the same results to rounding.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dac.agent import Agent, AgentConfig, Batch, Draws, initial_run_state
from dac.agent.actor import q_gradient, q_norm
from dac.agent.diffusion import forward_noise, make_schedule
from dac.system.errors import UserError

RELATIVE_TOLERANCE = 1e-4
# Measured worst cases of bf16: 5.2e-3 for one of the next actions, whose average is exact (`dac.agent.precision`), and
# 4.1e-4 for a parameter.
PRECISION_TOLERANCES = {"fp32": RELATIVE_TOLERANCE, "tf32": 5e-3, "bf16": 1e-2}
# The guidance loss averages terms of both signs and can lie close to zero: its deviation is absolute.
ABSOLUTE_TOLERANCES = {"info/guidance_loss": 1e-5}

TINY = 1e-30  # in the place of a reference that is all zero

_INFO = {
    "critic_loss": "critic_loss",
    "qs": "q_mean",
    "qs_std": "q_std",
    "Q_norm": "q_norm",
    "Q_grad": "q_grad",
    "Q_grad_abs": "q_grad_abs",
    "bc_loss": "bc_loss",
    "guidance_loss": "guidance_loss",
    "actor_loss": "actor_loss",
    "eta": "eta",
}
_RECORDED_NETWORKS = {
    "actor": "actor",
    "target_actor": "actor_tar",
    "critic": "critic",
    "target_critic": "critic_tar",
}


def tolerance(quantity: str, precision: str = "fp32") -> float:
    """Largest deviation of a quantity of `worst_deviations` that counts as parity in a precision of the products."""
    if quantity in ABSOLUTE_TOLERANCES:
        return ABSOLUTE_TOLERANCES[quantity] * PRECISION_TOLERANCES[precision] / RELATIVE_TOLERANCE
    return PRECISION_TOLERANCES[precision]


def worst_deviations(
    path: Path | str,
    dtype: torch.dtype = torch.float32,
    *,
    pack: int = 1,
    precision: str = "fp32",
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """How far the agent is from one recording, fed with its batches and draws.

    Args:
        path: an .npz recording. dtype: precision of the agent. pack: number of runs that advance together; the
            recorded one is in the middle, the others have their own parameters, batches and draws.
        precision: of the gradient step's products, see `dac.agent.precision`.
        device: that computes.

    Returns:
        Worst deviation of each quantity over steps and arrays: max |difference| / max |reference|, absolute for those
        in `ABSOLUTE_TOLERANCES`.

    Raises:
        UserError: the file is missing or is no such recording.
    """
    recording = _Recording(path, dtype, pack, device)
    config = dataclasses.replace(recording.config(), precision=precision)
    agent = Agent.from_run_states(config, recording.initial_states(config), 0, device, dtype)
    found = _Deviations()
    schedule = make_schedule(config.beta_schedule, config.diffusion_steps, device, dtype)
    found.add("schedule/betas", schedule.betas, recording["schedule/betas"])
    found.add("schedule/alpha_bars", schedule.alpha_bars, recording["schedule/alpha_hats"])
    for step in range(recording.steps):
        _compare_step(agent, recording, step, found)
    _compare_acting(agent, recording, found)
    return found.worst


def check(
    paths: Iterable[Path],
    dtype: torch.dtype,
    *,
    pack: int,
    precision: str,
    largest: float | None,
    device: torch.device | str = "cpu",
) -> Iterator[str]:
    """A line on every quantity of some recordings.

    Args:
        dtype, pack, precision, device: as in `worst_deviations`.
        largest: relative deviation that passes; None: what `tolerance` says.

    Raises:
        UserError: after the last line, if some deviate by more; or as `worst_deviations`.
    """
    failed = []
    for path in paths:
        for quantity, deviation in worst_deviations(path, dtype, pack=pack, precision=precision, device=device).items():
            limit = tolerance(quantity, precision)
            if largest is not None and quantity not in ABSOLUTE_TOLERANCES:
                limit = largest
            yield f"{path.stem:32s} {quantity:28s} {deviation:.1e}  (limit {limit:.0e})"
            if not deviation <= limit:
                failed.append(f"{path.stem}: {quantity} deviates by {deviation:.1e}, more than {limit:.0e}")
    if failed:
        raise UserError("no parity:\n" + "\n".join(f"  - {line}" for line in failed))


def _compare_step(agent: Agent, recording: _Recording, step: int, found: _Deviations) -> None:
    run, prefix = recording.run, f"step{step}/"
    batch, draws = recording.batch(prefix), recording.draws(prefix)
    assert draws.critic_prior is not None  # a recording has its noise
    actions, values = agent.next_action_values(batch.next_observations, draws.critic_prior, draws.critic_z)
    found.add("next_actions", actions[run], recording[prefix + "critic/next_actions"])
    found.add("next_q", values[run], recording[prefix + "critic/next_q"])
    metrics = agent.update(batch, draws)
    if "q_grad" not in metrics:
        metrics = {**metrics, **_gradient_metrics(agent, batch, draws)}
    for recorded, name in _INFO.items():
        found.add(f"info/{name}", metrics[name][run], recording[f"{prefix}info/{recorded}"])
    found.add("eta_after", agent.eta[run], recording[prefix + "eta_after"])
    if any(key.startswith(prefix + "after/") for key in recording.arrays):
        state = agent.run_state(run)
        for network, recorded in _RECORDED_NETWORKS.items():
            for name, value in state.items():
                if name.startswith(network + "/"):
                    key = f"{prefix}after/{recorded}/{_recorded_name(name)}"
                    found.add(f"parameters/{network}", value, recording[key])


def _gradient_metrics(agent: Agent, batch: Batch, draws: Draws) -> dict[str, Tensor]:
    """q_norm, q_grad and q_grad_abs for a guidance that lacks some; the target critics are those of the step."""
    config, state = agent.config, agent.policy.critic
    schedule = make_schedule(config.beta_schedule, config.diffusion_steps, batch.actions.device, batch.actions.dtype)
    x_t, _ = forward_noise(schedule, batch.actions, draws.t, draws.eps)
    norm = q_norm(state, batch)
    gradient = q_gradient(state, batch.observations, x_t, norm)
    return {"q_norm": norm, "q_grad": gradient.mean((1, 2)), "q_grad_abs": gradient.abs().mean((1, 2))}


def _compare_acting(agent: Agent, recording: _Recording, found: _Deviations) -> None:
    run, samples = recording.run, int(recording["config/num_action_samples"])
    observations, prior = recording.packed("act/obs"), recording.packed("act/prior")
    z = recording.packed("act/z")
    candidates, values = agent.policy.candidates(observations, samples, prior, z)
    chosen = agent.policy.act(observations, samples, prior, z)
    found.add("act/candidates", candidates[run], recording["act/candidates"])
    found.add("act/q", values[run], recording["act/q"])
    found.add("act/chosen", chosen[run], recording["act/chosen"])


class _Deviations:
    def __init__(self) -> None:
        self.worst: dict[str, float] = {}

    def add(self, quantity: str, value: Tensor, reference: np.ndarray) -> None:
        expected = np.asarray(reference, dtype=np.float64)
        found = value.detach().cpu().double().numpy()
        if found.shape != expected.shape:
            raise ValueError(f"{quantity}: shape {found.shape}, recorded {expected.shape}")
        deviation = float(np.abs(found - expected).max())
        if quantity not in ABSOLUTE_TOLERANCES:
            deviation /= max(float(np.abs(expected).max()), TINY)
        # np.maximum keeps a NaN, which max may drop.
        self.worst[quantity] = float(np.maximum(deviation, self.worst.get(quantity, 0.0)))


class _Recording:
    """One .npz file, and its recorded run as a member of a pack."""

    def __init__(self, path: Path | str, dtype: torch.dtype, pack: int, device: torch.device | str) -> None:
        self._path = path
        try:
            with np.load(path) as file:
                self.arrays: Mapping[str, np.ndarray] = dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot be read as an .npz recording ({error}); give a parity file") from error
        self._dtype = dtype
        self._device = device
        self._pack = pack
        self._generator = torch.Generator().manual_seed(0)
        self.run = pack // 2
        self.steps = len({key.split("/")[0] for key in self.arrays if key.startswith("step")})

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self.arrays:
            raise UserError(f"{self._path}: lacks the array {key}; give a parity file, with all of its arrays")
        return self.arrays[key]

    def config(self) -> AgentConfig:
        """The recorded settings; those that a recording may leave out are the released code's defaults."""
        return AgentConfig(
            guidance=self._text("config/Q_guidance", "soft"),
            q_target=self._text("config/q_tar", "lcb"),
            lcb_coefficient=float(self["config/rho"]),
            ensemble_size=int(self["config/num_qs"]),
            next_action_samples=int(self["config/num_q_samples"]),
            max_backup=bool(self.arrays.get("config/maxQ", False)),
            diffusion_steps=int(self["config/T"]),
            hidden_sizes=tuple(int(size) for size in self["config/hidden_dims"]),
            actor_lr=float(self["config/actor_lr"]),
            critic_lr=float(self["config/critic_lr"]),
            lr_decay_steps=int(self["config/lr_decay_steps"]),
            actor_ema_start=int(self["config/step_start_ema"]),
            actor_ema_interval=int(self["config/update_ema_every"]),
            eta=float(self["config/eta"]),
            eta_lr=float(self["config/eta_lr"]),
            bc_threshold=float(self["config/bc_threshold"]),
        )

    def _text(self, key: str, default: str) -> str:
        return self.arrays[key].item().decode() if key in self.arrays else default

    def initial_states(self, config: AgentConfig) -> list[dict[str, Tensor]]:
        """States of the pack's runs: seeded ones, and the recorded one in its place."""
        observation_dim = self["step0/batch/observations"].shape[-1]
        action_dim = self["step0/batch/actions"].shape[-1]
        states = [initial_run_state(config, seed, observation_dim, action_dim) for seed in range(self._pack)]
        recorded = states[self.run]
        for name in recorded:
            network = name.split("/")[0]
            if network in _RECORDED_NETWORKS:
                key = f"init/{network.removeprefix('target_')}/{_recorded_name(name)}"
                recorded[name] = torch.as_tensor(self[key], dtype=torch.float64)
        return states

    def packed(self, key: str) -> Tensor:
        """A floating-point array with a run axis: the neighbours' numbers are drawn."""
        value = torch.as_tensor(self[key], dtype=self._dtype)
        stacked = torch.randn(self._pack, *value.shape, generator=self._generator, dtype=self._dtype)
        stacked[self.run] = value
        return stacked.to(self._device)

    def batch(self, prefix: str) -> Batch:
        """The batch of a step."""
        prefix += "batch/"
        return Batch(
            observations=self.packed(prefix + "observations"),
            actions=self.packed(prefix + "actions"),
            rewards=self.packed(prefix + "rewards"),
            dones=1 - self.packed(prefix + "masks"),
            next_observations=self.packed(prefix + "next_observations"),
        )

    def draws(self, prefix: str) -> Draws:
        """The random draws of a step."""
        t = torch.as_tensor(self[prefix + "actor/t"], dtype=torch.int64)
        own_chain = prefix + "actor/prior" in self.arrays
        return Draws(
            critic_prior=self.packed(prefix + "critic/prior"),
            critic_z=self.packed(prefix + "critic/z"),
            t=t.expand(self._pack, -1).to(self._device),
            eps=self.packed(prefix + "actor/eps"),
            actor_prior=self.packed(prefix + "actor/prior") if own_chain else None,
            actor_z=self.packed(prefix + "actor/z") if own_chain else None,
        )


def _recorded_name(name: str) -> str:
    """Name of a parameter in a recording: actor/time/0/kernel -> MLP_0/Dense_0/kernel, and so on."""
    parts = name.split("/")[1:]
    if parts[0] == "time":
        return f"MLP_0/Dense_{parts[1]}/{parts[2]}"
    if parts[0] == "noise":
        return f"MLP_1/Dense_{parts[1]}/{parts[2]}"
    return f"VmapQNet_0/MLP_0/Dense_{parts[0]}/{parts[1]}"
