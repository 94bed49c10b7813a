"""`dac play`: an episode of a trained policy as a film, drawn without a screen."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from dac.system.errors import UserError

if TYPE_CHECKING:
    from dac.envs import Environment
    from dac.envs.drawing import Frame
    from dac.training.policies import TrainedPolicy

FORMATS = (".mp4", ".gif")
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
    from dac import envs
    from dac.envs import drawing
    from dac.training.policies import load_policy

    drawing.choose_renderer()
    policy = load_policy(run)
    with contextlib.closing(envs.make(policy.env, render_mode="rgb_array")) as env:
        env.reset(seed=seed)
        drawing.drawn(env)  # before a file is begun
        with _Film(out, float(env.metadata.get("render_fps", FRAMES_PER_SECOND))) as film:
            score, steps = _record(env, policy, film, seed, most)
    return f"{out}: {steps} steps of {policy.env}, return {score:.1f}; a policy of {policy.task}, step {policy.step:,}"


def _record(env: Environment, policy: TrainedPolicy, film: _Film, seed: int, most: int | None) -> tuple[float, int]:
    """Film an episode to its end, or `most` steps of it; the return and the number of steps."""
    from dac.envs.drawing import drawn
    from dac.training.films import episode

    score, step = 0.0, 0
    for step, reward in enumerate(episode(env, policy, seed)):
        if step % film.every == 0:
            film.add(drawn(env))
        score += reward
        if step == most:
            break
    return score, step


class _Film:
    """A file that frames are added to.

    Args:
        speed: frames per second of the environment.

    Attributes:
        every: which of these frames are to be added; not each one of a GIF that is to keep the environment's pace.
    """

    def __init__(self, path: Path, speed: float) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.stem}.tmp{path.suffix}")
        self.every = max(1, round(speed / FRAMES_PER_SECOND)) if path.suffix == ".gif" else 1
        self._speed = speed / self.every

    def __enter__(self) -> _Film:
        import imageio

        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.suffix == ".gif":
            self._writer = imageio.get_writer(self._unfinished, loop=0, duration=1000 / self._speed)
        else:
            self._writer = imageio.get_writer(self._unfinished, fps=self._speed)
        return self

    def add(self, frame: Frame) -> None:
        self._writer.append_data(frame)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._writer.close()
        if error is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink(missing_ok=True)
