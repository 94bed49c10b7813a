"""Saved states of a run in training: compared with their sha256 before they are used, two generations of them.

    work/<fp>/seed-<k>/state-<step>-<first 16 hex digits of the file's sha256>.safetensors
    work/<fp>/seed-<k>/policy-<step>.safetensors     kept for publication; the states after it record its sha256

A state's name says what its contents must be, so one rename puts it there whole and nothing beside it can disagree.
What is not as recorded is set aside as `<name>.damaged`, and the run goes on from the state before, or its beginning.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import safetensors
import safetensors.torch
from torch import Tensor

from dac.study import store
from dac.study.identity import Run
from dac.study.states import STATE_NAME
from dac.system import files
from dac.system.errors import UserError
from dac.system.hashing import sha256_of
from dac.training.policies import PolicyState, policy_name, save_policy

LOG = logging.getLogger(__name__)

CURVE_COLUMNS = ["step", "episode", "return", "length"]
_DIGITS = 16  # of a state's sha256, in its name
_PENDING = "pending/"  # before the names of a policy whose evaluation was not at its end


@dataclass
class RunState:
    """What a run needs to go on: the agent's state after `step` gradient steps, and its learning curve so far.

    Attributes:
        policies: the sha256 of its kept policies so far, by their step.
        device_seconds: its share of the time that packs which it was in have trained: of every stretch, the seconds
            divided by the runs that trained together. Added over runs, that is the devices' time, each pack once.
        wall_seconds: the seconds of these stretches, undivided. waited_seconds: those of them in which training waited
            for evaluations.
        pending: the step of an evaluation that was not at its end, and the policy that it is of; None: there is none.
            It is of an earlier step than the state: one of the same step begins again by itself.

    Seconds are counted up to each saved state; those between the last one and a kill are lost.
    """

    run: Run
    step: int
    agent: dict[str, Tensor]
    curve: pd.DataFrame
    policies: dict[int, str] = field(default_factory=dict)
    device_seconds: float = 0.0
    wall_seconds: float = 0.0
    waited_seconds: float = 0.0
    pending: tuple[int, PolicyState] | None = None

    def count(self, seconds: float, waited: float, runs: int) -> None:
        """Add some seconds in which this run trained in a pack of `runs`, and those of them that it waited."""
        self.device_seconds += seconds / runs
        self.wall_seconds += seconds
        self.waited_seconds += waited


def begin(run: Run, agent: dict[str, Tensor]) -> RunState:
    """A run before its first step, with the agent's initial state."""
    return RunState(run, 0, agent, pd.DataFrame(columns=CURVE_COLUMNS))


class _Unusable(Exception):  # noqa: N818 - it is dealt with here
    """Why a saved state is not used."""


def save(state: RunState, dataset_sha256: str) -> None:
    """Put a run's state on the disk; of the earlier ones the newest is kept.

    Raises:
        UserError: the disk does not take it; the state before is still there.
    """
    # In hand a run may have evaluations beyond its state, of a stretch that the device's memory ended.
    curve = state.curve[state.curve["step"] <= state.step]
    policies = {step: digest for step, digest in state.policies.items() if step <= state.step}
    pending = state.pending if state.pending and state.pending[0] < state.step else None
    metadata = {
        "fingerprint": state.run.group.fingerprint,
        "seed": str(state.run.seed),
        "step": str(state.step),
        "dataset_sha256": dataset_sha256,
        "curve": json.dumps(curve.values.tolist()),
        "policies": json.dumps(policies),
        "seconds": json.dumps([state.device_seconds, state.wall_seconds, state.waited_seconds]),
        **({"pending": str(pending[0])} if pending else {}),
    }
    policy = {_PENDING + name: value for name, value in pending[1].items()} if pending else {}
    content = safetensors.torch.save({**state.agent, **policy}, metadata)
    digest = hashlib.sha256(content).hexdigest()
    folder = store.work_directory(state.run)
    with _saving(state.run, f"its state at step {state.step}"):
        path = folder / f"state-{state.step}-{digest[:_DIGITS]}.safetensors"
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(content)
        # Two states of one step are no two generations: what spoils a policy of that step spoils both.
        before = [other for other in _states(folder) if _step(other) < state.step]
        for old in [other for other in _states(folder) if other not in (path, *before[:1])]:
            old.unlink()


def keep_policy(state: RunState, step: int, policy: dict[str, Tensor]) -> None:
    """Write a policy for publication and note its sha256 in the run's state.

    Raises:
        UserError: the disk does not take it; the state before is still there.
    """
    with _saving(state.run, f"its policy of step {step}"):
        state.policies[step] = save_policy(policy, store.work_directory(state.run) / policy_name(step))


def write_curve(state: RunState, path: Path) -> str:
    """Write a run's learning curve as it is published; returns the sha256 of what was to be written.

    Raises:
        UserError: the disk does not take it; the state before is still there.
    """
    curve = state.curve.astype({"step": int, "episode": int, "return": float, "length": int})
    text = str(curve.sort_values(["step", "episode"], kind="stable").to_csv(index=False, float_format="%.6f"))
    with _saving(state.run, "its learning curve"):
        files.write_text(path, text)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _saving(run: Run, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{store.work_directory(run)}: {what} was not saved: {error}. Make room there, or correct the permissions, "
            f"and start again: {run} goes on from the state before."
        ) from error


def newest(run: Run, dataset_sha256: str, kept: Collection[int]) -> RunState | None:
    """The newest state of a run that is whole, with its kept policies; None if there is none.

    States and policies that are not as recorded are set aside, with a warning that says what is used instead. A state
    without its policies is of no use: the one before makes them again.

    Args:
        dataset_sha256: of the data to train on; a state that was made from others is removed.
        kept: the steps whose policies are published.
    """
    folder = store.work_directory(run)
    for left in folder.glob(".*.tmp"):  # of a process that was killed
        left.unlink()
    problems = {
        path: f"not a state with a sha256 in its name (an earlier version's?); kept as {_set_aside(path)}"
        for path in _strangers(folder)
    }
    found = None
    for path in _states(folder):
        try:
            state, data = _read(path, run)
        except _Unusable as error:
            problems[path] = f"{error}; kept as {_set_aside(path)}"
            continue
        lacking = policy_problems(state, kept)
        if data == dataset_sha256 and not lacking:
            found = state
            break
        if data == dataset_sha256:
            for policy, problem in lacking.items():
                aside = f"; kept as {_set_aside(policy)}" if policy.exists() else ""
                problems.setdefault(policy, problem + aside)
        else:
            LOG.info("%s: its state was made from other data; it starts anew", run)
        path.unlink()
    instead = f"{run} goes on from step {found.step}" if found else f"{run} starts anew"
    for damaged, problem in problems.items():
        LOG.warning("%s: %s. %s instead", damaged, problem, instead)
    if found and not problems:
        LOG.info(instead)
    return found


def policy_problems(state: RunState, kept: Collection[int]) -> dict[Path, str]:
    """What is wrong with the policies that a run must have kept by its step; they lie in its folder of work."""
    problems = {}
    for step in sorted(step for step in kept if step <= state.step):
        path = store.work_directory(state.run) / policy_name(step)
        if not path.is_file() or step not in state.policies:
            problems[path] = "the policy is missing"
        elif sha256_of(path) != state.policies[step]:
            problems[path] = "damaged, its sha256 is not the one that the run's state records"
    return problems


def remove(run: Run, names: Collection[str]) -> None:
    """Delete what a published run leaves in its folder of work: states, files of these names, what was set aside."""
    folder = store.work_directory(run)
    # States first: what is left of an interrupted removal must not pass for a run that only lacks publishing.
    for path in [*_states(folder), *(folder / name for name in names), *folder.glob("*.damaged")]:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of the user's is in them, or another seed's state
        folder.rmdir()
        folder.parent.rmdir()


def _states(folder: Path) -> list[Path]:
    """The states in a folder, the newest first."""
    found = (path for path in folder.glob("state-*.safetensors") if STATE_NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: (_step(path), path.lstat().st_mtime_ns), reverse=True)


def _strangers(folder: Path) -> list[Path]:
    """Files that pass for states but whose names hold no sha256."""
    return [path for path in folder.glob("state*.safetensors") if not STATE_NAME.fullmatch(path.name)]


def _step(path: Path) -> int:
    return int(path.name.split("-")[1])


def _set_aside(path: Path) -> str:
    """Rename a file so that it is not used; returns its new name."""
    return path.replace(path.with_name(f"{path.name}.damaged")).name


def _read(path: Path, run: Run) -> tuple[RunState, str]:
    """A state and the sha256 of the data that it was made from, out of bytes that were compared with its name.

    Raises:
        _Unusable: they differ, or it is another run's.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _Unusable(f"not readable ({error})") from error
    if hashlib.sha256(content).hexdigest()[:_DIGITS] != path.stem.rpartition("-")[2]:
        raise _Unusable("damaged, its sha256 is not the one in its name")
    try:
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        of = metadata["fingerprint"], int(metadata["seed"]), int(metadata["step"])
        device_seconds, wall_seconds, waited_seconds = map(float, json.loads(metadata["seconds"]))
        tensors = safetensors.torch.load(content)
        agent = {name: value for name, value in tensors.items() if not name.startswith(_PENDING)}
        policy = {name.removeprefix(_PENDING): tensors[name] for name in tensors.keys() - agent.keys()}
        state = RunState(
            run,
            of[2],
            agent,
            pd.DataFrame(json.loads(metadata["curve"]), columns=CURVE_COLUMNS),
            {int(step): str(digest) for step, digest in json.loads(metadata["policies"]).items()},
            device_seconds,
            wall_seconds,
            waited_seconds,
            (int(metadata["pending"]), policy) if "pending" in metadata else None,
        )
        data = str(metadata["dataset_sha256"])
    except (KeyError, TypeError, ValueError, AttributeError, safetensors.SafetensorError) as error:
        raise _Unusable(f"not a state of this program ({type(error).__name__}: {error})") from error
    if of != (run.group.fingerprint, run.seed, _step(path)):
        raise _Unusable(f"the state of seed {of[1]} of {of[0]} at step {of[2]}")
    return state, data
