"""Pictures of environments; where this machine draws nothing, the tests that need some are skipped and say so."""

from __future__ import annotations

import os

import numpy as np
import pytest
from renderers import python, renderer

from dac.envs import drawing, making
from dac.system.errors import UserError

SMALL = """
import sys
from dac.envs import drawing, make
env = make("HalfCheetah-v5", "rgb_array")
drawing.make_small(env, 60, 40)
env.reset(seed=0)
first = drawing.drawn(env)
env.unwrapped.data.qpos[0] += 100  # far out of a picture that stood still
env.step(env.action_space.sample())
print(first.shape, env.render().shape, env.unwrapped.model.vis.quality.shadowsize, first.std() > 5)
moved = abs(drawing.drawn(env).astype(int) - first).mean(axis=(1, 2))
print(moved[:10].max() < 3)  # the sky stays
"""


@pytest.fixture
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "DISPLAY"):
        monkeypatch.setenv(name, "")  # else what the test has set there would stay
        monkeypatch.delenv(name)


def test_without_a_renderer(nothing_chosen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(drawing, "find_library", lambda name: None)
    with pytest.raises(UserError, match="No renderer: without a screen MuJoCo draws by EGL or OSMesa"):
        drawing.choose_renderer()
    monkeypatch.setattr(drawing, "find_library", lambda name: "lib" if name == "OSMesa" else None)
    drawing.choose_renderer()
    assert os.environ["MUJOCO_GL"] == "osmesa"
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setenv("DISPLAY", ":0")
    drawing.choose_renderer()
    assert "MUJOCO_GL" not in os.environ


def test_a_mac_has_a_renderer_of_its_own(nothing_chosen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(drawing, "find_library", lambda name: None)
    drawing.choose_renderer()
    assert "MUJOCO_GL" not in os.environ


def test_record_video_takes_an_environment() -> None:
    """Any of Gymnasium's wrappers may draw; one that is not asked for a picture knows no such argument."""
    env = making.make("Pendulum-v1", render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
    assert env.spec is not None and env.spec.kwargs["render_mode"] == "rgb_array"
    assert making.make("Pendulum-v1").render_mode is None
    assert making.make("Bandit2D-v0").render_mode is None


def test_small_pictures() -> None:
    made = python("-c", SMALL, MUJOCO_GL=renderer())
    assert made.stdout.splitlines() == ["(40, 60, 3) (40, 60, 3) 1024 True", "True"], made.stderr


def test_a_large_picture_is_reduced_by_means_of_squares() -> None:
    frame = np.arange(7 * 10 * 3, dtype=np.uint8).reshape(7, 10, 3)
    small = drawing.reduced(frame, 4)  # 10 columns: squares of three, and one left over
    assert small.shape == (2, 3, 3)
    assert small[1, 2].tolist() == frame[3:6, 6:9].reshape(9, 3).mean(axis=0).astype(int).tolist()
    assert np.array_equal(drawing.reduced(frame, 10), frame)


def test_an_environment_without_pictures() -> None:
    env = making.make("Bandit2D-v0")
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"Bandit2D-v0: it draws no picture of itself|cannot be drawn here"):
        drawing.drawn(env)
