"""Trained policies from Python: `dac.load_policy`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import COMPUTE, Project

import dac
from dac import envs
from dac.study import check, store
from dac.study.identity import Run
from dac.study.plan import study_plan
from dac.system.errors import UserError
from dac.training.policies import TrainedPolicy, load_policies
from dac.training.trainer import train

ROOT = Path(__file__).parents[2]
OBSERVATIONS = np.random.default_rng(0).normal(size=(5, 4))


@pytest.fixture
def run(project: Project) -> Run:
    run = Run(project.set("studies.tiny.settings.diffusion_steps", 3).group(), 1)
    train(run.group, [0, 1], COMPUTE, 1)
    return run


@pytest.fixture
def policy(run: Run) -> TrainedPolicy:
    return dac.load_policy(store.run_directory(run))


def test_the_last_policy_of_a_run_or_any_by_its_file(run: Run, policy: TrainedPolicy) -> None:
    assert (policy.task, policy.env, policy.seed, policy.step) == ("pendulum", "InvertedPendulum-v5", 1, 40)
    assert (policy.observation_dim, policy.action_dim) == (4, 1)
    assert policy.settings["diffusion_steps"] == 3
    earlier = dac.load_policy(store.run_directory(run) / "policy-30.safetensors")
    assert earlier.step == 30
    last = dac.load_policy(str(store.run_directory(run) / "policy-40.safetensors"))
    assert (last.act(OBSERVATIONS) == policy.act(OBSERVATIONS)).all()
    assert (earlier.act(OBSERVATIONS) != last.act(OBSERVATIONS)).any()


def test_actions_have_the_documented_shapes_and_range(policy: TrainedPolicy) -> None:
    for observations, shape in ((OBSERVATIONS, (5, 1)), (OBSERVATIONS[0], (1,)), (OBSERVATIONS.tolist(), (5, 1))):
        actions = policy.act(observations)
        assert actions.shape == shape
        assert actions.dtype == np.float32
        assert (np.abs(actions) <= 1).all()


def test_calls_draw_new_noise_and_repeat_after_loading_again(run: Run, policy: TrainedPolicy) -> None:
    again = dac.load_policy(store.run_directory(run))
    first, second = policy.act(OBSERVATIONS, action_samples=1), policy.act(OBSERVATIONS, action_samples=1)
    assert (first != second).any()
    assert (again.act(OBSERVATIONS, action_samples=1) == first).all()
    assert (again.act(OBSERVATIONS, action_samples=1) == second).all()
    assert (again.act(OBSERVATIONS, action_samples=1, seed=1) != policy.act(OBSERVATIONS, action_samples=1)).any()


def test_more_samples_have_higher_values_and_temperature_lower(policy: TrainedPolicy) -> None:
    states = np.repeat(OBSERVATIONS, 60, axis=0)
    means = {}
    for samples, temperature in ((1, 0.0), (20, 0.0), (20, 1000.0)):
        actions = policy.act(states, action_samples=samples, temperature=temperature)
        means[samples, temperature] = float(policy.values(states, actions).mean())
    assert means[20, 0.0] > means[20, 1000.0]
    assert means[20, 0.0] > means[1, 0.0]
    # So hot a draw is one among all candidates alike.
    gain = means[20, 0.0] - means[1, 0.0]
    assert means[20, 1000.0] == pytest.approx(means[1, 0.0], abs=0.3 * gain)


def test_values_are_those_of_the_target_critics(run: Run, policy: TrainedPolicy) -> None:
    pack = load_policies(run.group, [run], 40, torch.device("cpu"))
    prior, z = torch.zeros(1, 5, 1), torch.zeros(1, 2, 5, 1)
    actions, expected = pack.candidates(torch.as_tensor(OBSERVATIONS[None], dtype=torch.float32), 1, prior, z)
    found = policy.values(OBSERVATIONS, actions[0, :, 0])
    assert found == pytest.approx(expected[0, :, 0].numpy(), rel=1e-6)


def test_a_policy_acts_in_its_environment(policy: TrainedPolicy) -> None:
    env = envs.make(policy.env)
    observation, _ = env.reset(seed=0)
    observation, reward, *_ = env.step(policy.act(observation))
    assert observation.shape == (4,) and reward == 1.0


@pytest.mark.parametrize(
    ("observations", "settings", "match"),
    [
        (np.zeros((2, 3)), {}, r"shape \(2, 3\); allowed: \(n, 4\)"),
        (np.zeros((1, 1, 4)), {}, r"shape \(1, 1, 4\)"),
        (np.zeros(4), {"action_samples": 0}, "action_samples: 0"),
        (np.zeros(4), {"temperature": -1.0}, r"temperature: -1\.0"),
    ],
)
def test_wrong_arguments(policy: TrainedPolicy, observations: np.ndarray, settings: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        policy.act(observations, **settings)
    with pytest.raises(ValueError, match="5 observations, but 2 actions"):
        policy.values(OBSERVATIONS, np.zeros((2, 1)))


def test_what_is_not_a_policy_of_the_store(run: Run) -> None:
    directory = store.run_directory(run)
    with pytest.raises(UserError, match="no complete run"):
        dac.load_policy("results")
    with pytest.raises(UserError, match=r"policy-20\.safetensors: not a policy of this run; it has policy-30"):
        dac.load_policy(directory / "policy-20.safetensors")
    path = directory / "policy-40.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(UserError, match=r"not what run\.json records"):
        dac.load_policy(directory)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"diffusion_steps": 10**12}, r"diffusion_steps: found 1000000000000; input should be less than"),
        ({"hidden_sizes": "256"}, "hidden_sizes: found "),
        ({"q_target": "mean", "steps": 0}, "q_target: found .*; steps: found 0"),
    ],
)
def test_settings_that_no_run_can_have(run: Run, settings: dict, match: str) -> None:
    """A number of diffusion steps that is none took memory and time without end."""
    path = store.run_directory(run) / "run.json"
    content = json.loads(path.read_text())
    content["identity"]["settings"] |= settings
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=match):
        dac.load_policy(store.run_directory(run))


def test_the_example_of_the_documentation_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a run of this test; the one that it names is of the quick study."""
    text = (ROOT / "docs/use.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (path,) = re.findall(r'load_policy\("(.*?)"\)', code)
    exec(code.replace(path, str(store.run_directory(run))), {})
    task, step, score = capsys.readouterr().out.split()
    assert (task, step) == ("pendulum", "40") and float(score) >= 1.0
    monkeypatch.chdir(ROOT)
    quick = study_plan(check.load(), "quick")
    assert path in {str(store.run_directory(run)) for run in quick.runs()}


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, dac; assert 'torch' not in sys.modules; dac.load_policy; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'load_polcy'"):
        dac.load_polcy  # type: ignore[attr-defined]  # noqa: B018
