from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from processes import children
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import COMPUTE, Project, write_rows

from dac import devices, store
from dac.agent import Agent, AgentConfig, Policy
from dac.errors import UserError
from dac.evaluator import Overlapped
from dac.hashing import sha256_of
from dac.params import AgentSettings, ComputeSettings
from dac.plan import Group, Run
from dac.policies import agent_config, load_policies, policy_name
from dac.rollouts import Rollouts
from dac.signals import Interrupted
from dac.training import evaluation_steps, train

ROOT = Path(__file__).parents[1]


def published(run: Run) -> dict[str, bytes]:
    """The bytes of a complete run's files: the curve and the kept policies."""
    names = store.read_run(run)["files"]
    return {name: (store.run_directory(run) / name).read_bytes() for name in names}


def curve_of(run: Run) -> pd.DataFrame:
    return pd.read_csv(store.run_directory(run) / "curve.csv")


def state_path(run: Run) -> Path:
    return store.work_directory(run) / "state.safetensors"


def forget() -> None:
    """Empty the store."""
    for name in ("results", "work"):
        shutil.rmtree(name, ignore_errors=True)


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


def policy_of(run: Run, step: int) -> dict[str, torch.Tensor]:
    return load_file(store.run_directory(run) / policy_name(step))


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


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
        assert not state_path(run).exists()
    assert published(Run(group, 0))["policy-40.safetensors"] != published(Run(group, 1))["policy-40.safetensors"]
    made = store.read_json(store.run_directory(Run(group, 0)) / "provenance.json")
    assert made is not None
    assert (made["device"], made["pack"], made["resumed_from_step"]) == ("cpu", 2, 0)
    assert 0 <= made["evaluation_wait_seconds"] <= made["seconds"]


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


@pytest.mark.parametrize("step", [0, 10, 30])
def test_an_interrupted_run_equals_an_uninterrupted_one(step: int, project: Project) -> None:
    group = project.group()
    runs = [Run(group, seed) for seed in (0, 1)]
    train(group, [0, 1], COMPUTE, 1)
    expected = [published(run) for run in runs]
    forget()
    with pytest.raises(Interrupted, match=f"stopped by a signal at step {step}; state saved") as caught:
        train_until(group, [0, 1], step)
    assert caught.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert [store.run_problem(run) for run in runs] == ["missing", "missing"]
    train(group, [0, 1], COMPUTE, 1)
    assert [published(run) for run in runs] == expected
    made = store.read_json(store.run_directory(runs[0]) / "provenance.json")
    assert made is not None
    assert made["resumed_from_step"] == step


def test_a_signal_after_the_last_step_still_publishes(project: Project) -> None:
    run = Run(project.group(), 0)
    train_until(run.group, [0], 40)
    assert store.run_problem(run) is None


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
    for run, (curve, policy) in zip(runs, expected, strict=True):
        assert curve_of(run)[["step", "episode"]].equals(curve[["step", "episode"]])
        assert largest_difference(policy_of(run, 40), policy) < 1e-4
    made = [store.read_json(store.run_directory(run) / "provenance.json") or {} for run in runs]
    assert [item["resumed_from_step"] for item in made] == [20, 0, 0]


def test_a_state_made_from_other_data_is_not_used(project: Project) -> None:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    with pytest.raises(Interrupted):
        train_until(run.group, [0], 20)
    with safe_open(state_path(run), framework="pt") as stream:
        metadata = stream.metadata()
    save_file(load_file(state_path(run)), state_path(run), {**metadata, "dataset_sha256": "0" * 64})
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == expected


def test_a_crash_costs_the_steps_since_the_last_checkpoint(project: Project) -> None:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    always = COMPUTE.model_copy(update={"checkpoint_seconds": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rollouts, "evaluate", at_step(30, fail))
        with pytest.raises(RuntimeError, match="crash"):
            train(run.group, [0], always, 1)
    with safe_open(state_path(run), framework="pt") as stream:
        assert stream.metadata()["step"] == "29"
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == expected


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
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def test_sigterm_saves_and_exits_143(uninterrupted: dict[str, bytes], project: Project) -> None:
    run = Run(long_group(project), 0)
    status, errors = end_process_at(run.group, 50, signal.SIGTERM)
    assert status == 143
    assert errors.startswith(f"dac: {run.group.task}/{run.group.name}: stopped by a signal at step ")
    assert store.run_problem(run) == "missing"
    with safe_open(state_path(run), framework="pt") as stream:
        assert 50 <= int(stream.metadata()["step"]) < 400
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
        submit(self, when, states)
        if when == step:
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
    train(runs[0].group, [0, 1], overlapped(0), 1)
    expected = [published(run) for run in runs]
    forget()
    caplog.set_level("INFO")
    train(runs[0].group, [0, 1], overlapped(workers), 1)
    assert [published(run) for run in runs] == expected
    assert re.search(r"evaluation: waited \d+\.\d s of \d+\.\d s", caplog.text)
    assert children(os.getpid()) == []


@pytest.mark.parametrize("step", [0, 30])
def test_a_signal_during_a_pending_evaluation_saves_its_end(step: int, project: Project) -> None:
    runs = [Run(project.group(), seed) for seed in (0, 1)]
    train(runs[0].group, [0, 1], COMPUTE, 1)
    expected = [published(run) for run in runs]
    forget()
    stopped = pytest.raises(Interrupted, match=f"stopped by a signal at step {step}; state saved")
    with after_submitting(step, lambda _: terminate()), stopped:
        train(runs[0].group, [0, 1], overlapped(1), 1)
    with safe_open(state_path(runs[0]), framework="pt") as stream:
        metadata = stream.metadata()
    assert metadata["step"] == str(step)
    assert [row[0] for row in json.loads(metadata["curve"])][-2:] == [step, step]
    train(runs[0].group, [0, 1], overlapped(1), 1)
    assert [published(run) for run in runs] == expected


def test_ctrl_c_at_the_whole_group_saves(uninterrupted: dict[str, bytes], project: Project) -> None:
    run = Run(long_group(project.set("compute.evaluation_workers", 2)), 0)
    status, errors = end_process_at(run.group, 50, signal.SIGINT, os.killpg)
    assert status == 130
    assert errors.startswith(f"dac: {run.group.task}/{run.group.name}: stopped by a signal at step ")
    train(run.group, [0], overlapped(0), 1)
    assert published(run) == uninterrupted


def test_a_dead_evaluator_costs_the_steps_since_the_last_checkpoint(project: Project) -> None:
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    always = overlapped(1).model_copy(update={"checkpoint_seconds": 0})
    died = pytest.raises(UserError, match=r"The evaluator process \(pid \d+\) ended unexpectedly, by signal 9")

    with after_submitting(30, lambda evaluations: os.kill(evaluations.pid, signal.SIGKILL)), died:
        train(run.group, [0], always, 1)
    with safe_open(state_path(run), framework="pt") as stream:
        assert stream.metadata()["step"] == "29"
    train(run.group, [0], always, 1)
    assert published(run) == expected


# What goes wrong


def test_a_diverged_run_is_published_as_such_and_leaves_its_neighbours_alone(project: Project) -> None:
    group = project.group()
    runs = [Run(group, seed) for seed in (0, 1, 2)]
    train(group, [0, 1, 2], COMPUTE, 1)
    healthy = [published(run) for run in runs]
    forget()
    with pytest.raises(Interrupted):
        train_until(group, [0, 1, 2], 20)
    state = load_file(state_path(runs[1]))
    with safe_open(state_path(runs[1]), framework="pt") as stream:
        metadata = stream.metadata()
    # Values so large that the loss, a square, overflows.
    broken = {name: value * 1e30 if name.startswith("critic/") else value for name, value in state.items()}
    save_file(broken, state_path(runs[1]), metadata)
    train(group, [0, 1, 2], COMPUTE, 1)
    assert [store.read_run(run)["status"] for run in runs] == ["complete", "diverged", "complete"]
    assert published(runs[0]) == healthy[0]
    assert published(runs[2]) == healthy[2]
    assert curve_of(runs[1])["step"].tolist() == curve_of(runs[0])["step"].tolist()
    frozen = policy_of(runs[1], 40)
    assert all(bool(torch.isfinite(value).all()) for value in frozen.values())
    assert largest_difference(frozen, policy_of(runs[1], 30)) == 0.0
    assert all(torch.equal(frozen[name], state[name]) for name in frozen if name.startswith("actor/"))


def test_a_pack_of_diverged_runs_alone_makes_no_further_steps(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = project.group()
    with pytest.raises(Interrupted):
        train_until(group, [0], 10)
    path = state_path(Run(group, 0))
    with safe_open(path, framework="pt") as stream:
        metadata = stream.metadata()
    state = load_file(path)
    save_file({**state, "active": torch.tensor(False)}, path, metadata)
    monkeypatch.setattr("dac.agent.Agent.update", lambda *_: pytest.fail("a gradient step"))
    train(group, [0], COMPUTE, 1)
    assert store.read_run(Run(group, 0))["status"] == "diverged"
    assert curve_of(Run(group, 0))["step"].drop_duplicates().tolist() == [0, 10, 20, 30, 40]
    assert all(torch.equal(value, state[name]) for name, value in policy_of(Run(group, 0), 40).items())


def test_data_of_another_environment_are_refused(project: Project) -> None:
    write_rows(Path("data/pendulum.hdf5"), observation_dim=11)
    with pytest.raises(UserError, match=r"tasks\.pendulum: .* of shapes \(11,\) and \(1,\), .* \(4,\) and \(1,\)"):
        train(project.group(), [0], COMPUTE, 1)
    assert not Path("results").exists()


def test_a_batch_larger_than_the_data_is_refused(project: Project) -> None:
    group = project.set("studies.tiny.settings.batch_size", 1000).group()
    # 240 rows less 10 time-outs; the last of them is the last row, too.
    with pytest.raises(UserError, match=r"230 transitions, fewer than batch_size \(1000\)"):
        train(group, [0], COMPUTE, 1)


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
    assert OTHER_THAN_DEFAULT.keys() == {*AgentSettings.model_fields, "precision"}
    project.settings["studies"]["tiny"]["settings"] |= OTHER_THAN_DEFAULT
    config = agent_config(project.group().values)
    expected = {**OTHER_THAN_DEFAULT, "hidden_sizes": (7, 9)}
    assert {name: getattr(config, name) for name in expected} == expected
    defaults = AgentConfig()
    assert all(getattr(config, name) != getattr(defaults, name) for name in expected)
    assert {field.name for field in fields(AgentConfig)} - expected.keys() == {
        "lr_decay_steps", "temperature",
    }  # fmt: skip


def test_the_learning_rate_decays_over_all_steps_or_not_at_all(project: Project) -> None:
    assert agent_config(project.group().values).lr_decay_steps == 40
    assert agent_config(project.set("studies.tiny.settings.lr_decay", "constant").group().values).lr_decay_steps is None


@pytest.mark.parametrize(
    ("imitated", "precision", "warns"), [(True, "bf16", True), (True, "fp32", False), (False, "bf16", False)]
)
def test_a_device_that_imitates_bf16_is_named(
    imitated: bool,
    precision: str,
    warns: bool,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: not imitated)
    group = project.set("studies.tiny.settings.precision", precision).group()
    train(group, [0], COMPUTE, 1)
    assert ("this device only imitates" in caplog.text) == warns
    assert store.run_problem(Run(group, 0)) is None


# Memory


def test_a_pack_that_does_not_fit_is_trained_in_parts(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory runs out in mid-training with more than two runs: parts of two and one, at the numbers of such packs."""
    group = project.group()
    train(group, [0, 1], COMPUTE, 1)
    expected = {
        path.name: curve_of(Run(group, seed)) for seed in (0, 1) for path in [store.run_directory(Run(group, seed))]
    }
    forget()
    update = Agent.update

    def refuse(agent: Agent, *arguments: Any) -> Any:
        if len(agent.eta) > 2 and agent.step >= 13:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return update(agent, *arguments)

    monkeypatch.setattr(Agent, "update", refuse)
    caplog.set_level("INFO")
    train(group, [0, 1, 2, 3, 4], COMPUTE, 1)
    assert "5 runs do not fit the device's memory; 2 at a time" in caplog.text
    assert all(store.run_problem(Run(group, seed)) is None for seed in range(5))
    for seed in (0, 1):
        pd.testing.assert_frame_equal(curve_of(Run(group, seed)), expected[f"seed-{seed}"], rtol=1e-3)


def test_a_run_that_does_not_fit_is_an_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(agent: Agent, *arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Agent, "update", refuse)
    with pytest.raises(UserError, match=r"one run alone does not fit the memory of cpu. Lower batch_size"):
        train(project.group(), [0, 1], COMPUTE, 1)
