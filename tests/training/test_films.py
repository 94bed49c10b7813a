"""The film of a policy on a page; where this machine draws nothing, the test that needs pictures is skipped."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from renderers import renderer
from tiny import COMPUTE, Project

from dac import envs
from dac.study import store
from dac.study.identity import Run
from dac.training import films
from dac.training.policies import load_policy
from dac.training.trainer import train

ABOUT = {"policy": "its file", "version": 1}


@pytest.fixture
def policy(project: Project) -> Path:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    return store.run_directory(run) / "policy-40.safetensors"


def test_a_film(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", renderer())
    made = films.film_of(policy, ABOUT)
    assert isinstance(made, bytes), made
    assert films.film_of(policy, ABOUT) == made
    rewards = list(films.episode(envs.make("InvertedPendulum-v5"), load_policy(policy), films.EPISODE_SEED))
    steps = len(rewards) - 1
    # 25 steps a second, of which every second is shown.
    said = {"return": sum(rewards), "steps": steps, "shown": steps - steps % 2}
    assert films.facts(made) == {**ABOUT, **said}
    with Image.open(io.BytesIO(made)) as film:
        assert (film.size, film.info["loop"], film.info["duration"]) == (films.SIZE, 0, 80)
        assert np.asarray(film.convert("RGB")).std() > 5  # not an empty picture
        assert 2 <= getattr(film, "n_frames", 1) <= said["shown"] // 2 + 1


def test_what_does_not_draw_is_said(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glx")
    assert str(films.film_of(policy, ABOUT)).startswith("The environment cannot be drawn here (")
    monkeypatch.setattr(films, "PATIENCE_SECONDS", 0.0)
    assert films.film_of(policy, ABOUT) == "It was not drawn within 0 seconds."


def test_a_process_that_dies_is_said(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films.Child, "send", lambda child, request: child._process.kill())
    assert films.film_of(policy, ABOUT) == "The process that was to draw it ended unexpectedly."


@pytest.mark.parametrize(("speed", "duration"), [(12.5, 80), (125 / 12, 100), (20.0, 50)])
def test_a_frame_stays_for_the_nearest_hundredth_of_a_second(speed: float, duration: int) -> None:
    """A GIF has no other times. Hopper and Walker2d, 125 steps a second, have 96 ms."""
    frames = [np.full((6, 8, 3), 40 * number, np.uint8) for number in range(3)]
    with Image.open(io.BytesIO(films._gif(frames, speed, "{}"))) as film:
        assert film.info["duration"] == duration


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"text"])
def test_a_file_that_is_no_film(content: bytes) -> None:
    with pytest.raises(ValueError, match="no film"):
        films.facts(content)


def test_a_film_that_says_nothing() -> None:
    written = io.BytesIO()
    Image.new("RGB", (4, 4)).save(written, "GIF")
    with pytest.raises(ValueError, match="no film"):
        films.facts(written.getvalue())
