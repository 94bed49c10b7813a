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
    """The state in a folder `work`: the model, its replay buffer, the recording, and the random generators.

    It is saved at the start of an episode only, where the environment's state is that of its random generator. Each
    save goes to a folder of its own, named `steps-<n>`; the file `current` says which one counts.

    Args:
        levels: the levels wanted, with their settings. A state that has passed one of them is of no use.
        recorder: the environment of the training, not reset yet.

    Attributes:
        elapsed: seconds of training in the state that was resumed; 0 without one.
    """

    def __init__(self, work: Path, levels: Mapping[str, Any], recorder: Recorder) -> None:
        self._work = work
        self._levels = levels
        self._recorder = recorder
        self.elapsed = 0.0

    @property
    def possible(self) -> bool:
        """Whether the recorder is at the start of an episode that a fresh environment could start as well."""
        return self._recorder.at_start and bool(self._recorder.before_reset)

    def save(self, model: SAC, levels: Mapping[str, Any], seconds: float) -> None:
        """Replace the state on the disk.

        Args:
            levels: those still to be taken, with their settings.
            seconds: of training so far.
        """
        import torch

        new = self._work / f"steps-{model.num_timesteps}"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        model.save(new / "model.zip")
        model.save_replay_buffer(new / "replay-buffer.pkl")
        torch.save(
            {
                "levels": dict(levels),
                "seconds": seconds,
                "recorder": self._recorder.state(),
                "random": _random_states(model),
            },
            new / "recording.pt",
        )
        store.write_text(self._work / "current", new.name)
        for old in self._work.glob("steps-*"):
            if old != new:
                shutil.rmtree(old)

    def resume(self, log: Callable[[str], None]) -> SAC | None:
        """The model of the saved state, with recorder and random generators set to it; None if there is none to use.

        Raises:
            UserError: the environment is not what it was when the state was saved.
        """
        import torch
        from stable_baselines3 import SAC

        if not (self._work / "current").is_file():
            return None
        saved = self._work / (self._work / "current").read_text()
        # The state is this program's own, and it holds numpy arrays and Python's random state.
        state = torch.load(saved / "recording.pt", weights_only=False)
        if any(state["levels"].get(name) != settings for name, settings in self._levels.items()):
            log("the saved state has passed a level that is wanted now; training starts anew")
            return None
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
                f"may have changed. Delete {self._work}: SAC then starts anew."
            )
        self.elapsed = state["seconds"]
        log(f"resumed at SAC step {model.num_timesteps}, after {self.elapsed:.0f} s")
        return model

    def remove(self) -> None:
        """Delete the state: all levels are taken."""
        shutil.rmtree(self._work, ignore_errors=True)


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
