from __future__ import annotations

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import reliability
import torch
from interrupting import before_gradient_step
from processes import children
from safetensors.torch import load_file
from tiny import COMPUTE, Project, write_rows
from trained import curve_of, forget, largest_difference, metadata_of, policy_of, published, replace_state, state_paths

from dac.agent import Agent, AgentConfig, Batch, Draws, Policy
from dac.agent.config import AgentSettings
from dac.agent.critic import Metrics
from dac.agent.graph import Capture, CapturedUpdate
from dac.agent.inputs import Inputs
from dac.study import store
from dac.study.identity import Group, Run
from dac.study.params import ComputeSettings
from dac.study.plan import evaluation_steps
from dac.system import files
from dac.system.errors import UserError
from dac.system.hashing import sha256_of
from dac.system.signals import Interrupted
from dac.training import curve, trainer
from dac.training.curve import Overlapped
from dac.training.policies import PolicyState, agent_config, load_policies
from dac.training.rollouts import Rollouts
from dac.training.trainer import train

ROOT = Path(__file__).parents[2]


def train_until(group: Group, seeds: list[int], step: int) -> None:
    """Train, and have the process told to end while it evaluates at `step`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rollouts, "evaluate", at_step(step, terminate))
        train(group, seeds, COMPUTE, 1)


def at_step(step: int, act: Callable[[], None]) -> Callable[..., pd.DataFrame]:
    """`Rollouts.evaluate` that does something more when it is called for one step."""
    evaluate = Rollouts.evaluate

    def evaluate_and_act(
        self: Rollouts, policy: Policy, seeds: list[int], purpose: str, *when_and_how: int
    ) -> pd.DataFrame:
        if when_and_how[0] == step:
            act()
        return evaluate(self, policy, seeds, purpose, *when_and_how)

    return evaluate_and_act


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def fail() -> None:
    raise RuntimeError("crash")


# What a training leaves behind


def test_a_run_is_published_with_its_curve_and_its_last_policies(project: Project) -> None:
    group = project.group()
    train(group, [0, 1], COMPUTE, 1)
    for seed in (0, 1):
        run = Run(group, seed)
        content = store.read_run(run)
        assert sorted(content["files"]) == ["curve.csv", "policy-30.safetensors", "policy-40.safetensors"]
        assert (content["status"], content["steps"], content["seed"]) == ("complete", 40, seed)
        assert content["data"]["episodes"] == 20
        assert content["data"]["steps"] == 240
        assert content["dataset_sha256"] == sha256_of(Path("data/pendulum.hdf5"))
        curve = curve_of(run)
        assert list(curve.columns) == ["step", "episode", "return", "length"]
        assert curve["step"].tolist() == [0, 0, 10, 10, 20, 20, 30, 30, 40, 40]
        assert curve["episode"].tolist() == [0, 1] * 5
        # The pendulum gives 1 for every step but the one in which it falls.
        assert (curve["return"] == curve["length"] - 1).all()
        assert not store.work_directory(run).exists()
    assert published(Run(group, 0))["policy-40.safetensors"] != published(Run(group, 1))["policy-40.safetensors"]
    made = files.read_json(store.run_directory(Run(group, 0)) / "provenance.json")
    assert made is not None
    assert (made["device"], made["pack"], made["resumed_from_step"]) == ("cpu", 2, 0)
    assert made["compiled"] == (shutil.which("cc") is not None)
    assert 0 <= made["evaluation_wait_seconds"] <= made["wall_seconds"]
    assert abs(made["wall_seconds"] - 2 * made["device_seconds"]) <= 0.11  # they are rounded to a tenth
    assert "seconds" not in made


def test_the_last_policy_is_the_one_trained_to_the_end(project: Project) -> None:
    """It acts as the curve's last evaluation did."""
    group = project.group()
    train(group, [0, 1], COMPUTE, 1)
    runs = [Run(group, seed) for seed in (0, 1)]
    policy = load_policies(group, runs, 40, torch.device("cpu"))
    rollouts = Rollouts(group.env, 2, 2, torch.device("cpu"))
    rows = rollouts.evaluate(policy, [0, 1], "curve", 40, 2, 0.0)
    rollouts.close()
    for run in runs:
        last = curve_of(run).query("step == 40")["return"].tolist()
        assert rows.loc[rows["seed"] == run.seed, "return"].tolist() == last


def test_the_same_seed_gives_the_same_bytes(project: Project) -> None:
    run = Run(project.group(), 3)
    train(run.group, [3], COMPUTE, 1)
    first = published(run)
    forget()
    train(run.group, [3], COMPUTE, 1)
    assert published(run) == first


def test_complete_runs_are_left_alone(project: Project) -> None:
    group = project.group()
    train(group, [0], COMPUTE, 1)
    before = (store.run_directory(Run(group, 0)) / "run.json").stat().st_mtime_ns
    train(group, [0, 1], COMPUTE, 1)
    assert (store.run_directory(Run(group, 0)) / "run.json").stat().st_mtime_ns == before
    assert store.run_problem(Run(group, 1)) is None
    assert len(store.JOURNAL.read_text().splitlines()) == 2


# Numbers do not depend on packs and interruptions


def test_a_run_alone_and_in_a_pack_of_four_agree(project: Project) -> None:
    """A batched product may round differently; over 100 steps such differences stay below 1e-4."""
    project.set("studies.tiny.settings.steps", 100).set("studies.tiny.settings.actor_lr", 1e-3)
    group = project.group()
    train(group, [0, 1, 2, 3], COMPUTE, 1)
    packed = {seed: policy_of(Run(group, seed), 100) for seed in (0, 3)}
    forget()
    for seed in (0, 3):
        train(group, [seed], COMPUTE, 1)
        assert largest_difference(packed[seed], policy_of(Run(group, seed), 100)) < 1e-4
    # The bound means something: another seed is further away, and so is the same run 10 steps earlier.
    assert largest_difference(packed[0], packed[3]) > 0.1
    assert largest_difference(packed[0], policy_of(Run(group, 0), 90)) > 1e-4


@pytest.mark.parametrize("step", [0, 10, 30, 40])
def test_an_interrupted_run_equals_an_uninterrupted_one(step: int, project: Project) -> None:
    group = project.group()
    runs = [Run(group, seed) for seed in (0, 1)]
    train(group, [0, 1], COMPUTE, 1)
    expected = [published(run) for run in runs]
    forget()
    with pytest.raises(Interrupted, match=f"interrupted at step {step}, which is saved; run again") as caught:
        train_until(group, [0, 1], step)
    assert caught.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert [store.run_problem(run) for run in runs] == ["missing", "missing"]
    train(group, [0, 1], COMPUTE, 1)
    assert [published(run) for run in runs] == expected
    made = files.read_json(store.run_directory(runs[0]) / "provenance.json")
    assert made is not None
    assert made["resumed_from_step"] == step


def test_runs_resumed_from_different_steps_merge(project: Project) -> None:
    """One stopped at step 20, one at step 0 and one that never began re-form into a pack."""
    group = project.group()
    train(group, [0, 1, 2], COMPUTE, 1)
    runs = [Run(group, seed) for seed in (0, 1, 2)]
    expected = [(curve_of(run), policy_of(run, 40)) for run in runs]
    forget()
    for seed, step in ((0, 20), (1, 0)):
        with pytest.raises(Interrupted):
            train_until(group, [seed], step)
    train(group, [0, 1, 2], COMPUTE, 1)
    for run, (rows, policy) in zip(runs, expected, strict=True):
        assert curve_of(run)[["step", "episode"]].equals(rows[["step", "episode"]])
        assert largest_difference(policy_of(run, 40), policy) < 1e-4
    made = [files.read_json(store.run_directory(run) / "provenance.json") or {} for run in runs]
    assert [item["resumed_from_step"] for item in made] == [20, 0, 0]


def test_a_state_made_from_other_data_is_not_used(project: Project) -> None:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    with pytest.raises(Interrupted):
        train_until(run.group, [0], 20)
    state = state_paths(run)[0]
    replace_state(run, load_file(state), {**metadata_of(state), "dataset_sha256": "0" * 64})
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == expected


def test_a_crash_costs_the_steps_since_the_last_checkpoint(project: Project) -> None:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    always = COMPUTE.model_copy(update={"checkpoint_seconds": 0})
    with before_gradient_step(30, fail), pytest.raises(RuntimeError, match="crash"):
        train(run.group, [0], always, 1)
    assert [metadata_of(path)["step"] for path in state_paths(run)] == ["30", "29"]
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == expected


@pytest.mark.soak
@pytest.mark.parametrize("workers", [0, 1])
def test_an_environment_that_raises_costs_nothing(
    workers: int, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """In this process or in the evaluator's: the run is saved where it is, and the evaluation made again."""
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    said = (
        rf"{run.group.task}/.*: the evaluation of step 30 failed; training is saved at step \d+\. "
        r"InvertedPendulum-v5 raised RuntimeError: crash \(the log has the traceback\)\. Start again"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, "CurveTask", Crashing)
        patch.setattr("dac.training.trainer.CurveTask", Crashing)
        with pytest.raises(UserError, match=said):
            train(run.group, [0], overlapped(workers), 1)
    assert "Traceback" in caplog.text
    assert 30 <= int(metadata_of(state_paths(run)[0])["step"]) <= 40
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == expected
    reliability.record("fault", "an environment that raises", "the training saves itself and ends with a message")


class Crashing(curve.CurveTask):
    """A task whose environment raises at step 30."""

    def evaluate(self, rollouts: Rollouts, step: int, states: Sequence[PolicyState]) -> pd.DataFrame:
        if step == 30:
            fail()
        return super().evaluate(rollouts, step, states)


# Real processes


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What seed 0 of `LONG` publishes when nothing interrupts it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("uninterrupted"))
        write_rows(Path("data/pendulum.hdf5"))
        run = Run(long_group(Project()), 0)
        train(run.group, [0], COMPUTE, 1)
        return published(run)


def long_group(project: Project) -> Group:
    """A group that trains for a second or more."""
    return project.set("studies.tiny.settings.steps", 400).set("studies.tiny.settings.eval_interval", 50).group()


def end_process_at(
    group: Group, step: int, number: signal.Signals, send: Callable[[int, int], None] = os.kill
) -> tuple[int, str]:
    """`dac train` of seed 0, sent a signal once it has evaluated at a step: exit status and error output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dac", "train", group.task, group.name, "--seeds", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if f"step {step}: return" in line:
            send(process.pid, number)
            break
    _, errors = process.communicate(timeout=900)
    return process.returncode, errors


def test_sigterm_saves_and_exits_143(uninterrupted: dict[str, bytes], project: Project) -> None:
    run = Run(long_group(project), 0)
    status, errors = end_process_at(run.group, 50, signal.SIGTERM)
    assert status == 143
    assert errors.startswith(f"dac: {run.group.task}/{run.group.name}: interrupted at step ")
    assert store.run_problem(run) == "missing"
    assert 50 <= int(metadata_of(state_paths(run)[0])["step"]) < 400
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == uninterrupted


def test_a_killed_process_goes_on_from_its_checkpoint(uninterrupted: dict[str, bytes], project: Project) -> None:
    run = Run(long_group(project), 0)
    with pytest.raises(Interrupted):
        train_until(run.group, [0], 50)
    status, _ = end_process_at(run.group, 100, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert store.run_problem(run) == "missing"
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == uninterrupted


# Evaluations beside the training


def overlapped(workers: int) -> ComputeSettings:
    return COMPUTE.model_copy(update={"evaluation_workers": workers})


@contextmanager
def after_submitting(step: int, act: Callable[[Overlapped], None]) -> Iterator[None]:
    """Something more happens while the evaluation at a step is pending."""
    submit = Overlapped.submit

    def submit_and_act(self: Overlapped, when: int, states: list[dict[str, torch.Tensor]]) -> None:
        if when != step:
            submit(self, when, states)
            return
        os.kill(self.pid, signal.SIGSTOP)  # for good: whoever waits for it waits forever
        submit(self, when, states)
        act(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Overlapped, "submit", submit_and_act)
        # Its answer counts as not there before it is asked for, however fast it comes.
        patch.setattr(Overlapped, "ready", lambda _: False)
        yield


@pytest.mark.parametrize("workers", [1, 2])
def test_numbers_do_not_depend_on_how_evaluations_are_made(
    workers: int, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [Run(project.group(), seed) for seed in (0, 1)]
    before = children(os.getpid())  # of other tests' fixtures
    train(runs[0].group, [0, 1], overlapped(0), 1)
    expected = [published(run) for run in runs]
    forget()
    caplog.set_level("INFO")
    train(runs[0].group, [0, 1], overlapped(workers), 1)
    assert [published(run) for run in runs] == expected
    assert re.search(r"evaluation: waited \d+\.\d s of \d+\.\d s", caplog.text)
    assert children(os.getpid()) == before


@pytest.mark.soak
@pytest.mark.parametrize(("step", "stopped_at"), [(0, 0), (20, 27), (30, 39)])
def test_a_signal_does_not_wait_for_a_pending_evaluation(step: int, stopped_at: int, project: Project) -> None:
    """The evaluation is made again after the resumption, also of policies that training has gone beyond."""
    runs = [Run(project.group(), seed) for seed in (0, 1)]
    train(runs[0].group, [0, 1], COMPUTE, 1)
    expected = [published(run) for run in runs]
    forget()
    saved_at = stopped_at + 1
    stopped = pytest.raises(Interrupted, match=f"interrupted at step {saved_at}, which is saved; run again")
    with after_submitting(step, lambda _: None), before_gradient_step(stopped_at, terminate), stopped:
        train(runs[0].group, [0, 1], overlapped(1), 1)
    metadata = metadata_of(state_paths(runs[0])[0])
    assert (metadata["step"], metadata["pending"]) == (str(saved_at), str(step))
    assert step not in [row[0] for row in json.loads(metadata["curve"])]
    train(runs[0].group, [0, 1], overlapped(1), 1)
    assert [published(run) for run in runs] == expected
    reliability.record(
        "fault",
        "SIGTERM while an evaluation is pending that would never end",
        "the state is saved at once; after the restart the evaluation is made again",
    )


def test_ctrl_c_at_the_whole_group_saves(uninterrupted: dict[str, bytes], project: Project) -> None:
    run = Run(long_group(project.set("compute.evaluation_workers", 2)), 0)
    status, errors = end_process_at(run.group, 50, signal.SIGINT, os.killpg)
    assert status == 130
    assert errors.startswith(f"dac: {run.group.task}/{run.group.name}: interrupted at step ")
    train(run.group, [0], overlapped(0), 1)
    assert published(run) == uninterrupted


@pytest.mark.soak
def test_a_dead_evaluator_costs_nothing(project: Project) -> None:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    died = pytest.raises(UserError, match=r"The evaluator process \(pid \d+\) ended unexpectedly, by signal 9")

    with after_submitting(30, lambda evaluations: os.kill(evaluations.pid, signal.SIGKILL)), died:
        train(run.group, [0], overlapped(1), 1)
    metadata = metadata_of(state_paths(run)[0])
    assert (metadata["step"], metadata["pending"]) == ("40", "30")
    train(run.group, [0], overlapped(1), 1)
    assert published(run) == expected
    reliability.record(
        "kill", "SIGKILL of the process that evaluates", "the training saves itself and ends with a message"
    )


# What goes wrong


@pytest.mark.soak
def test_a_diverged_run_is_published_as_such_and_leaves_its_neighbours_alone(project: Project) -> None:
    group = project.group()
    runs = [Run(group, seed) for seed in (0, 1, 2)]
    train(group, [0, 1, 2], COMPUTE, 1)
    healthy = [published(run) for run in runs]
    forget()
    with pytest.raises(Interrupted):
        train_until(group, [0, 1, 2], 20)
    path = state_paths(runs[1])[0]
    state = load_file(path)
    # Values so large that the loss, a square, overflows.
    broken = {name: value * 1e30 if name.startswith("critic/") else value for name, value in state.items()}
    replace_state(runs[1], broken, metadata_of(path))
    train(group, [0, 1, 2], COMPUTE, 1)
    assert [store.read_run(run)["status"] for run in runs] == ["complete", "diverged", "complete"]
    assert published(runs[0]) == healthy[0]
    assert published(runs[2]) == healthy[2]
    assert curve_of(runs[1])["step"].tolist() == curve_of(runs[0])["step"].tolist()
    frozen = policy_of(runs[1], 40)
    assert all(bool(torch.isfinite(value).all()) for value in frozen.values())
    assert largest_difference(frozen, policy_of(runs[1], 30)) == 0.0
    assert all(torch.equal(frozen[name], state[name]) for name in frozen if name.startswith("actor/"))
    reliability.record(
        "fault", "a run whose loss overflows", "it is published as diverged; its neighbours' bytes are as ever"
    )


def test_a_pack_of_diverged_runs_alone_makes_no_further_steps(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = project.group()
    with pytest.raises(Interrupted):
        train_until(group, [0], 10)
    path = state_paths(Run(group, 0))[0]
    state = load_file(path)
    replace_state(Run(group, 0), {**state, "active": torch.tensor(False)}, metadata_of(path))
    monkeypatch.setattr("dac.agent.Agent.update", lambda *_: pytest.fail("a gradient step"))
    train(group, [0], COMPUTE, 1)
    assert store.read_run(Run(group, 0))["status"] == "diverged"
    assert curve_of(Run(group, 0))["step"].drop_duplicates().tolist() == [0, 10, 20, 30, 40]
    assert all(torch.equal(value, state[name]) for name, value in policy_of(Run(group, 0), 40).items())


def test_a_damaged_policy_is_not_loaded(project: Project) -> None:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    path = store.run_directory(run) / "policy-40.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert store.run_problem(run) is None  # the size is right
    with pytest.raises(UserError, match=r"policy-40.safetensors: its contents are not what run.json records"):
        load_policies(run.group, [run], 40, torch.device("cpu"))


# Devices that do not compute what they are told to


def captured_by(capture: Capture) -> Callable[..., CapturedUpdate]:
    """What stands in for `updater` on a GPU: every step from the fourth on is a replay of what was captured."""
    return lambda agent, inputs, captured: CapturedUpdate(agent, inputs, capture)


def capture_nothing(step: Callable[[], Metrics]) -> tuple[Callable[[], None], Metrics]:
    """What CUDA does where the current device is not the one that the step is on."""
    names = ("critic_loss", "bc_loss", "eta", "q_mean")
    return lambda: None, {name: torch.zeros(2) for name in names}


def capture_for_a_while(step: Callable[[], Metrics]) -> tuple[Callable[[], None], Metrics]:
    """Ten replays do what they should."""
    values, left = capture_nothing(step)[1], iter(range(10))
    return lambda: step() and None if next(left, None) is not None else None, values


@pytest.mark.parametrize(
    ("capture", "message"),
    [
        (capture_nothing, "recorded, which left the device at step 3, and replayed, which left it at step 3, not 4"),
        (capture_for_a_while, "the device has counted 13 gradient steps where it was told to make 20"),
    ],
)
def test_steps_that_a_device_did_not_make_are_never_saved_or_published(
    capture: Capture, message: str, project: Project
) -> None:
    runs = [Run(project.group(), seed) for seed in (0, 1)]
    train(runs[0].group, [0, 1], COMPUTE, 1)
    expected = [published(run) for run in runs]
    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dac.training.steps.updater", captured_by(capture))
        refused = pytest.raises(
            UserError, match=rf"{message}\. Nothing of it was saved .* compute.cuda_graphs: false in"
        )
        patch.setattr(Rollouts, "evaluate", at_step(20, terminate))  # asks for a state there
        with refused:
            train(runs[0].group, [0, 1], COMPUTE, 1)
    assert [state_paths(run) for run in runs] == [[], []]
    assert [store.run_problem(run) for run in runs] == ["missing", "missing"]
    train(runs[0].group, [0, 1], COMPUTE, 1)
    assert [published(run) for run in runs] == expected


def test_at_the_end_the_devices_count_is_compared_as_well(project: Project) -> None:
    run = Run(project.group(), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dac.training.steps.updater", captured_by(capture_for_a_while))
        with pytest.raises(UserError, match="the device has counted 13 gradient steps where it was told to make 40"):
            train(run.group, [0], COMPUTE, 1)
    assert (state_paths(run), store.run_problem(run)) == ([], "missing")


def test_a_run_that_no_step_changed_is_never_published(project: Project) -> None:
    """Whatever the device counted. The other runs of the pack are published."""
    runs = [Run(project.group(), seed) for seed in (0, 1)]

    def count_only(agent: Agent, inputs: Inputs, captured: bool) -> Callable[..., Metrics]:
        def update(*_: object) -> Metrics:
            agent.step += 1
            return capture_nothing(dict)[1]

        return update

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dac.training.steps.updater", count_only)
        with pytest.raises(Interrupted):
            train_until(runs[0].group, [1], 10)
        with pytest.raises(UserError, match=r"actor after 40 gradient steps is what it was .*It was not published"):
            train(runs[0].group, [1], COMPUTE, 1)
    train(runs[0].group, [0], COMPUTE, 1)
    shutil.rmtree(store.run_directory(runs[0]))
    message = rf"^{runs[1]}: actor .* is what .*; critic .* Delete {store.work_directory(runs[1])}\nand start again"
    with pytest.raises(UserError, match=message):
        train(runs[0].group, [0, 1], COMPUTE, 1)
    assert [store.run_problem(run) for run in runs] == [None, "missing"]
    shutil.rmtree(store.work_directory(runs[1]))
    train(runs[0].group, [0, 1], COMPUTE, 1)
    assert store.run_problem(runs[1]) is None


# Seconds


class Clock:
    """A clock that stands still but for what training does: a second per gradient step, 100 per evaluation."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    update, evaluate = Agent.update, Rollouts.evaluate

    def timed_update(self: Agent, batch: Batch, draws: Draws) -> Metrics:
        found.now += 1
        return update(self, batch, draws)

    def timed_evaluate(self: Rollouts, *more: Any) -> pd.DataFrame:
        found.now += 100
        return evaluate(self, *more)

    monkeypatch.setattr(Agent, "update", timed_update)
    monkeypatch.setattr(Rollouts, "evaluate", timed_evaluate)
    monkeypatch.setattr(time, "monotonic", found.monotonic)
    return found


def seconds_of(run: Run) -> tuple[float, float, float]:
    made = files.read_json(store.run_directory(run) / "provenance.json") or {}
    return made["device_seconds"], made["wall_seconds"], made["evaluation_wait_seconds"]


def test_a_pack_counts_once(project: Project, clock: Clock) -> None:
    """40 steps and 5 evaluations of two runs together."""
    runs = [Run(project.group(), seed) for seed in (0, 1)]
    train(runs[0].group, [0, 1], COMPUTE, 1)
    assert [seconds_of(run) for run in runs] == [(270.0, 540.0, 500.0)] * 2
    assert clock.now == 540.0


def test_seconds_add_up_over_resumptions_and_packs(project: Project, clock: Clock) -> None:
    """Seed 0 alone, stopped in the evaluation of step 20; seeds 1, 2 are brought level, and all three go on with it."""
    runs = [Run(project.group(), seed) for seed in (0, 1, 2)]
    with pytest.raises(Interrupted):
        train_until(runs[0].group, [0], 20)
    assert clock.now == 320.0
    train(runs[0].group, [0, 1, 2], COMPUTE, 1)
    assert clock.now == 320.0 + 320.0 + 320.0
    alone, level = seconds_of(runs[0]), seconds_of(runs[1])
    assert alone == (pytest.approx(320 + 320 / 3, abs=0.1), 640.0, 600.0)
    assert level == seconds_of(runs[2]) == (pytest.approx(320 / 2 + 320 / 3, abs=0.1), 640.0, 600.0)
    assert sum(seconds_of(run)[0] for run in runs) == pytest.approx(clock.now, abs=0.2)


def test_seconds_of_packs_that_the_memory_made_smaller(
    project: Project, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four runs, of which two fit: the stretch that failed counts for all four, then two packs of two."""
    runs = [Run(project.group(), seed) for seed in range(4)]
    evaluate = Rollouts.evaluate

    def too_large(self: Rollouts, *more: Any) -> pd.DataFrame:
        if self.runs > 2:
            clock.now += 8
            raise torch.OutOfMemoryError
        return evaluate(self, *more)

    monkeypatch.setattr(Rollouts, "evaluate", too_large)
    train(runs[0].group, [0, 1, 2, 3], COMPUTE, 1)
    assert [seconds_of(run)[:2] for run in runs] == [(272.0, 548.0)] * 4
    assert clock.now == 8 + 2 * 540.0


# Settings


def test_evaluation_steps() -> None:
    assert evaluation_steps(40, 10) == [0, 10, 20, 30, 40]
    assert evaluation_steps(45, 20) == [0, 20, 40, 45]
    assert evaluation_steps(5, 10) == [0, 5]
    paper = evaluation_steps(2_000_000, 10_000)
    assert len(paper) == 201
    assert paper[-5:] == [1_960_000, 1_970_000, 1_980_000, 1_990_000, 2_000_000]


OTHER_THAN_DEFAULT = {
    "guidance": "hard", "q_target": "convex", "lcb_coefficient": 0.25, "ensemble_size": 3, "next_action_samples": 4,
    "max_backup": True, "diffusion_steps": 6, "beta_schedule": "cosine", "sampler": "ddim", "sampler_steps": 3,
    "clip_denoised": False,
    "hidden_sizes": [7, 9], "discount": 0.9, "actor_lr": 1e-2, "critic_lr": 2e-2, "gradient_clip": 3.0,
    "target_rate": 0.5, "actor_ema_start": 8, "actor_ema_interval": 3, "eta": 2.0, "eta_lr": 0.5, "eta_min": 0.25,
    "eta_max": 4.0, "bc_threshold": 0.125, "precision": "bf16",
}  # fmt: skip


def test_every_setting_reaches_the_agent(project: Project) -> None:
    assert OTHER_THAN_DEFAULT.keys() == {*(field.name for field in fields(AgentSettings)), "precision"}
    project.settings["studies"]["tiny"]["settings"] |= OTHER_THAN_DEFAULT
    config = agent_config(project.group().settings)
    expected = {**OTHER_THAN_DEFAULT, "hidden_sizes": (7, 9)}
    assert {name: getattr(config, name) for name in expected} == expected
    defaults = AgentConfig()
    assert all(getattr(config, name) != getattr(defaults, name) for name in expected)
    assert {field.name for field in fields(AgentConfig)} - expected.keys() == {
        "lr_decay_steps", "temperature",
    }  # fmt: skip


def test_the_learning_rate_decays_over_all_steps_or_not_at_all(project: Project) -> None:
    assert agent_config(project.group().settings).lr_decay_steps == 40
    project.set("studies.tiny.settings.lr_decay", "constant")
    assert agent_config(project.group().settings).lr_decay_steps is None


@pytest.mark.parametrize(("precision", "warns"), [("bf16", True), ("fp32", False)])
def test_a_device_that_bf16_is_slower_on_is_named(
    precision: str, warns: bool, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    group = project.set("studies.tiny.settings.precision", precision).group()
    train(group, [0], COMPUTE, 1)
    assert ("bf16 is for GPUs since Ampere; on this device its steps take longer" in caplog.text) == warns
    assert "where next_action_samples is 1" not in caplog.text
    assert store.run_problem(Run(group, 0)) is None


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_gpu_with_bf16_is_not_warned_of(
    multiplies: bool, project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trainer, "multiplies_bf16", lambda _: multiplies)
    group = project.set("studies.tiny.settings.precision", "bf16").group()
    trainer._say_where_bf16_gains_nothing(group, torch.device("cuda", 0))
    assert ("bf16 is for GPUs since Ampere" in caplog.text) is not multiplies


def test_bf16_with_one_action_a_state_is_named(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    settings = project.settings["studies"]["tiny"]["settings"]
    settings |= {"precision": "bf16", "next_action_samples": 1}
    train(project.group(), [0], COMPUTE, 1)
    assert "bf16 computes what tf32 does where next_action_samples is 1" in caplog.text


# Memory


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: operation failed due to a previous error during capture"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=["allocator", "library", "capture"])
def test_a_pack_that_does_not_fit_is_trained_in_parts(
    error: Exception, project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory runs out in mid-training with more than two runs: parts of two and one, at the numbers of such packs."""
    group = project.group()
    train(group, [0, 1], COMPUTE, 1)
    expected = {
        path.name: curve_of(Run(group, seed)) for seed in (0, 1) for path in [store.run_directory(Run(group, seed))]
    }
    forget()
    update = Agent.update
    failed: list[weakref.ref[Agent]] = []

    def refuse(agent: Agent, *arguments: Any) -> Any:
        if len(agent.eta) > 2 and agent.step >= 13:
            failed.append(weakref.ref(agent))
            raise type(error)(str(error))  # another each time: it holds on to what it came from
        return update(agent, *arguments)

    def collect() -> None:
        collected()
        left.extend(agent for reference in failed if (agent := reference()) is not None)

    collected, left = gc.collect, list[Agent]()
    monkeypatch.setattr(gc, "collect", collect)
    monkeypatch.setattr(Agent, "update", refuse)
    caplog.set_level("INFO")
    train(group, [0, 1, 2, 3, 4], COMPUTE, 1)
    assert f"5 runs do not fit the device's memory; 2 at a time ({error})" in caplog.text
    assert (len(failed), left) == (1, []), "the failed pack is gone before the device's memory is given back"
    assert all(store.run_problem(Run(group, seed)) is None for seed in range(5))
    for seed in (0, 1):
        pd.testing.assert_frame_equal(curve_of(Run(group, seed)), expected[f"seed-{seed}"], rtol=1e-3)


def test_a_run_that_does_not_fit_is_an_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(agent: Agent, *arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Agent, "update", refuse)
    said = r"one run alone does not fit the memory of cpu \(CUDA out of memory\)\. Lower batch_size"
    with pytest.raises(UserError, match=said):
        train(project.group(), [0, 1], COMPUTE, 1)


def test_another_error_is_no_want_of_memory(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(agent: Agent, *arguments: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Agent, "update", fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        train(project.group(), [0, 1], COMPUTE, 1)
