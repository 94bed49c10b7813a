"""`dac play`: an episode of a trained policy as a film, drawn without a screen."""

from __future__ import annotations

import contextlib
import os
from ctypes.util import find_library
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dac.system.errors import UserError

if TYPE_CHECKING:
    from dac.envs import Environment
    from dac.training.policies import TrainedPolicy

FORMATS = (".mp4", ".gif")
# MuJoCo draws by one of these where there is no screen: the value of MUJOCO_GL, and the library that it needs.
RENDERERS = {"egl": "EGL", "osmesa": "OSMesa"}
FRAMES_PER_SECOND = 25  # of a GIF at most: its delays are hundredths of a second, and viewers slow down shorter ones


def play(run: Path, out: Path, *, seed: int = 0, most: int | None = None) -> str:
    """Record an episode of a run's last policy; returns what it came to, for people.

    Args:
        run: its folder, or a policy in it. out: the film, .mp4 or .gif.
        seed: of the episode's beginning and of the policy's noise. most: steps that are shown; None: the whole episode.

    Raises:
        UserError: another format, no renderer, an environment that cannot be drawn; as `load_policy`.
    """
    if out.suffix not in FORMATS:
        raise UserError(f"--out: found {str(out)!r}; allowed are names that end in {' or '.join(FORMATS)}.")
    choose_renderer()  # before MuJoCo is imported
    from dac import envs
    from dac.training.policies import load_policy

    policy = load_policy(run)
    with contextlib.closing(envs.make(policy.env, render_mode="rgb_array")) as env:
        env.reset(seed=seed)
        _drawn(env)  # before a file is begun
        with _Film(out, float(env.metadata.get("render_fps", FRAMES_PER_SECOND))) as film:
            score, steps = _episode(env, policy, film, seed, most)
    return f"{out}: {steps} steps of {policy.env}, return {score:.1f}; a policy of {policy.task}, step {policy.step:,}"


def _episode(env: Environment, policy: TrainedPolicy, film: _Film, seed: int, most: int | None) -> tuple[float, int]:
    """Act until the episode ends, or for `most` steps; the return and the number of steps."""
    observation, _ = env.reset(seed=seed)
    film.add(_drawn(env))
    score, steps, over = 0.0, 0, False
    while not over and steps != most:
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation, seed=seed))
        film.add(_drawn(env))
        score, steps, over = score + float(reward), steps + 1, terminated or truncated
    return score, steps


def _drawn(env: Environment) -> Any:
    """(height, width, 3) of 8 bits: the environment as it is.

    Raises:
        UserError: it cannot be drawn here.
    """
    try:
        frame: Any = env.render()
    except Exception as error:  # whatever a graphics library says
        raise UserError(
            f"The environment cannot be drawn here ({type(error).__name__}: {error}). If it is one of MuJoCo's, look "
            f"at MUJOCO_GL, which is {os.environ.get('MUJOCO_GL', 'not set')!r}: without a screen it is one of "
            f"{', '.join(RENDERERS)} (Debian/Ubuntu: the packages libegl1 and libosmesa6)."
        ) from error
    if frame is None:
        raise UserError(f"{env.spec.id if env.spec else 'The environment'}: it draws no picture of itself.")
    return frame


def choose_renderer() -> None:
    """Have MuJoCo draw without a screen, by whichever library is here, unless the user has chosen or has a screen.

    Raises:
        UserError: there is neither a screen nor one of the libraries.
    """
    if "MUJOCO_GL" in os.environ or "DISPLAY" in os.environ:
        return
    here = [name for name, library in RENDERERS.items() if find_library(library)]
    if not here:
        raise UserError(
            "No renderer: without a screen MuJoCo draws by EGL or OSMesa, and neither library is here. Install one "
            "(Debian/Ubuntu: `sudo apt install libegl1` or `libosmesa6`) and start again."
        )
    os.environ["MUJOCO_GL"] = here[0]


class _Film:
    """A file that frames are added to; in a GIF every so many, so that it keeps its pace.

    Args:
        speed: frames per second that are added.
    """

    def __init__(self, path: Path, speed: float) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.stem}.tmp{path.suffix}")
        self._every = max(1, round(speed / FRAMES_PER_SECOND)) if path.suffix == ".gif" else 1
        self._speed = speed / self._every
        self._frames = 0

    def __enter__(self) -> _Film:
        import imageio

        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.suffix == ".gif":
            self._writer = imageio.get_writer(self._unfinished, loop=0, duration=1000 / self._speed)
        else:
            self._writer = imageio.get_writer(self._unfinished, fps=self._speed)
        return self

    def add(self, frame: Any) -> None:
        if self._frames % self._every == 0:
            self._writer.append_data(frame)
        self._frames += 1

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._writer.close()
        if error is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink(missing_ok=True)
