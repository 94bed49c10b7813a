"""Films of a policy; where this machine draws nothing, the tests that need pictures are skipped and say so."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import pytest
from renderers import python, renderer
from tiny import COMPUTE, Project

from dac.cli import main
from dac.study import store
from dac.study.identity import Run
from dac.system.errors import UserError
from dac.training.trainer import train
from dac.watch import play


@pytest.fixture
def folder(project: Project) -> Path:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    return store.run_directory(run)


@pytest.mark.parametrize("name", ["clip.gif", "films/clip.mp4"])
def test_an_episode_as_a_film(name: str, folder: Path) -> None:
    made = python("-m", "dac", "play", str(folder), "--out", name, "--steps", "3", MUJOCO_GL=renderer())
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


def test_another_format(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--out: found 'clip.avi'; allowed are names that end in .mp4 or .gif."):
        play.play(folder, Path("clip.avi"))


def test_a_picture_that_cannot_be_drawn_leaves_no_file(folder: Path) -> None:
    made = python("-m", "dac", "play", str(folder), "--out", "clip.gif", MUJOCO_GL="glx")
    assert made.returncode == 1
    assert made.stderr.startswith("dac: The environment cannot be drawn here (")
    assert "MUJOCO_GL, which is 'glx'" in made.stderr
    assert not Path("clip.gif").exists()
