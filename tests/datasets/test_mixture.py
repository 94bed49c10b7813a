from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupting import terminate_before

from dac import envs
from dac.datasets import behaviours, folder, mixture
from dac.datasets.sac.recorder import Recorder
from dac.rows.raw import content_hash, episode_returns, episode_slices
from dac.study.catalog import policy_file
from dac.system.errors import UserError
from dac.system.signals import Interrupted

NAMES = ["Pendulum-v1-5000"]
RECIPE: dict[str, Any] = {
    "seed": 3,
    "policies": {"files": NAMES, "noise": [0.25, 0.75], "mixture": "replace"},
    "levels": {"mixed": {"at_step": None, "at_return": None, "transitions": 500}},
}


def collect(directory: Path, env_id: str = "Pendulum-v1", **changes: Any) -> list[str]:
    """Collect RECIPE, with other policies, mixture, seed or transitions, into `directory`; returns the lines logged."""
    recipe = {**RECIPE, "seed": changes.get("seed", 3)}
    recipe["policies"] = {name: changes.get(name, value) for name, value in RECIPE["policies"].items()}
    recipe["levels"] = {"mixed": {**RECIPE["levels"]["mixed"], "transitions": changes.get("transitions", 500)}}
    lines: list[str] = []
    policies = [behaviours.load(policy_file(name)) for name in recipe["policies"]["files"]]
    mixture.collect(env_id, recipe, policies, {"mixed": directory}, lines.append)
    return lines


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("mixture") / "mixed"
    collect(directory)
    return directory


def test_the_rows_and_their_description(collected: Path) -> None:
    raw, content = folder.load(collected), folder.describe(collected)
    assert [rows.stop - rows.start for rows in episode_slices(raw)] == [200, 200, 100]
    assert (content["env_id"], content["level"]) == ("Pendulum-v1", "mixed")
    assert content["recipe"] == {**RECIPE, "levels": RECIPE["levels"]}
    assert content["policies"] == ["SAC on Pendulum-v1, 5000 steps, seed 0"]
    assert content["sha256"] == content_hash(raw)
    metadata = json.loads((collected / "data/metadata.json").read_text())
    assert metadata["algorithm_name"] == "recorded policies with noise"
    assert json.loads(metadata["env_spec"])["id"] == "Pendulum-v1"


def test_progress_is_logged(tmp_path: Path) -> None:
    (line,) = collect(tmp_path / "mixed")
    assert line.startswith("Pendulum-v1: mixed, 3 episodes, mean return -")


# The sha256 of the rows, found on an AMD EPYC with AVX-512, and the same without that and with a C library without FMA.
RECORDED = "aca007ab84f17183a65a028b79b6448e707bd1af5fbeb3618f6bba8202d4e123"


@pytest.mark.parametrize(
    "processor",
    [
        {},
        {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": "X86_V3,X86_V4", "OPENBLAS_CORETYPE": "Nehalem"},
        {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX"},
    ],
)
def test_the_bytes_do_not_depend_on_the_processors_rounding(processor: dict[str, str], tmp_path: Path) -> None:
    """HalfCheetah without the rounding of its state differs between the first and the last of these."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from test_mixture import collect\n"
        "collect(Path('mixed'), 'HalfCheetah-v5', files=['HalfCheetah-v5-17500'], mixture='blend', transitions=1500)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **processor}
    command = [sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parent)]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    assert folder.describe(tmp_path / "mixed")["sha256"] == RECORDED


def test_a_seed_gives_its_data(collected: Path, tmp_path: Path) -> None:
    found = folder.describe(collected)["sha256"]
    collect(tmp_path / "again")
    assert folder.describe(tmp_path / "again")["sha256"] == found
    collect(tmp_path / "other", seed=4)
    assert folder.describe(tmp_path / "other")["sha256"] != found


def test_more_transitions_begin_with_the_fewer(collected: Path, tmp_path: Path) -> None:
    """Episodes do not depend on how many there are."""
    collect(tmp_path / "more", transitions=900)
    assert (folder.load(tmp_path / "more").actions[:500] == folder.load(collected).actions).all()


def test_without_noise_it_is_the_policy(tmp_path: Path) -> None:
    collect(tmp_path / "mixed", noise=[0.0, 0.0], transitions=200)
    raw = folder.load(tmp_path / "mixed")
    policy = behaviours.load(policy_file(NAMES[0]))
    chosen = np.array([policy.act(state) for state in raw.observations])
    assert np.abs(raw.actions - chosen).max() <= 0.5 / behaviours.UNIT
    assert episode_returns(raw)[0] > -400


def test_noise_alone_is_uniform(tmp_path: Path) -> None:
    collect(tmp_path / "mixed", noise=[1.0, 1.0], transitions=2000)
    actions = folder.load(tmp_path / "mixed").actions
    assert (actions.min(), actions.max()) == pytest.approx((-1.0, 1.0), abs=0.01)
    assert (actions.mean(), actions.std()) == pytest.approx((0.0, 3**-0.5), abs=0.04)


def test_the_share_of_noise_is_drawn_for_each_episode(tmp_path: Path) -> None:
    """Its distribution over 20 episodes: between the two numbers of the recipe, and near to neither all the time."""
    collect(tmp_path / "mixed", transitions=4000)
    raw = folder.load(tmp_path / "mixed")
    policy = behaviours.load(policy_file(NAMES[0]))
    chosen = np.array([policy.act(state) for state in raw.observations])
    noise = (np.abs(raw.actions - chosen) > 0.5 / behaviours.UNIT).any(axis=1)
    shares = np.array([noise[rows].mean() for rows in episode_slices(raw)])
    assert shares.min() > 0.25 - 0.12
    assert shares.max() < 0.75 + 0.12
    assert shares.max() - shares.min() > 0.3


def test_a_blend_is_the_policys_action_and_noise_in_the_episodes_shares(tmp_path: Path) -> None:
    collect(tmp_path / "mixed", noise=[0.25, 0.25], mixture="blend", transitions=400)
    raw = folder.load(tmp_path / "mixed")
    policy = behaviours.load(policy_file(NAMES[0]))
    chosen = np.array([policy.act(state) for state in raw.observations])
    noise = (raw.actions - 0.75 * chosen) / 0.25
    assert np.abs(noise).max() <= 1.0 + 2 / behaviours.UNIT
    assert (noise.mean(), noise.std()) == pytest.approx((0.0, 3**-0.5), abs=0.08)


def test_every_policy_has_its_episodes(tmp_path: Path) -> None:
    names = ["HalfCheetah-v5-12500", "HalfCheetah-v5-17500"]
    collect(tmp_path / "mixed", "HalfCheetah-v5", files=names, noise=[0.0, 0.0], transitions=8000)
    assert (episode_returns(folder.load(tmp_path / "mixed")) > 1200).tolist().count(True) in range(2, 7)


def test_a_policy_of_another_environment(tmp_path: Path) -> None:
    said = (
        r"params.yaml: collect.HalfCheetah-v5.policies.files: Pendulum-v1-5000 was recorded in Pendulum-v1 and takes 3 "
        r"observations to 1 actions; HalfCheetah-v5 has 17 and 6. .*dac behaviours"
    )
    with pytest.raises(UserError, match=said):
        collect(tmp_path / "mixed", "HalfCheetah-v5")
    assert list(tmp_path.iterdir()) == []


def test_a_signal_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten million steps, at the 50th."""
    terminate_before(Recorder, "step", lambda recorder, _: recorder.steps == 49, monkeypatch)
    with pytest.raises(Interrupted, match="Pendulum-v1: stopped by a signal while mixed was collected"):
        collect(tmp_path / "mixed", transitions=10_000_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "Hopper-v5"])
def test_states_observations_and_rewards_are_rounded(env_id: str) -> None:
    env = mixture.Rounded(envs.make(env_id))
    observation, _ = env.reset(seed=0)
    rewards = []
    for _ in range(5):
        observation, reward, *_ = env.step(np.full(env.action_space.shape or (1,), 0.3, np.float32))
        rewards.append(float(reward))
    simulator: Any = env.unwrapped
    state = simulator.state if env_id == "Pendulum-v1" else np.concatenate([simulator.data.qpos, simulator.data.qvel])
    for values in (state, observation.astype(np.float64), np.array(rewards)):
        assert (np.rint(values * mixture.GRID) == values * mixture.GRID).all()
    env.close()


def test_rounding_changes_no_simulation_to_speak_of() -> None:
    plain, rounded = envs.make("Hopper-v5"), mixture.Rounded(envs.make("Hopper-v5"))
    (first, _), (second, _) = plain.reset(seed=0), rounded.reset(seed=0)
    for _ in range(20):
        first, second = (env.step(np.array([0.5, -0.2, 0.1], np.float32))[0] for env in (plain, rounded))
    assert first == pytest.approx(second, abs=2e-3)


def test_an_environment_without_such_a_state_is_recorded_as_it_is() -> None:
    env = mixture.Rounded(envs.make("Bandit2D-v0"))
    assert env.reset(seed=0)[0].tolist() == [0.0]
    assert env.step(np.zeros(2, np.float32))[2]
    assert env.spec is not None and env.spec.id == "Bandit2D-v0"
