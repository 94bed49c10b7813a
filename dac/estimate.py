"""What a study costs: arithmetic, time and disk, from the plan alone.

The arithmetic of a gradient step is counted from the networks' sizes; a recorded calibration of the machine
(`dac bench`) turns it into time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from dac.plan import Group

# Observation and action sizes by the environment's name without its version, for counting arithmetic.
DIMENSIONS = {
    "HalfCheetah": (17, 6),
    "Hopper": (11, 3),
    "Walker2d": (17, 6),
    "Ant": (105, 8),
    "AntMaze_UMaze": (29, 8),
    "AntMaze_Medium": (29, 8),
    "AntMaze_Large": (29, 8),
    "InvertedPendulum": (4, 1),
    "InvertedDoublePendulum": (9, 1),
    "Reacher": (10, 2),
    "Swimmer": (8, 2),
    "Pusher": (23, 7),
    "Pendulum": (3, 1),
    "AdroitHandPen": (45, 24),
    "AdroitHandDoor": (39, 28),
    "AdroitHandHammer": (46, 26),
    "AdroitHandRelocate": (39, 30),
    "FrankaKitchen": (59, 9),
    "Kitchen_": (60, 9),
    "Bandit2D": (1, 2),
}
TIME_FEATURES = 32
CALIBRATIONS = Path("benchmarks/results")
# Longest episodes of the tasks here; most end earlier. A bandit's have one step.
EPISODE_STEPS = 1000


@dataclass(frozen=True)
class Calibration:
    """Measured speed of a machine.

    Attributes:
        flops: floating-point operations per second of a whole gradient step.
        environment_steps: environment steps per second and core, the policy's arithmetic aside.
    """

    machine: str
    device: str
    date: str
    flops: float
    environment_steps: float


def calibration(device: str = "cpu") -> Calibration:
    """The newest recorded calibration of a kind of device; the CPU's where none of that kind is recorded."""
    found: list[Calibration] = []
    for path in sorted(CALIBRATIONS.glob("calibration-*.json")):
        record = json.loads(path.read_text())
        found.append(
            Calibration(
                record["machine"], record["device"], record["date"], record["flops"], record["environment_steps"]
            )
        )
    if not found:
        # Before the first `dac bench`: a laptop's order of magnitude.
        return Calibration("not measured", "cpu", "-", 5e10, 5000.0)
    alike = [record for record in found if record.device == device] or found
    return max(alike, key=lambda record: record.date)


def dimensions(env: str) -> tuple[int, int]:
    """Observation and action sizes of an environment; a locomotion task's where it is not in the table."""
    name = (env.rpartition("-")[0] or env).removeprefix("D4RL/")
    longest = max((key for key in DIMENSIONS if name.startswith(key)), key=len, default="HalfCheetah")
    return DIMENSIONS[longest]


def _mlp_flops(inputs: int, hidden: list[int], outputs: int) -> int:
    sizes = [inputs, *hidden, outputs]
    return 2 * sum(a * b for a, b in pairwise(sizes))


def step_flops(values: dict[str, Any], observation: int, action: int) -> float:
    """Floating-point operations of one gradient step of one run (matrix products; a backward pass counts twice)."""
    hidden, batch, members = values["hidden_sizes"], values["batch_size"], values["ensemble_size"]
    actor = _mlp_flops(observation + action + TIME_FEATURES, hidden, action)
    critic = _mlp_flops(observation + action, hidden, 1)
    samples, steps = values["next_action_samples"], values["diffusion_steps"]
    target = batch * samples * (steps * actor + members * critic)
    critic_update = 3 * batch * members * critic
    guidance = {
        "soft": 3 * batch * members * critic,
        "hard": 3 * batch * members * critic,
        "denoised": batch * (3 * steps * actor + 3 * members * critic),
        "none": 0,
    }[values["guidance"]]
    return float(target + critic_update + 3 * batch * actor + guidance)


def evaluations(values: dict[str, Any]) -> int:
    """Number of evaluations during a training: at step 0, at every interval and at the end."""
    return int(1 + -(-values["steps"] // values["eval_interval"]))


def training_seconds(group: Group, runs: int, speed: Calibration) -> float:
    """Seconds to train `runs` seeds of a group, evaluations during training included (an upper bound for them)."""
    bandit = group.dataset.source == "bandit"
    # All of a bandit's transitions end their episodes: no next actions are sampled.
    values = {**group.values, **({"next_action_samples": 0} if bandit else {})}
    episode = 1 if bandit else EPISODE_STEPS
    observation, action = dimensions(group.env)
    gradient = values["steps"] * step_flops(values, observation, action) / speed.flops
    actor = _mlp_flops(observation + action + TIME_FEATURES, values["hidden_sizes"], action)
    critic = _mlp_flops(observation + action, values["hidden_sizes"], 1)
    candidate = values["diffusion_steps"] * actor + values["ensemble_size"] * critic
    act = values["eval_action_samples"] * candidate / speed.flops
    rollout = evaluations(values) * values["eval_episodes"] * episode * (act + 1 / speed.environment_steps)
    return float(runs * (gradient + rollout))


def run_bytes(group: Group) -> float:
    """Bytes of one published run: the kept policies, and the curve."""
    values = group.values
    observation, action = dimensions(group.env)
    actor = _mlp_flops(observation + action + TIME_FEATURES, values["hidden_sizes"], action) / 2
    critic = values["ensemble_size"] * _mlp_flops(observation + action, values["hidden_sizes"], 1) / 2
    policies = 4 * values["kept_policies"] * (actor + critic)
    return float(policies + 40 * evaluations(values) * values["eval_episodes"])
