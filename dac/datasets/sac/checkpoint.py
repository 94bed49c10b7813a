"""Resumable state of an SAC training that collects data: everything that comes after one of its steps.

    <work>/<levels still to come>/steps-<n>-<first 16 hex digits of manifest.json's sha256>/

`manifest.json` has the sha256 of the other files, so the folder's name says what all of them must be, and one rename
puts it there whole. What is not as recorded is set aside as `<name>.damaged`, and the state before is used.

A state holds pickles, as Stable-Baselines3 writes them, and whoever reads a pickle runs what it says. It is written and
read here only: neither git nor DVC carries work/, and a state of somebody else's is not to be put there.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dac.datasets.sac.log import without_log
from dac.datasets.sac.recorder import Recorder
from dac.system.errors import UserError
from dac.system.files import file_entry, read_json, sync_folder, write_json
from dac.system.hashing import sha256_of

if TYPE_CHECKING:
    from gymnasium import Env
    from stable_baselines3 import SAC

LOG = logging.getLogger(__name__)

_DIGITS = 16  # of the manifest's sha256, in a state's name
_NAME = re.compile(r"steps-(\d+)-([0-9a-f]{16})")
_MODEL, _BUFFER, _RECORDING, _MANIFEST = "model.zip", "replay-buffer.pkl", "recording.pt", "manifest.json"


@dataclass(frozen=True)
class Moment:
    """What the next steps of a training change before anything is learned from them, so that they can be taken back.

    Not the rows of the replay buffer: those steps are made again, and write the same rows, before any row is drawn.

    Attributes:
        steps: environment steps so far.
        observation: the one that the next action is for, float of shape (1, observation size).
        row: of the replay buffer, where the next transition goes.
        full: whether the replay buffer has been filled once.
        recorder: `Recorder.state`.
        random: states of the random generators, by their names.
    """

    steps: int
    observation: Any
    row: int
    full: bool
    recorder: Mapping[str, Any]
    random: Mapping[str, Any]


class Checkpoint:
    """The state in a folder of `work`: the model, its replay buffer, the recording, and the random generators.

    Of the environment's state there is what leads to it again: its random generator at the start of the episode, and
    the actions since. The folder is named after the levels that are still to come: a training for other levels leaves
    it alone. Replay buffers are large: there are never more than two states of one training, but for one set aside.

    Args:
        levels: the levels wanted, with their settings. Only a state that has all of them ahead is of use.
        recorder: the environment of the training, not reset yet.
        training: what else decides the data, as plain values. Only a state with the same is of use.

    Attributes:
        notes: what `save` was given, from the state that was resumed; empty without one.
    """

    def __init__(self, work: Path, levels: Mapping[str, Any], recorder: Recorder, training: Mapping[str, Any]) -> None:
        self._work = work
        self._levels = levels
        self._recorder = recorder
        self._training = json.loads(json.dumps(training))
        self._own: list[Path] = []  # states of this training, the newest last
        self.notes: dict[str, Any] = {}

    def moment(self, model: SAC) -> Moment:
        """What `save` needs to know of a training between two of its rounds of `train_freq` steps."""
        buffer = model.replay_buffer
        assert buffer is not None
        return Moment(
            model.num_timesteps, model._last_obs, buffer.pos, buffer.full, self._recorder.state(), _random_states(model)
        )

    def save(self, model: SAC, moment: Moment, levels: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Put the state on the disk; of the earlier ones the newest is kept.

        Args:
            moment: after which the model has not learned from anything; the model's steps since are taken back.
            levels: those still to be taken, with their settings.
            notes: plain values to be had again.

        Raises:
            UserError: the disk does not take it; the state before is still there.
        """
        folder = self._work / "-".join(sorted(levels))
        partial = folder / ".partial"
        try:
            for old in self._own[:-1]:  # first, so that no third replay buffer needs room
                _remove(old)
            self._own = self._own[-1:]
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            self._write(partial, model, moment, levels, notes)
            name = f"steps-{model.num_timesteps}-{sha256_of(partial / _MANIFEST)[:_DIGITS]}"
            new = partial.rename(folder / name)
            sync_folder(folder)
        except (OSError, RuntimeError) as error:  # RuntimeError: PyTorch's, where a disk is full
            shutil.rmtree(partial, ignore_errors=True)
            raise UserError(
                f"{folder}: the training's state was not saved: {error}. Make room and run it again: it goes on from "
                "the state before."
            ) from error
        self._own.append(new)
        for stale in folder.glob("steps-*"):
            if stale not in self._own:
                shutil.rmtree(stale, ignore_errors=True)

    def _write(
        self, folder: Path, model: SAC, moment: Moment, levels: Mapping[str, Any], notes: Mapping[str, Any]
    ) -> None:
        """Fill a state's folder, its manifest last; all of it is on the disk then."""
        import torch

        _take_back(model, moment)
        model.save(folder / _MODEL)
        model.save_replay_buffer(folder / _BUFFER)
        state = {"recorder": moment.recorder, "random": moment.random, "notes": dict(notes)}
        with (folder / _RECORDING).open("wb") as stream:
            torch.save(state, stream)
        files = {}
        for name in (_MODEL, _BUFFER, _RECORDING):
            with (folder / name).open("rb") as stream:
                os.fsync(stream.fileno())
            files[name] = file_entry(folder / name)
        manifest = {
            "training": self._training,
            "levels": dict(levels),
            "before": [str(path.relative_to(self._work)) for path in self._own],
            "files": files,
        }
        write_json(folder / _MANIFEST, manifest)

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
        state = torch.load(saved / _RECORDING, weights_only=False)
        # SAC.load resets and seeds on its way, so states are restored after it.
        model = without_log(SAC.load(saved / _MODEL, env=self._recorder, device="cpu", force_reset=False))
        model.load_replay_buffer(saved / _BUFFER)
        self._recorder.restore(state["recorder"])
        assert model.env is not None
        environment: Env[Any, Any] = model.env.envs[0]  # type: ignore[attr-defined]
        observation = environment.reset()[0]
        # A state of an earlier version was saved at the start of an episode only, and says nothing of its actions.
        for action in state["recorder"].get("actions", []):
            observation = environment.step(action)[0]
        _restore_random(model, state["random"])
        if not np.array_equal(observation, np.asarray(model._last_obs)[0]):
            raise UserError(
                f"{saved}: the environment's episode does not come to where it was when this state was saved; packages "
                f"may have changed. Delete {saved.parent}: SAC then starts anew."
            )
        self._own = [path for name in _manifest(saved)["before"] if (path := self._work / name).is_dir()] + [saved]
        self.notes = state["notes"]
        log(f"resumed at SAC step {model.num_timesteps}, after {self.notes['seconds']:.0f} s")
        return model

    def _usable(self, log: Callable[[str], None]) -> Path | None:
        """The saved state that is furthest on, of those that are whole and have all wanted levels ahead.

        Those that are not whole are set aside, with a warning that says what is used instead.
        """
        problems: dict[Path, str] = {}
        saved, others = None, False
        for path in _states(self._work):
            try:
                if not self._fits(_manifest(path)):
                    others = True
                    continue
                _check_files(path)
            except _Damaged as error:
                problems[path] = f"{error}; kept as {_set_aside(path)} until another state is saved there"
                continue
            saved = path
            break
        instead = f"SAC goes on from {saved}" if saved else "SAC starts anew"
        for damaged, problem in problems.items():
            LOG.warning("%s: %s. %s instead", damaged, problem, instead)
        if others and not saved:
            log("every saved state has passed a level that is wanted now, or has it otherwise; training starts anew")
        return saved

    def _fits(self, manifest: Mapping[str, Any]) -> bool:
        ahead = manifest["levels"]
        return manifest["training"] == self._training and all(
            ahead.get(name) == settings for name, settings in self._levels.items()
        )

    def remove(self) -> None:
        """Delete this training's states: all of its levels are taken. Those of other levels stay."""
        for state in self._own:
            _remove(state)
        for folder in {state.parent for state in self._own[-1:]}:
            shutil.rmtree(folder, ignore_errors=True)
        for damaged in self._work.glob("*/*.damaged"):
            _remove(damaged)
        if self._work.is_dir() and not any(self._work.iterdir()):
            self._work.rmdir()


class _Damaged(Exception):  # noqa: N818 - it is dealt with here
    """Why a saved state is not used."""


def _states(work: Path) -> list[Path]:
    """All states in a folder, those furthest on first; last what passes for one, but has no sha256 in its name."""

    def order(path: Path) -> tuple[int, float]:
        match = _NAME.fullmatch(path.name)
        return int(match[1]) if match else -1, path.stat().st_mtime

    found = (path for path in work.glob("*/steps-*") if path.suffix != ".damaged")
    return sorted(found, key=order, reverse=True)


def _manifest(state: Path) -> dict[str, Any]:
    """A state's manifest, compared with the state's name.

    Raises:
        _Damaged: it is missing, or is not what the name says.
    """
    path = state / _MANIFEST
    if not _NAME.fullmatch(state.name):
        raise _Damaged("no state of a training, its name has no sha256")
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise _Damaged(f"{_MANIFEST} is not readable ({error})") from error
    content = read_json(path)
    if content is None or digest[:_DIGITS] != state.name.rpartition("-")[2]:
        raise _Damaged(f"{_MANIFEST} is damaged, its sha256 is not the one in the folder's name")
    return content


def _check_files(state: Path) -> None:
    """Compare a state's files with its manifest.

    Raises:
        _Damaged: one is missing or has other contents.
    """
    for name, entry in _manifest(state)["files"].items():
        try:
            found = file_entry(state / name)
        except OSError as error:
            raise _Damaged(f"{name} is not readable ({error})") from error
        if found != entry:
            raise _Damaged(f"{name} is damaged, its sha256 is not the one in {_MANIFEST}")


def _set_aside(state: Path) -> str:
    """Rename a state so that it is not used; returns its new name."""
    aside = state.with_name(f"{state.name}.damaged")
    shutil.rmtree(aside, ignore_errors=True)
    return state.rename(aside).name


def _remove(state: Path) -> None:
    """Delete a state, and its folder if there is nothing else in it."""
    shutil.rmtree(state, ignore_errors=True)
    if state.parent.is_dir() and not any(state.parent.iterdir()):
        state.parent.rmdir()


def _take_back(model: SAC, moment: Moment) -> None:
    """The steps since a moment, from which the model has not learned."""
    assert model.replay_buffer is not None
    model.num_timesteps, model._last_obs = moment.steps, moment.observation
    model.replay_buffer.pos, model.replay_buffer.full = moment.row, moment.full


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
