"""Golden numbers: 50 gradient steps of a tiny agent by the real trainer on committed data, a checksum per parameter.

`python tests/support/golden.py`, in the installed environment, records them under the present numerics versions after a
bump in dac/study/versions.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from tiny import COMPUTE, Project
from torch import Tensor

from dac.agent import ActingNoise, AgentConfig, Policy
from dac.agent.components import GUIDANCES, Q_TARGETS
from dac.agent.config import PRECISIONS
from dac.study import versions
from dac.study.identity import guidance_version, precision_version, q_target_version
from dac.training.policies import agent_config
from dac.training.trainer import RunState, train

FOLDER = Path(__file__).parents[1] / "data" / "golden"
CHECKSUMS = FOLDER / "checksums.json"
# Enough for other processors' vector instructions and thread counts; a step of another optimiser changes 1e-2.
TOLERANCE = 2e-4

Checksums = dict[str, float]  # parameter or moment of a run's state -> a projection of it on fixed weights
DEFAULT = AgentConfig()


class Combination(NamedTuple):
    """An agent whose numbers are recorded."""

    guidance: str = DEFAULT.guidance
    q_target: str = DEFAULT.q_target
    precision: str = DEFAULT.precision


COMBINATIONS = [
    *(Combination(guidance=guidance) for guidance in GUIDANCES),
    *(Combination(q_target=q_target) for q_target in Q_TARGETS if q_target != DEFAULT.q_target),
    *(Combination(precision=precision) for precision in PRECISIONS if precision != DEFAULT.precision),
]
# One of them runs what the others leave out.
FURTHER = {
    Combination("soft", "convex"): {
        "sampler": "ddim", "clip_denoised": False, "max_backup": True, "diffusion_steps": 4, "sampler_steps": 3,
        "beta_schedule": "cosine",
    },
}  # fmt: skip


def name_of(agent: Combination) -> str:
    """Key of a combination and its versions in the recorded file."""
    guidance, q_target, precision = agent
    own = f"guidance {guidance_version(guidance)} q_target {q_target_version(q_target)}"
    if precision != DEFAULT.precision:
        own += f" {precision} {precision_version(precision)}"
    return f"{guidance}-{q_target} common {versions.COMMON} {own} data {versions.DATASET['file']}"


def compute(agent: Combination) -> Checksums:
    """Train in a temporary folder and take the checksums of the run's state after the last step."""
    changes = {**agent._asdict(), "actor_lr": 1e-2, "critic_lr": 1e-2, "target_rate": 0.2}
    sizes = {"steps": 50, "eval_interval": 50, "actor_ema_start": 2, "ensemble_size": 3}
    kept: list[RunState] = []
    with temporary_folder():
        Path("data").mkdir()
        shutil.copy(FOLDER / "pendulum.hdf5", "data/pendulum.hdf5")
        project = Project()
        project.settings["studies"]["tiny"]["settings"] |= {**changes, **sizes, **FURTHER.get(agent, {})}
        group = project.set("tasks.pendulum.reward_scaling", "none").group()
        with mock.patch("dac.training.publish.Publisher.publish", lambda publisher, state: kept.append(state)):
            train(group, [0], COMPUTE, 1)
    assert kept[0].step == 50
    state = {name: value for name, value in kept[0].agent.items() if name != "active"}
    state["chosen actions"] = _chosen_actions(agent_config(group.settings), state)
    return {name: checksum(value) for name, value in sorted(state.items())}


def _chosen_actions(config: AgentConfig, state: dict[str, Tensor]) -> Tensor:
    """Actions in ten states, the best of four and one drawn among them."""
    policy = Policy.from_states(config, [state])
    observations = torch.linspace(-1, 1, 40).view(1, 10, 4)
    chosen = []
    for temperature in (0.0, 0.5):
        draws = ActingNoise([0], "golden", 50, config, 10, 4, 1, temperature=temperature).draws(0)
        chosen.append(policy.act(observations, 4, draws.prior, draws.z, temperature=temperature, gumbel=draws.gumbel))
    return torch.stack(chosen)


def checksum(values: Tensor) -> float:
    """A projection on fixed weights that sees every element and its place."""
    flat = values.flatten().double().numpy()
    return round(float(flat @ np.cos(np.arange(len(flat)))), 6)


@contextlib.contextmanager
def temporary_folder() -> Iterator[None]:
    """An empty folder, made the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def differences(found: Checksums, recorded: Checksums) -> list[str]:
    """Names of parameters whose checksums differ by more than the tolerance, or that only one side has."""
    names = sorted(found.keys() | recorded.keys())
    nan = float("nan")
    return [name for name in names if not abs(found.get(name, nan) - recorded.get(name, nan)) <= TOLERANCE]


def verdict(changed: set[Combination]) -> str:
    """Which constant of dac/study/versions.py a change of these combinations' numbers belongs to."""
    for part in Combination._fields:
        for name in {getattr(item, part) for item in COMBINATIONS}:
            if changed == {item for item in COMBINATIONS if getattr(item, part) == name}:
                return f'{part.upper()}["{name}"]'
    return "COMMON"


def check() -> str | None:
    """What to do about numbers that changed without a bump; None if none did."""
    recorded: dict[str, Checksums] = json.loads(CHECKSUMS.read_text())
    changed: dict[Combination, list[str]] = {}
    for combination in COMBINATIONS:
        name = name_of(combination)
        if name not in recorded:
            return (
                f"No golden numbers are recorded for these versions ({name}). If the change of numbers is meant, "
                "record them: python tests/support/golden.py"
            )
        if found := differences(compute(combination), recorded[name]):
            changed[combination] = found
    if not changed:
        return None
    lines = [f"  {', '.join(agent)}: {', '.join(found[:4])}" for agent, found in changed.items()]
    return "\n".join(
        [
            f"The numbers of {len(changed)} of {len(COMBINATIONS)} agents changed, but no numerics version did:",
            *lines,
            f"If that is not meant, mend it. If it is, raise {verdict(set(changed))} in dac/study/versions.py, so that "
            "the runs that it touches are made anew, and record the new numbers: python tests/support/golden.py",
        ]
    )


def record() -> None:
    """Add the numbers of the present versions; those of earlier versions stay for the record."""
    recorded = json.loads(CHECKSUMS.read_text()) if CHECKSUMS.exists() else {}
    recorded |= {name_of(combination): compute(combination) for combination in COMBINATIONS}
    CHECKSUMS.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    record()
