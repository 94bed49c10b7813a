from __future__ import annotations

from dataclasses import replace

import pytest
from tiny import COMPUTE, Project

from dac.agent import AgentConfig, initial_run_state
from dac.cost import estimate, shapes
from dac.cost.speeds import Calibration
from dac.study import store
from dac.study.identity import Dataset, Run
from dac.study.jobs import Collect, Train, jobs
from dac.study.params import Settings, TrainingSettings
from dac.study.plan import evaluation_steps
from dac.training.trainer import train

SPEED = Calibration("box", "cpu", "2026-01-01", flops=1e6, environment_steps=1000.0, startup=2.0)
PASS = estimate.PASS_SECONDS
SETTINGS = Settings(
    guidance="soft", hidden_sizes=(8, 16), batch_size=10, ensemble_size=3, next_action_samples=4, diffusion_steps=5
)  # fmt: skip
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
    found = estimate.step_flops(replace(SETTINGS, guidance=guidance), 4, 1)
    assert found == target + behaviour_cloning + critics + cost


def test_seconds_of_a_training(project: Project) -> None:
    """Gradient steps, and the evaluations as if no episode ended before the limit of 1000 steps."""
    group = project.group()
    actor, critic = 2 * (37 * 8 + 8 * 8 + 8), 2 * (5 * 8 + 8 * 8 + 8)
    # The target's sampler and critic, both losses forward and backward, soft guidance, and the rest of an update.
    passes = (2 + 1) + 3 + 3 + 3 + estimate.UPDATE_PASSES
    for runs in (1, 3):
        gradient = 40 * (passes * PASS + runs * estimate.step_flops(group.settings, 4, 1) / 1e6)
        acting = (2 + 2) * PASS + runs * 2 * 2 * (2 * actor + 2 * critic) / 1e6
        rollouts = 5 * 1000 * (acting + runs * 2 / 1000) + runs * 2 * estimate.MAKE_SECONDS
        assert estimate.training_seconds(group, runs, SPEED) == pytest.approx(gradient + rollouts)


def test_seconds_of_a_timing(project: Project) -> None:
    """So often so long and half as long, or three steps where these take longer; five come before."""
    project.with_timing().set("experiments.timed.timing", {"repeats": 3, "seconds": 50.0})
    timing = project.plan().timings()[0]
    step = estimate.gradient_seconds(timing.group, 1, SPEED)
    assert estimate.timing_seconds(timing, SPEED) == pytest.approx(5 * step + 3 * (50 + 25))
    timing = project.set("experiments.timed.timing.seconds", 0.001).plan().timings()[0]
    assert estimate.timing_seconds(timing, SPEED) == pytest.approx(5 * step + 3 * (3 * step + 3 * step))


def test_seconds_of_a_bandit_have_no_next_actions_and_episodes_of_one_step(project: Project) -> None:
    task = {"dataset": "bandit:two-moons", "env": "Bandit2D-v0", "reward_scaling": "none"}
    group = project.set("tasks.pendulum", task).group()
    actor, critic = 2 * (35 * 8 + 8 * 8 + 2 * 8), 2 * (3 * 8 + 8 * 8 + 8)
    gradient = 40 * ((9 + estimate.UPDATE_PASSES) * PASS + 16 * (3 * actor + 2 * 3 * 2 * critic) / 1e6)
    acting = 4 * PASS + 2 * 2 * (2 * actor + 2 * critic) / 1e6
    expected = gradient + 5 * (acting + 2 / 1000) + 2 * estimate.MAKE_SECONDS
    assert estimate.training_seconds(group, 1, SPEED) == pytest.approx(expected)


def test_what_was_measured_counts_as_measured(project: Project) -> None:
    group = project.group()
    measured = {
        shapes.gradient_shape(group, 2): {"seconds": 0.5},
        shapes.acting_shape(group, 2, 2, 2): {"seconds": 0.25},
        shapes.environment_shape(group.env): {"step": 0.125, "make": 3.0, "limit": 10.0},
    }
    speed = replace(SPEED, measured=measured)
    rollout = 10 * (0.25 + 2 * 2 * 0.125)
    assert estimate.training_seconds(group, 2, speed) == 40 * 0.5 + 5 * rollout + 2 * 2 * 3.0
    train = Train(group, (0, 1))
    assert estimate.job_seconds(train, project.load(), speed) == 2.0 + estimate.training_seconds(group, 2, speed)
    (two, *_) = project.plan().evaluations()[group]
    other = shapes.acting_shape(group, 2, two.episodes, two.action_samples)
    speed = replace(SPEED, measured={**measured, other: {"seconds": 0.75}})
    # Two kept policies.
    assert estimate.evaluation_seconds(group, 2, (two,), speed) == 2 * 10 * (0.75 + 2 * 2 * 0.125) + 4 * 3.0


def test_seconds_of_a_collection(project: Project) -> None:
    params = project.load()
    env = "InvertedPendulum-v5"
    sac = params.collect[env].sac
    assert sac is not None
    measured = {
        shapes.collection_shape(env, sac): {"step": 0.5, "act": 0.25},
        shapes.environment_shape(env): {"step": 0.125, "make": 1.0, "limit": 10.0},
    }
    speed = replace(SPEED, measured=measured)
    levels = [Dataset("collect", f"{env}/{level}", "{}") for level in ("medium-replay", "expert")]
    replay = Collect((levels[0],))
    assert estimate.collection_seconds(replay.env, replay.levels, params, speed) == 100 * 0.125 + 100 * 0.5
    # A level that waits for a return: to the end of SAC, with its evaluations, and 150 steps of a roll-out.
    expert = Collect(tuple(levels))
    evaluations = 200 / 1000 * 10 * (0.25 + 5 * 0.125)
    expected = 100 * 0.125 + 200 * 0.5 + evaluations + 150 * (0.25 + 0.125)
    assert estimate.collection_seconds(expert.env, expert.levels, params, speed) == pytest.approx(expected)
    assert estimate.collection_seconds(expert.env, expert.levels, params, SPEED) > 200 * PASS


def test_seconds_of_recorded_policies(project: Project) -> None:
    recipe = {"policies": {"files": ["Pendulum-v1-5000"]}, "levels": {"mixed": {"transitions": 4000}}}
    project.set("collect.Pendulum-v1", recipe)
    project.set("tasks.replay", {"dataset": "collect:Pendulum-v1/mixed", "reference_returns": [-1250, -120]})
    plan = project.set("experiments.main.tasks", ["replay"]).plan()
    collect = next(job for job in jobs(plan, plan.runs(), missing=True) if isinstance(job, Collect))
    assert (collect.env, collect.levels) == ("Pendulum-v1", ("mixed",))
    measured = {shapes.environment_shape("Pendulum-v1"): {"step": 0.125, "make": 1.0, "limit": 200.0}}
    seconds = estimate.collection_seconds(collect.env, collect.levels, plan.params, replace(SPEED, measured=measured))
    assert seconds == pytest.approx(4000 * (0.125 + estimate.RECORDED_POLICY_SECONDS))
    # 4000 rows of 3 + 3 observations, an action, a reward and an end, in float32.
    more = estimate.pack_bytes(plan.cells[0].group, 1, plan.params)
    fewer = estimate.pack_bytes(
        plan.cells[0].group, 1, project.set("collect.Pendulum-v1.levels.mixed.transitions", 3000).load()
    )
    assert more - fewer == 1000 * (3 + 3 + 1 + 2) * 4
    assert shapes.job_shapes(collect, plan.params) == [shapes.environment_shape("Pendulum-v1")]


def test_memory_of_a_pack(project: Project) -> None:
    """As the docstring's formula: data once, the rest by run."""
    weights = (37 * 8 + 8 * 8 + 8) + 2 * (5 * 8 + 8 * 8 + 8)
    activations = 16 * (2 * 2 * 2 * 8 + 2 * 3 * 16)
    data = estimate.TRANSITIONS * (2 * 4 + 1 + 2)
    params, group = project.load(), project.group()
    assert estimate.pack_bytes(group, 3, params) == 4 * (3 * (4 * weights + activations) + data)


@pytest.mark.parametrize(("steps", "interval"), [(40, 10), (45, 20), (5, 10), (2_000_000, 10_000)])
def test_the_number_of_evaluations_is_the_trainers(steps: int, interval: int) -> None:
    found = estimate.evaluations(TrainingSettings(steps=steps, eval_interval=interval))
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
    one = Settings(guidance="none", batch_size=1, ensemble_size=1, next_action_samples=1, diffusion_steps=1)
    found = estimate.step_flops(one, 11, 3)
    assert found == pytest.approx(4 * 2 * (weights["actor"] + weights["critic"]), rel=0.02)
