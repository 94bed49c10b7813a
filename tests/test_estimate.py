from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import COMPUTE, Project

from dac import envs, estimate, store
from dac.agent import AgentConfig, initial_run_state
from dac.estimate import Calibration
from dac.plan import Run
from dac.training import evaluation_steps, train

SPEED = Calibration("box", "cpu", "2026-01-01", flops=1e6, environment_steps=1000.0)
VALUES: dict[str, Any] = {
    "guidance": "soft", "hidden_sizes": [8, 16], "batch_size": 10, "ensemble_size": 3, "next_action_samples": 4,
    "diffusion_steps": 5,
}  # fmt: skip
# Multiplications and additions of one forward pass: observations of 4, actions of 1, 32 features of the diffusion time.
ACTOR = 2 * (37 * 8 + 8 * 16 + 16 * 1)
CRITIC = 2 * (5 * 8 + 8 * 16 + 16 * 1)


@pytest.mark.parametrize(
    ("guidance", "cost"),
    [
        ("none", 0),
        ("soft", 3 * 10 * 3 * CRITIC),
        ("hard", 3 * 10 * 3 * CRITIC),
        ("denoised", 10 * (3 * 5 * ACTOR + 3 * 3 * CRITIC)),
    ],
)
def test_operations_of_a_gradient_step(guidance: str, cost: int) -> None:
    target = 10 * 4 * (5 * ACTOR + 3 * CRITIC)
    behaviour_cloning = 3 * 10 * ACTOR
    critics = 3 * 10 * 3 * CRITIC
    found = estimate.step_flops({**VALUES, "guidance": guidance}, 4, 1)
    assert found == target + behaviour_cloning + critics + cost


def test_seconds_of_a_training(project: Project) -> None:
    """Gradient steps, and the evaluations as if no episode ended before the limit of 1000 steps."""
    values = project.group().values
    actor, critic = 2 * (37 * 8 + 8 * 8 + 8), 2 * (5 * 8 + 8 * 8 + 8)
    gradient = 40 * estimate.step_flops(values, 4, 1) / 1e6
    acting = 2 * (2 * actor + 2 * critic) / 1e6
    one = gradient + 5 * 2 * 1000 * (acting + 1 / 1000)
    assert estimate.training_seconds(project.group(), 1, SPEED) == pytest.approx(one)
    assert estimate.training_seconds(project.group(), 3, SPEED) == pytest.approx(3 * one)


def test_seconds_of_a_bandit_have_no_next_actions_and_episodes_of_one_step(project: Project) -> None:
    task = {"dataset": "bandit:two-moons", "env": "Bandit2D-v0", "reward_scaling": "none"}
    group = project.set("tasks.pendulum", task).group()
    actor, critic = 2 * (35 * 8 + 8 * 8 + 2 * 8), 2 * (3 * 8 + 8 * 8 + 8)
    gradient = 40 * 16 * (3 * actor + 2 * 3 * 2 * critic) / 1e6
    acting = 2 * (2 * actor + 2 * critic) / 1e6
    assert estimate.training_seconds(group, 1, SPEED) == pytest.approx(gradient + 5 * 2 * (acting + 1 / 1000))


@pytest.mark.parametrize(("steps", "interval"), [(40, 10), (45, 20), (5, 10), (2_000_000, 10_000)])
def test_the_number_of_evaluations_is_the_trainers(steps: int, interval: int) -> None:
    found = estimate.evaluations({"steps": steps, "eval_interval": interval})
    assert found == len(evaluation_steps(steps, interval))


def test_the_size_of_a_run(project: Project) -> None:
    project.settings["studies"]["tiny"]["settings"] |= {"hidden_sizes": [64, 64], "steps": 2, "eval_interval": 1}
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    files = store.read_run(run)["files"]
    assert estimate.run_bytes(run.group) == pytest.approx(sum(file["size"] for file in files.values()), rel=0.15)


def test_parameters_are_counted_as_the_agent_has_them() -> None:
    """Two operations per weight; biases and the small network of the diffusion time are not counted."""
    state = initial_run_state(AgentConfig(ensemble_size=1), 0, 11, 3)
    weights = {name: sum(value.numel() for key, value in state.items() if key.startswith(f"{name}/"))
               for name in ("actor", "critic")}  # fmt: skip
    values = {**VALUES, "hidden_sizes": [256, 256, 256], "batch_size": 1, "ensemble_size": 1, "guidance": "none"}
    found = estimate.step_flops({**values, "next_action_samples": 1, "diffusion_steps": 1}, 11, 3)
    assert found == pytest.approx(4 * 2 * (weights["actor"] + weights["critic"]), rel=0.02)


@pytest.mark.parametrize(
    "env",
    [
        "HalfCheetah-v5",
        "Hopper-v5",
        "Walker2d-v4",
        "InvertedPendulum-v5",
        "AntMaze_UMaze-v4",
        "FrankaKitchen-v1",
        "D4RL/AntMaze_Large-v2",
        "D4RL/AdroitHandPen-v1",
        "D4RL/Kitchen_MicrowaveKettleLightSlider-v0",
    ],
)
def test_sizes_of_environments(env: str) -> None:
    made = envs.make(env)
    assert made.observation_space.shape is not None
    assert made.action_space.shape is not None
    assert estimate.dimensions(env) == (made.observation_space.shape[0], made.action_space.shape[0])
    made.close()


def test_an_environment_that_is_not_in_the_table_counts_as_a_locomotion_task() -> None:
    assert estimate.dimensions("Own-v0") == (17, 6)
    assert estimate.dimensions("Ant-v5") == (105, 8)
    assert estimate.dimensions("AntMaze_Large_Diverse_GR-v5") == (29, 8)


def record(machine: str, device: str, date: str) -> None:
    folder = Path("benchmarks/results")
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "device": device, "date": date, "flops": 1e9, "environment_steps": 10.0, "more": 1}
    (folder / f"calibration-{machine}.json").write_text(json.dumps(content))


def test_the_newest_calibration_of_the_device_counts(project: Project) -> None:
    assert estimate.calibration().machine == "not measured"
    record("old", "cpu", "2025-12-31")
    record("new", "cpu", "2026-01-02")
    assert estimate.calibration() == Calibration("new", "cpu", "2026-01-02", 1e9, 10.0)
    assert estimate.calibration("cuda").machine == "new"
    record("gpu", "cuda", "2025-01-01")
    assert estimate.calibration("cuda").machine == "gpu"
    assert estimate.calibration().machine == "new"
