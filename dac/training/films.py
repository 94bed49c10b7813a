"""Episodes of a trained policy to be looked at, and the small film of one that a page shows."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dac.system.children import Child, end_with_parent, serve
from dac.system.errors import UserError

if TYPE_CHECKING:
    from dac.envs import Environment
    from dac.envs.drawing import Frame
    from dac.training.policies import TrainedPolicy

LOG = logging.getLogger(__name__)

SIZE = (240, 180)
FRAMES = 60  # at most
FRAMES_PER_SECOND = 10  # about; a film keeps its environment's pace, to a hundredth of a second in a frame
EPISODE_SEED = 0
PATIENCE_SECONDS = 600.0  # a film takes some five; a graphics library may hang
_COLOURS = 64  # more are not to be told apart in pictures of a simulator, and take half as much again


def episode(env: Environment, policy: TrainedPolicy, seed: int) -> Iterator[float]:
    """Have a policy act as in the evaluations during its training, from the beginning of an episode to its end.

    Args:
        seed: of the episode's beginning and of the policy's noise.

    Yields:
        0.0 with the environment at the beginning, then each step's reward with the environment after that step.
    """
    observation, _ = env.reset(seed=seed)
    temperature, over = float(policy.settings.get("eval_temperature", 0.0)), False
    yield 0.0
    while not over:
        action = policy.act(observation, temperature=temperature, seed=seed)
        observation, reward, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
        yield float(reward)


def film_of(policy: Path, about: Mapping[str, Any]) -> bytes | str:
    """A policy's film, drawn in a process of its own, which a graphics library may end or keep.

    Args:
        policy: its file in the store.
        about: what the film is to say of itself, beside what `facts` lists of its episode.

    Returns: a GIF of the episode's beginning; or why there is none, in a sentence.
    """
    child = Child("drawing", _serve)
    try:
        child.send((policy, about))
        if not child.ready(PATIENCE_SECONDS):
            return f"It was not drawn within {PATIENCE_SECONDS:.0f} seconds."
        answer: bytes | str = child.receive()
        return answer
    except UserError as error:
        LOG.warning(str(error))
        return "The process that was to draw it ended unexpectedly."
    except RuntimeError as error:
        LOG.warning(str(error))
        return str(error).splitlines()[-1]  # of a traceback
    finally:
        child.close()


def facts(film: bytes) -> dict[str, Any]:
    """What a film says of itself: `about`, and of its episode `return`, `steps` and of these `shown`, from the first.

    Raises:
        ValueError: it is no such film.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(film)) as opened:
            said = json.loads(opened.info["comment"])
    except (OSError, KeyError) as error:
        raise ValueError(f"no film that says what it is of ({error})") from error
    if not isinstance(said, dict):
        raise ValueError("a film that says nothing of itself")
    return said


def _serve(connection: Connection) -> None:
    end_with_parent()
    # Graphics libraries warn of what they try first, Gymnasium of what it could not make: the answer has the reason.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    serve(connection, lambda request: _answer(*request))


def _answer(policy: Path, about: Mapping[str, Any]) -> bytes | str:
    from dac.envs import drawing

    try:
        drawing.choose_renderer()
        return _film(policy, about)
    except UserError as error:
        return " ".join(str(error).split())


def _film(path: Path, about: Mapping[str, Any]) -> bytes:
    import torch

    from dac import envs
    from dac.envs import drawing
    from dac.training.policies import load_policy

    torch.set_num_threads(1)  # sums may depend on it
    policy = load_policy(path)
    with contextlib.closing(envs.make(policy.env, render_mode="rgb_array")) as env:
        drawing.make_small(env, *SIZE)
        speed = float(env.metadata.get("render_fps", FRAMES_PER_SECOND))
        every = max(1, round(speed / FRAMES_PER_SECOND))
        frames: list[Frame] = []
        rewards: list[float] = []
        for step, reward in enumerate(episode(env, policy, EPISODE_SEED)):
            rewards.append(reward)
            if step % every == 0 and len(frames) < FRAMES:
                frames.append(drawing.reduced(drawing.drawn(env), SIZE[0]))
    of_episode = {"return": sum(rewards), "steps": len(rewards) - 1, "shown": (len(frames) - 1) * every}
    return _gif(frames, speed / every, json.dumps({**about, **of_episode}))


def _gif(frames: list[Frame], speed: float, comment: str) -> bytes:
    """An animation that begins again at its end, of one palette for all of its pictures.

    Args:
        frames: (height, width, 3) each. speed: frames per second.
    """
    from PIL import Image

    palette = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 8)])).quantize(_COLOURS)
    pictures = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    written = io.BytesIO()
    pictures[0].save(
        written,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=10 * round(100 / speed),
        loop=0,
        comment=comment,
    )
    return written.getvalue()
