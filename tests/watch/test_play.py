"""Films of a policy; where this machine draws nothing, the tests that need pictures are skipped and say so."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import imageio.v3 as iio
import pytest
from tiny import COMPUTE, Project

from dac.cli import main
from dac.envs import making
from dac.study import store
from dac.study.identity import Run
from dac.system.errors import UserError
from dac.training.trainer import train
from dac.watch import play

ROOT = Path(__file__).parents[2]
DRAW = "from dac.envs import make; env = make('InvertedPendulum-v5', 'rgb_array'); env.reset(); env.render()"


@pytest.fixture
def folder(project: Project) -> Path:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    return store.run_directory(run)


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: which library draws is decided when MuJoCo is imported."""
    kept = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    environment: Mapping[str, str] = {**kept, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment)


@functools.cache
def draws() -> str | None:
    """The renderer that works here; None if none does."""
    return next((name for name in play.RENDERERS if python("-c", DRAW, MUJOCO_GL=name).returncode == 0), None)


@pytest.mark.parametrize("name", ["clip.gif", "films/clip.mp4"])
def test_an_episode_as_a_film(name: str, folder: Path) -> None:
    if draws() is None:
        pytest.skip("neither EGL nor OSMesa draws on this machine")
    made = python("-m", "dac", "play", str(folder), "--out", name, "--steps", "3", MUJOCO_GL=str(draws()))
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(f"{name}: 3 steps of InvertedPendulum-v5, return ")
    frames = iio.imread(name, index=None) if name.endswith("gif") else iio.imread(name, plugin="FFMPEG")
    assert frames.shape[0] >= 2 and frames.shape[-1] == 3
    assert frames.std() > 5  # not an empty picture
    assert [path.name for path in Path(name).parent.glob(".*")] == []


def test_a_run_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `dac show` takes it; a folder and a policy in it are taken as they are."""
    asked: list[Path] = []
    monkeypatch.setattr(play, "play", lambda run, out, **_: str(asked.append(run)))
    policy = min(folder.glob("policy-*.safetensors"))
    for name in (f"pendulum/{folder.parent.name}/0", str(folder), str(policy)):
        assert main(["play", name, "--out", "clip.gif"]) == 0
    assert asked == [folder, folder, policy]


def test_record_video_takes_an_environment(tmp_path: Path) -> None:
    """Any of Gymnasium's wrappers may draw; one that is not asked for a picture knows no such argument."""
    env = making.make("Pendulum-v1", render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
    assert env.spec is not None and env.spec.kwargs["render_mode"] == "rgb_array"
    assert making.make("Pendulum-v1").render_mode is None
    assert making.make("Bandit2D-v0").render_mode is None


def test_another_format(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--out: found 'clip.avi'; allowed are names that end in .mp4 or .gif."):
        play.play(folder, Path("clip.avi"))


def test_without_a_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(play, "find_library", lambda name: None)
    with pytest.raises(UserError, match="No renderer: without a screen MuJoCo draws by EGL or OSMesa"):
        play.choose_renderer()
    monkeypatch.setattr(play, "find_library", lambda name: "lib" if name == "OSMesa" else None)
    play.choose_renderer()
    assert os.environ["MUJOCO_GL"] == "osmesa"
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setenv("DISPLAY", ":0")
    play.choose_renderer()
    assert "MUJOCO_GL" not in os.environ


def test_a_picture_that_cannot_be_drawn_leaves_no_file(folder: Path) -> None:
    made = python("-m", "dac", "play", str(folder), "--out", "clip.gif", MUJOCO_GL="glx")
    assert made.returncode == 1
    assert made.stderr.startswith("dac: The environment cannot be drawn here (")
    assert "MUJOCO_GL, which is 'glx'" in made.stderr
    assert not Path("clip.gif").exists()
