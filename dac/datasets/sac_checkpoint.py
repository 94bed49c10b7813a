"""Resumable state of an SAC training that collects data: at the start of an episode, everything that comes after."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dac import store
from dac.datasets.recording import Recorder
from dac.errors import UserError

if TYPE_CHECKING:
    from stable_baselines3 import SAC


class Checkpoint:
    """The state in a folder of `work`: the model, its replay buffer, the recording, and the random generators.

    It is saved at the start of an episode only, where the environment's state is that of its random generator. The
    folder is named after the levels that are still to come; each save goes to `steps-<n>` in it, and the file `current`
    says which one counts. So a training for other levels leaves it alone.

    Args:
        levels: the levels wanted, with their settings. Only a state that has all of them ahead is of use.
        recorder: the environment of the training, not reset yet.

    Attributes:
        notes: what `save` was given, from the state that was resumed; empty without one.
    """

    def __init__(self, work: Path, levels: Mapping[str, Any], recorder: Recorder) -> None:
        self._work = work
        self._levels = levels
        self._recorder = recorder
        self._own: Path | None = None
        self.notes: dict[str, Any] = {}

    @property
    def possible(self) -> bool:
        """Whether the recorder is at the start of an episode that a fresh environment could start as well."""
        return self._recorder.at_start and bool(self._recorder.before_reset)

    def save(self, model: SAC, levels: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Replace the state on the disk.

        Args:
            levels: those still to be taken, with their settings.
            notes: plain values to be had again.

        Raises:
            UserError: the disk does not take it; the state before is still there.
        """
        import torch

        folder = self._work / "-".join(sorted(levels))
        new = folder / f"steps-{model.num_timesteps}"
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            model.save(new / "model.zip")
            model.save_replay_buffer(new / "replay-buffer.pkl")
            state = {"recorder": self._recorder.state(), "random": _random_states(model), "notes": dict(notes)}
            torch.save(state, new / "recording.pt")
            store.write_json(new / "levels.json", dict(levels))
            store.write_text(folder / "current", new.name)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            raise UserError(
                f"{new}: the training's state was not saved: {error}. Make room and run it again: it goes on from the "
                "state before."
            ) from error
        for old in [*folder.glob("steps-*"), *([self._own] if self._own not in (None, folder) else [])]:
            if old is not None and old != new:
                shutil.rmtree(old, ignore_errors=True)
        self._own = folder

    def resume(self, log: Callable[[str], None]) -> SAC | None:
        """The model of the saved state, with recorder and random generators set to it; None if there is none to use.

        Raises:
            UserError: the environment is not what it was when the state was saved.
        """
        import torch
        from stable_baselines3 import SAC

        saved = self._usable(log)
        if saved is None:
            return None
        # The state is this program's own, and it holds numpy arrays and Python's random state.
        state = torch.load(saved / "recording.pt", weights_only=False)
        # SAC.load resets and seeds on its way, so states are restored after it.
        model: SAC = SAC.load(saved / "model.zip", env=self._recorder, device="cpu", force_reset=False)
        model.load_replay_buffer(saved / "replay-buffer.pkl")
        self._recorder.restore(state["recorder"])
        assert model.env is not None
        started = model.env.envs[0].reset()[0]  # type: ignore[attr-defined]
        _restore_random(model, state["random"])
        if not np.array_equal(started, np.asarray(model._last_obs)[0]):
            raise UserError(
                f"{saved}: the environment does not start its episode as it did when this state was saved; packages "
                f"may have changed. Delete {saved.parent}: SAC then starts anew."
            )
        self._own, self.notes = saved.parent, state["notes"]
        log(f"resumed at SAC step {model.num_timesteps}, after {self.notes['seconds']:.0f} s")
        return model

    def _usable(self, log: Callable[[str], None]) -> Path | None:
        """The saved state that is furthest on, of those that have all wanted levels ahead."""
        found = [path.parent / path.read_text() for path in sorted(self._work.glob("*/current"))]
        usable = []
        for path in found:
            ahead = store.read_json(path / "levels.json") or {}
            if all(ahead.get(name) == settings for name, settings in self._levels.items()):
                usable.append(path)
        if found and not usable:
            log("every saved state has passed a level that is wanted now, or has it otherwise; training starts anew")
        return max(usable, key=lambda path: int(path.name.removeprefix("steps-")), default=None)

    def remove(self) -> None:
        """Delete this training's state: all of its levels are taken. Those of other levels stay."""
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
        if self._work.is_dir() and not any(self._work.iterdir()):
            self._work.rmdir()


def _random_states(model: SAC) -> dict[str, Any]:
    import torch

    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "actions": model.action_space.np_random.bit_generator.state,
    }


def _restore_random(model: SAC, states: Mapping[str, Any]) -> None:
    import torch

    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    model.action_space.np_random.bit_generator.state = states["actions"]
