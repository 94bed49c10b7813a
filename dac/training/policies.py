"""Policy files of the store: written by the trainer, read by the evaluation, and by anyone's Python."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from dac.agent import AgentConfig, Policy, stream_generator
from dac.agent.config import AgentSettings
from dac.agent.networks import q_values
from dac.agent.policy import state_dims
from dac.study import store
from dac.study.identity import Group, Run
from dac.study.mistakes import MOST_TOLD, explained_one
from dac.study.params import SETTINGS, Settings
from dac.study.records import run_record
from dac.system import files
from dac.system.errors import UserError

# What acting needs of one run, by name: `Agent.policy_state`.
PolicyState = Mapping[str, Tensor]


def agent_config(settings: Settings) -> AgentConfig:
    """What the agent is told of a group's settings."""
    own: dict[str, Any] = {field.name: getattr(settings, field.name) for field in fields(AgentSettings)}
    decay = settings.steps if settings.lr_decay == "cosine" else None
    return AgentConfig(**own, lr_decay_steps=decay, precision=settings.precision)


def _recorded(values: Mapping[str, Any]) -> Settings:
    """Settings from those in a run.json, which lacks some that change no number: of these the defaults do as well.

    Raises:
        ValueError: one is not what params.yaml may hold; a number of diffusion steps that is none would never end.
    """
    known = {field.name for field in fields(Settings)}
    found = {key: value for key, value in values.items() if key in known}
    try:
        return SETTINGS.validate_json(json.dumps(found))
    except ValidationError as error:
        raise ValueError("; ".join(explained_one(item) for item in error.errors()[:MOST_TOLD])) from None


def policy_name(step: int) -> str:
    """File name of the policy after `step` gradient steps."""
    return f"policy-{step}.safetensors"


def _policy_steps(names: Iterable[str]) -> dict[str, int]:
    """The files of policies among `names`, with their steps: the inverse of `policy_name`."""
    found = ((name, re.fullmatch(r"policy-(\d+)\.safetensors", name)) for name in names)
    return {name: int(match[1]) for name, match in found if match}


def save_policy(state: dict[str, Tensor], path: Path) -> str:
    """Write a policy's tensors; equal tensors give equal bytes. Returns the sha256 of what was to be written."""
    content = save(state)
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load_policies(group: Group, runs: list[Run], step: int, device: torch.device) -> Policy:
    """The kept policies of several runs at one step, as a pack; their contents are checked.

    Raises:
        UserError: a run is not complete, or a file is damaged.
    """
    states = [load_file(store.verified_file(run, policy_name(step))) for run in runs]
    return Policy.from_states(agent_config(group.settings), states, device)


class TrainedPolicy:
    """One trained policy, to act with; `load_policy` makes it.

    Attributes:
        task: its task in params.yaml. env: the Gymnasium id of that task's environment. seed: of its training.
        step: gradient steps that it was trained for.
        settings: those of its run's settings that can change its numbers, as its run.json records them.
        observation_dim: O. action_dim: A.
    """

    def __init__(self, state: Mapping[str, Tensor], content: Mapping[str, Any], step: int, device: str) -> None:
        self.task: str = content["task"]
        self.env: str = content["identity"]["env"]
        self.seed: int = content["seed"]
        self.step = step
        self.settings: dict[str, Any] = dict(content["identity"]["settings"])
        self.observation_dim, self.action_dim = state_dims(state)
        self._device = device
        recorded = _recorded(self.settings)
        self._action_samples = recorded.eval_action_samples
        self._policy = Policy.from_states(agent_config(recorded), [state], device)
        self._calls = 0

    def act(
        self, observations: ArrayLike, *, action_samples: int | None = None, temperature: float = 0.0, seed: int = 0
    ) -> NDArray[np.float32]:
        """Choose an action in each state: the best by Q of N_a drawn candidates (arXiv 2405.20555, section 4).

        Successive calls draw new noise; the same calls on a newly loaded policy give the same actions.

        Args:
            observations: (n, O), or (O,) for one state; any real dtype, unnormalised, as the environment gives them.
            action_samples: N_a; None takes the number of the evaluations during training.
            temperature: 0 takes the best candidate, tau > 0 one with probability ~ exp(Q / (tau mean |Q|)).
            seed: of the drawn noise.

        Returns:
            (n, A), or (A,), float32 in [-1, 1]. `dac.envs.make(policy.env)` takes these; a plain `gymnasium.make`
            may want them scaled to its action space.

        Raises:
            ValueError: observations of another size, N_a < 1 or a negative temperature.
        """
        states, single = self._states(observations)
        samples = self._action_samples if action_samples is None else action_samples
        if samples < 1 or temperature < 0:
            raise ValueError(f"action_samples: {samples}, temperature: {temperature}; allowed: >= 1 and >= 0")
        generator = stream_generator(seed, "act", self._calls, self._device)
        self._calls += 1
        candidates = (1, states.shape[1], samples)
        rows, steps = (1, states.shape[1] * samples, self.action_dim), self._policy.schedule.steps
        prior = torch.randn(rows, generator=generator, device=self._device)
        z = torch.randn(1, steps - 1, *rows[1:], generator=generator, device=self._device)
        gumbel = -torch.empty(candidates, device=self._device).exponential_(generator=generator).log()
        actions = self._policy.act(states, samples, prior, z, temperature=temperature, gumbel=gumbel)
        result: NDArray[np.float32] = actions[0].cpu().numpy().astype(np.float32)
        return result[0] if single else result

    def values(self, observations: ArrayLike, actions: ArrayLike) -> NDArray[np.float32]:
        """Q(s, a), the mean of the target critics, in the units of the scaled rewards it was trained on.

        Args:
            observations: (n, O). actions: (n, A) in [-1, 1].

        Returns:
            (n,) float32.

        Raises:
            ValueError: sizes that do not fit the policy or each other.
        """
        states, _ = self._states(observations)
        chosen = torch.as_tensor(np.asarray(actions, np.float32), device=self._device).view(1, -1, self.action_dim)
        if states.shape[1] != chosen.shape[1]:
            raise ValueError(f"{states.shape[1]} observations, but {chosen.shape[1]} actions")
        with torch.no_grad():
            q = q_values(self._policy.critic, states, chosen).mean(1)
        values: NDArray[np.float32] = q[0].cpu().numpy()
        return values

    def _states(self, observations: ArrayLike) -> tuple[Tensor, bool]:
        array = np.asarray(observations, np.float32)
        if array.ndim not in (1, 2) or array.shape[-1] != self.observation_dim:
            raise ValueError(
                f"observations of shape {array.shape}; allowed: (n, {self.observation_dim}), or one of them without n"
            )
        return torch.as_tensor(array, device=self._device).view(1, -1, self.observation_dim), array.ndim == 1


def load_policy(path: str | Path, *, device: str = "cpu") -> TrainedPolicy:
    """Load a trained policy from the store.

    Args:
        path: a run's folder, `results/runs/<task>/<variant>-<fp>/seed-<k>` (its last kept policy), or one of the
            files `policy-<step>.safetensors` in it.
        device: where to compute, such as `cpu` or `cuda`.

    Raises:
        UserError: no such run or policy, or its contents are not what run.json records.
    """
    path = Path(path)
    directory = path if path.is_dir() else path.parent
    content = run_record(directory)
    if content is None:
        raise UserError(
            f"{path}: there is no complete run. Give a run's folder, or a policy in it; `dac runs --all` lists what is "
            "here, and `dvc pull` brings what others made."
        )
    steps = _policy_steps(content["files"])
    name = max(steps, key=steps.__getitem__, default="") if path.is_dir() else path.name
    if name not in steps:
        raise UserError(f"{path}: not a policy of this run; it has {', '.join(sorted(steps)) or 'none'}.")
    file = directory / name
    if not file.is_file() or files.file_entry(file) != content["files"][name]:
        raise UserError(
            f"{file}: missing, or its contents are not what run.json records; `dvc checkout --force {file}` brings "
            "back what was recorded."
        )
    try:
        return TrainedPolicy(load_file(file), content, steps[name], device)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{file}: its tensors, or the settings in run.json, are not those of a policy ({type(error).__name__}: "
            f"{error}). `dvc checkout --force {directory}` brings back what was recorded."
        ) from error
