from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dac.datasets import behaviours
from dac.study.catalog import policy_file, recorded_policies
from dac.system.errors import UserError

UNIT = behaviours.UNIT


def a_policy(path: Path, sizes: tuple[int, ...] = (3, 5, 2), seed: int = 0) -> behaviours.RecordedPolicy:
    """Written and read back."""
    random = np.random.default_rng(seed)
    layers = [(random.normal(size=(a, b)), random.normal(size=b)) for a, b in itertools.pairwise(sizes)]
    behaviours.save(path, layers, "Pendulum-v1", "by hand")
    return behaviours.load(path)


def test_a_policy_does_what_its_network_says(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    layers = [(random.normal(size=(3, 64)) / 2, random.normal(size=64)), (random.normal(size=(64, 2)) / 8, np.zeros(2))]
    behaviours.save(tmp_path / "p.safetensors", layers, "Pendulum-v1", "by hand")
    policy = behaviours.load(tmp_path / "p.safetensors")
    assert (policy.env, policy.made, policy.observation_dim, policy.action_dim) == ("Pendulum-v1", "by hand", 3, 2)
    for state in random.normal(size=(20, 3)):
        hidden = np.maximum(state @ layers[0][0] + layers[0][1], 0.0)
        assert policy.act(state) == pytest.approx(np.tanh(hidden @ layers[1][0]), abs=0.03)


def test_the_numbers_of_a_policy_are_whole(tmp_path: Path) -> None:
    """By hand, in units of 1/1024: 0.5 · 2 + 0.25 · -3 + 0.125 = 0.375, and a negative one becomes 0."""
    weight = np.array([[2.0, -1.0], [-3.0, 0.0]])
    behaviours.save(tmp_path / "p.safetensors", [(weight, [0.125, 0.0]), (np.eye(2), [0.0, 0.5])], "E", "")
    policy = behaviours.load(tmp_path / "p.safetensors")
    assert policy.act([0.5, 0.25]) == pytest.approx(behaviours.squash(np.array([0.375, 0.5])), abs=0)
    # Less than half a unit more is the same observation.
    assert (policy.act([0.5 + 0.4 / UNIT, 0.25]) == policy.act([0.5, 0.25])).all()


def test_no_state_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    largest = np.full((64, 64), 31.0)
    behaviours.save(
        path, [(np.full((3, 64), 31.0), np.full(64, 31.0)), (largest, np.zeros(64)), (largest, [1.0] * 64)], "E", ""
    )
    assert (behaviours.load(path).act([1e30, 1e30, 1e30]) == 1.0).all()


def test_squash_is_near_tanh() -> None:
    x = np.linspace(-8, 8, 2001)
    assert np.abs(behaviours.squash(x) - np.tanh(x)).max() < 0.024
    assert (behaviours.squash(np.array([-9.0, -3.0, 0.0, 3.0, 9.0])) == [-1, -1, 0, 1, 1]).all()


def test_equal_policies_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        a_policy(tmp_path / f"{name}.safetensors", seed=seed)
    first, second, other = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "abc")
    assert first == second != other


def test_a_number_that_a_file_does_not_hold(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"p.safetensors: weight 0 reaches 40.0; .* below 32"):
        behaviours.save(tmp_path / "p.safetensors", [(np.full((1, 1), 40.0), [0.0])], "E", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"x": np.zeros(2, np.int16)}, "no tensors <layer>.weight of int16"),
        ({"0.weight": np.zeros((2, 2), np.float32), "0.bias": np.zeros(2, np.int16)}, "no tensors <layer>.weight"),
        ({"0.weight": np.zeros((2, 2), np.int16), "0.bias": np.zeros(3, np.int16)}, "do not follow each other"),
        ({"1.weight": np.zeros((2, 2), np.int16), "1.bias": np.zeros(2, np.int16)}, "0.weight"),
    ],
)
def test_a_file_that_is_no_recorded_policy(tensors: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "p.safetensors", {"policy": '{"env": "E", "made": ""}'})
    with pytest.raises(UserError, match=f"p.safetensors: not readable as a recorded policy .*{said}.*dac behaviours"):
        behaviours.load(tmp_path / "p.safetensors")


def test_a_file_that_is_not_there_or_damaged(tmp_path: Path) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"version https://git-lfs")
    for name in ("damaged", "none"):
        with pytest.raises(UserError, match=f"{name}.safetensors: not readable as a recorded policy"):
            behaviours.load(tmp_path / f"{name}.safetensors")


def test_the_policies_that_come_with_the_program() -> None:
    assert set(recorded_policies()) >= {"Pendulum-v1-5000", "HalfCheetah-v5-12500", "HalfCheetah-v5-17500"}
    for name in recorded_policies():
        policy = behaviours.load(policy_file(name))
        steps = int(name.removeprefix(policy.env + "-"))
        assert policy.made == f"SAC on {policy.env}, {steps} steps, seed 0"
        assert [weight.shape[1] for weight in policy.weights[:-1]] == [64, 64]
    assert sum(policy_file(name).stat().st_size for name in recorded_policies()) < 100_000


def test_an_installed_package_has_them() -> None:
    import tomllib

    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "behaviours/*.safetensors" in settings["package-data"]["dac"]


def test_a_file_of_ones_own_is_found_from_the_projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert policy_file("behaviours/mine.safetensors") == Path("behaviours/mine.safetensors")
    assert policy_file("~/mine.safetensors") == tmp_path / "mine.safetensors"
