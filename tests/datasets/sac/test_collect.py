from __future__ import annotations

import importlib.metadata
import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minari as library
import numpy as np
import pytest
import reliability
import torch
from interrupting import terminate_before

from dac import envs
from dac.datasets import folder
from dac.datasets.sac import collect
from dac.datasets.sac.checkpoint import Checkpoint
from dac.datasets.sac.recipe import new_sac, sac_recipe
from dac.datasets.sac.recorder import Recorder
from dac.datasets.sac.taker import Taker
from dac.rows.raw import content_hash, episode_returns, statistics
from dac.system.errors import UserError
from dac.system.signals import Interrupted

pytestmark = pytest.mark.xdist_group("sac")
SAC = {"steps": 300, "learning_starts": 100, "batch_size": 16, "hidden_sizes": [16], "learning_rate": 1e-3}
RECIPE: dict[str, Any] = {
    "seed": 3,
    "sac": {**SAC, "eval_interval": 100, "eval_episodes": 2},
    "levels": {
        "medium-replay": {"at_step": 250, "at_return": None, "transitions": None},
        "medium": {"at_step": 200, "transitions": 120},
        "expert": {"at_return": 1.0, "transitions": 50},
    },
}


def run(
    directory: Path, *levels: str, env_id: str = "InvertedPendulum-v5", recipe: dict[str, Any] = RECIPE
) -> list[str]:
    """Collect `levels` into folders of their names; returns the lines logged."""
    lines: list[str] = []
    collect.collect(env_id, recipe, {level: directory / level for level in levels}, directory / "work", lines.append)
    return lines


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three levels, taken from one training."""
    directory = tmp_path_factory.mktemp("collected")
    run(directory, "medium-replay", "medium", "expert")
    return directory


def test_each_level_has_its_number_of_steps(collected: Path) -> None:
    assert {name: len(folder.load(collected / name)) for name in RECIPE["levels"]} == {
        "medium-replay": 250,
        "medium": 120,
        "expert": 50,
    }


def test_a_level_does_not_depend_on_the_others_asked_for(collected: Path, tmp_path: Path) -> None:
    """The recipe is the identity of a dataset, so the same recipe must give the same data in any company."""
    for level in RECIPE["levels"]:
        run(tmp_path, level)
        assert content_hash(folder.load(tmp_path / level)) == content_hash(folder.load(collected / level)), level


def test_another_seed_gives_other_data(collected: Path, tmp_path: Path) -> None:
    run(tmp_path, "medium", recipe={**RECIPE, "seed": 4})
    assert content_hash(folder.load(tmp_path / "medium")) != content_hash(folder.load(collected / "medium"))


def test_global_random_state_and_threads_are_as_before(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    after = torch.rand(1).item()
    torch.manual_seed(0)
    run(tmp_path, "medium")
    assert torch.rand(1).item() == after
    assert torch.get_num_threads() == threads


def test_rollouts_in_the_training_leave_it_unchanged(collected: Path, tmp_path: Path) -> None:
    """medium-replay ends 50 steps after `medium` was rolled out, and equals one with no rollout before it."""
    run(tmp_path, "medium-replay")
    alone, in_company = folder.load(tmp_path / "medium-replay"), folder.load(collected / "medium-replay")
    assert (alone.actions == in_company.actions).all()


def test_the_description_tells_what_the_data_are(collected: Path) -> None:
    content = json.loads((collected / "medium" / "dataset.json").read_text())
    raw = folder.load(collected / "medium")
    assert content["env_id"] == "InvertedPendulum-v5"
    assert content["level"] == "medium"
    assert content["recipe"] == {**RECIPE, "levels": {"medium": RECIPE["levels"]["medium"]}}
    assert content["taken_at_step"] == 200
    assert content["sha256"] == content_hash(raw)
    assert content["episode_returns"] == episode_returns(raw).tolist()
    assert {key: content[key] for key in ("episodes", "steps", "return", "length")} == statistics(raw)
    assert content["versions"]["torch"] == importlib.metadata.version("torch")
    assert content["seconds"] > 0


def test_actions_are_in_the_unit_box_and_bite(collected: Path, tmp_path: Path) -> None:
    """InvertedPendulum takes actions in [-3, 3]; what is stored must be the agent's [-1, 1]."""
    actions = folder.load(collected / "medium-replay").actions
    assert np.abs(actions).max() <= 1.0
    assert np.abs(actions[:100]).max() > 0.9, "the warm-up draws from the whole box"


def test_the_dataset_is_one_of_minaris(collected: Path) -> None:
    """Minari loads it, with the environment it was recorded in; the seedless resets are repeatable."""
    dataset = library.MinariDataset((collected / "medium-replay" / "data").resolve())
    assert dataset.spec.total_steps == 250
    env = dataset.recover_environment()
    assert env.action_space.low.tolist() == [-1.0]
    assert env.spec is not None and env.spec.id == "InvertedPendulum-v5"
    env.close()


def test_the_recorder_keeps_what_the_environment_said(collected: Path) -> None:
    raw = folder.load(collected / "medium-replay")
    ends = np.flatnonzero(raw.terminals | raw.timeouts)
    assert ends[-1] == 249
    # A pendulum beyond 0.2 rad is down: no row but one that follows such a state may start an episode elsewhere.
    assert (np.abs(raw.observations[:, 1]) <= 0.2).all()
    starts = raw.observations[ends[:-1] + 1]
    assert (np.abs(starts) <= 0.01 + 1e-6).all(), "episodes start within 0.01 of upright"


def test_an_unreached_return_names_the_best_one(tmp_path: Path) -> None:
    recipe = {**RECIPE, "levels": {"medium": {"at_return": 900.0, "transitions": 10}}}
    with pytest.raises(UserError, match=r"sac.steps = 300 without reaching medium \(at_return 900\).*best .* was \d"):
        run(tmp_path, "medium", recipe=recipe)
    assert list(tmp_path.iterdir()) == []


def test_an_unreached_step(tmp_path: Path) -> None:
    recipe = {**RECIPE, "levels": {"medium-replay": {"at_step": 301}}}
    with pytest.raises(UserError, match=r"without reaching medium-replay \(at_step 301\)\. Raise sac.steps"):
        run(tmp_path, "medium-replay", recipe=recipe)


def test_an_older_dataset_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "medium").mkdir()
    (tmp_path / "medium" / "stale").write_text("")
    run(tmp_path, "medium")
    assert sorted(path.name for path in (tmp_path / "medium").iterdir()) == ["data", "dataset.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["medium"], "no temporary folder stays behind"


def test_changed_data_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "medium")
    path = tmp_path / "medium" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": "0" * 64}))
    with pytest.raises(UserError, match="changed or damaged"):
        folder.load(tmp_path / "medium")


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.json: not readable"):
        folder.load(tmp_path)


def test_progress_is_logged(tmp_path: Path) -> None:
    lines = run(tmp_path, "expert")
    assert any("evaluation at step 100: return" in line for line in lines)
    assert any("expert taken at step 100" in line for line in lines)


# Interruptions

TIMEOUT = 900  # seconds, of a process that ends in a few where nothing else runs

COLLECT = """
import json, sys
from pathlib import Path
from dac.datasets.sac import collect
recipe, out = json.loads(sys.argv[1]), Path(sys.argv[2])
levels = {level: out / level for level in recipe["levels"] if not (out / level).exists()}
collect.collect("Hopper-v5", recipe, levels, out / "work", lambda line: print(line, flush=True), checkpoint_seconds=0.1)
"""
LONG: dict[str, Any] = {
    "seed": 1,
    "sac": {"steps": 600, "learning_starts": 100, "batch_size": 16, "hidden_sizes": [16], "eval_interval": 200},
    "levels": {
        "medium-replay": {"at_step": 600},
        "medium": {"at_step": 500, "transitions": 300},
        "expert": {"at_return": 10.0, "transitions": 200},
    },
}


def start(directory: Path) -> subprocess.Popen[str]:
    code = [sys.executable, "-W", "ignore", "-c", COLLECT, json.dumps(LONG), str(directory)]
    return subprocess.Popen(code, stdout=subprocess.PIPE, text=True)


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line.strip())
        if wanted in line:
            break
    return seen


def ended(directory: Path, wanted: str, number: signal.Signals) -> Path:
    """The new folder of a collection that a signal ended at a line of its output."""
    directory.mkdir()
    process = start(directory)
    lines_until(process, wanted)
    process.send_signal(number)
    process.communicate(timeout=TIMEOUT)
    return directory


def finish(directory: Path) -> list[str]:
    process = start(directory)
    output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, output
    return output.splitlines()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The content hash of every level of LONG, collected in one go."""
    directory = tmp_path_factory.mktemp("uninterrupted")
    assert not any("resumed" in line for line in finish(directory))
    return {level: content_hash(folder.load(directory / level)) for level in LONG["levels"]}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_collection_that_was_ended_goes_on_and_gives_the_same_data(
    number: signal.Signals, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    """Once after the first level was taken, and once more in the resumed process, which lacks the others alone."""
    resumed: list[str] = []
    for wanted in ("SAC step 240/", "SAC step 420/"):
        process = start(tmp_path)
        seen = lines_until(process, wanted)
        resumed += [line for line in seen if line.startswith("resumed at SAC step ")]
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT)
        if number == signal.SIGTERM:
            assert process.returncode == 1
            assert "is saved" not in output, "an exception here; the command line turns it into a message"
        else:
            assert process.returncode == -signal.SIGKILL
        assert list((tmp_path / "work").glob("*/steps-*"))
    resumed += [line for line in finish(tmp_path) if line.startswith("resumed at SAC step ")]
    assert len(resumed) == 2
    assert {level: content_hash(folder.load(tmp_path / level)) for level in LONG["levels"]} == uninterrupted
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(LONG["levels"]), "the state is gone"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that was killed; to copy."""
    return ended(tmp_path_factory.mktemp("killed") / "collection", "SAC step 420/", signal.SIGKILL)


@pytest.mark.parametrize("name", ["model.zip", "replay-buffer.pkl", "recording.pt", "manifest.json"])
def test_a_killed_collection_whose_newest_state_is_damaged(
    name: str, killed: Path, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    newest = max((tmp_path / "work").glob("*/steps-*"), key=lambda path: int(path.name.split("-")[1]))
    (newest / name).write_bytes((newest / name).read_bytes()[:-10])
    finish(tmp_path)
    assert {level: content_hash(folder.load(tmp_path / level)) for level in LONG["levels"]} == uninterrupted
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(LONG["levels"])


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that was stopped with medium-replay ahead, `medium` taken; to copy."""
    return ended(tmp_path_factory.mktemp("stopped") / "collection", "medium taken at step 500", signal.SIGTERM)


def test_a_state_that_has_passed_a_wanted_level_is_not_used(stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "medium")
    for before in (tmp_path / "work").glob("*medium-medium-replay"):
        shutil.rmtree(before)  # the state before the newest one has `medium` ahead
    assert any("training starts anew" in line for line in finish(tmp_path))


def test_a_training_for_other_levels_leaves_a_saved_state_alone(
    stopped: Path, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    """Stopped with medium-replay ahead; then `medium`, which it has passed, is asked for and made anew beside it."""
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    saved = max((tmp_path / "work").glob("*/steps-*"), key=lambda path: int(path.name.split("-")[1]))
    assert saved.parent.name == "medium-replay"
    recipe = {**LONG, "levels": {"medium": LONG["levels"]["medium"]}}
    lines: list[str] = []
    collect.collect("Hopper-v5", recipe, {"medium": tmp_path / "again"}, tmp_path / "work", lines.append)
    assert content_hash(folder.load(tmp_path / "again")) == uninterrupted["medium"]
    assert saved.is_dir()
    assert any("resumed at SAC step" in line for line in finish(tmp_path))
    assert content_hash(folder.load(tmp_path / "medium-replay")) == uninterrupted["medium-replay"]


# When a signal comes to a collection of LONG: before which call, and the step that is saved. After a step at which a
# policy is evaluated or rolled out, that step is taken back.
MOMENTS: dict[str, tuple[type, str, Callable[..., bool], int]] = {
    "before the first episode's end": (Recorder, "step", lambda recorder, _: recorder.steps == 7, 10),
    "in the middle of an episode": (Recorder, "step", lambda recorder, _: recorder.steps == 255, 260),
    "in an evaluation": (Taker, "_evaluate", lambda taker, model, step: step == 200, 199),
    "in a roll-out": (Taker, "_roll_out", lambda taker, model, transitions, seed: transitions == 300, 499),
}


@pytest.mark.soak
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_is_not_waited_with(
    moment: str, uninterrupted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is saved is saved at once, wherever the episode is, and the data are those of an undisturbed training."""
    owner, name, when, step = MOMENTS[moment]
    said = rf"^Hopper-v5: interrupted at SAC step {step}, which is saved; run again to go on$"

    def collect_all() -> None:
        levels = {level: tmp_path / level for level in LONG["levels"] if not (tmp_path / level).exists()}
        collect.collect("Hopper-v5", LONG, levels, tmp_path / "work", lambda _: None)

    with monkeypatch.context() as patch:
        terminate_before(owner, name, when, patch)
        with pytest.raises(Interrupted, match=said):
            collect_all()
    collect_all()
    assert {level: content_hash(folder.load(tmp_path / level)) for level in LONG["levels"]} == uninterrupted
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(LONG["levels"])
    reliability.record(
        "fault",
        "SIGTERM while SAC collects data",
        "the state is saved at once; the data are those of an undisturbed one",
    )


# A collection that learns after every fourth step: `first` and `second` are taken within one such round, the first
# evaluation comes in the middle of one. Its replay buffer overwrites what is older than 170 steps.
ROUNDS: dict[str, Any] = {
    "seed": 2,
    "sac": {
        "steps": 400,
        "learning_starts": 100,
        "batch_size": 16,
        "hidden_sizes": [16],
        "train_freq": 4,
        "gradient_steps": 2,
        "buffer_size": 170,
        "eval_interval": 150,
        "eval_episodes": 2,
    },
    "levels": {
        "evaluated": {"at_return": 1.0, "transitions": 40},
        "first": {"at_step": 201, "transitions": 50},
        "second": {"at_step": 202, "transitions": 60},
        "medium-replay": {"at_step": 400},
    },
}

# As MOMENTS. What is taken back is a whole round, so that the step that is saved is a multiple of four.
MOMENTS_IN_ROUNDS: dict[str, tuple[type, str, Callable[..., bool], int]] = {
    "in the middle of an episode": (Recorder, "step", lambda recorder, _: recorder.steps == 341, 348),
    "in an evaluation": (Taker, "_evaluate", lambda taker, model, step: step == 150, 148),
    "in a first roll-out": (Taker, "_roll_out", lambda taker, model, transitions, seed: transitions == 50, 200),
    "in a second roll-out": (
        Taker,
        "_roll_out",
        lambda taker, model, transitions, seed: transitions == 60,
        200,
    ),
}


def collect_rounds(directory: Path, recipe: dict[str, Any] = ROUNDS) -> list[str]:
    """Collect the levels of a recipe that are not there yet; returns the lines logged."""
    lines: list[str] = []
    levels = {level: directory / level for level in recipe["levels"] if not (directory / level).exists()}
    collect.collect("Hopper-v5", recipe, levels, directory / "work", lines.append)
    return lines


@pytest.fixture(scope="module")
def undisturbed_rounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The content hash of every level of ROUNDS, collected in one go."""
    directory = tmp_path_factory.mktemp("rounds")
    collect_rounds(directory)
    return {level: content_hash(folder.load(directory / level)) for level in ROUNDS["levels"]}


@pytest.mark.parametrize("moment", MOMENTS_IN_ROUNDS)
def test_a_signal_in_a_round_of_several_steps(
    moment: str, undisturbed_rounds: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, when, step = MOMENTS_IN_ROUNDS[moment]
    with monkeypatch.context() as patch:
        terminate_before(owner, name, when, patch)
        with pytest.raises(Interrupted, match=rf"^Hopper-v5: interrupted at SAC step {step}, which is saved; run agai"):
            collect_rounds(tmp_path)
    (state,) = (tmp_path / "work").glob("*/steps-*")
    assert state.name.startswith(f"steps-{step}-")
    assert torch.load(state / "recording.pt", weights_only=False)["recorder"]["actions"], "an episode is under way"
    assert any(line.startswith(f"resumed at SAC step {step},") for line in collect_rounds(tmp_path))
    assert {level: content_hash(folder.load(tmp_path / level)) for level in ROUNDS["levels"]} == undisturbed_rounds


def test_a_signal_in_the_first_round_has_no_state_to_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = {"first": {"at_step": 2, "transitions": 50}, "second": {"at_step": 3, "transitions": 60}}
    recipe = {**ROUNDS, "levels": levels}
    collect_rounds(tmp_path / "undisturbed", recipe)
    with monkeypatch.context() as patch:
        terminate_before(Taker, "_roll_out", lambda taker, model, transitions, seed: transitions == 60, patch)
        with pytest.raises(Interrupted, match=r"^Hopper-v5: interrupted in SAC's first steps, .* run again to start"):
            collect_rounds(tmp_path / "interrupted", recipe)
    assert [path.name for path in (tmp_path / "interrupted").iterdir()] == ["first"]
    collect_rounds(tmp_path / "interrupted", recipe)
    for level in levels:
        ours, theirs = (folder.load(tmp_path / way / level) for way in ("interrupted", "undisturbed"))
        assert content_hash(ours) == content_hash(theirs), level


@pytest.mark.parametrize(
    ("name", "limit"), [("model.zip", 100), ("replay-buffer.pkl", 40_000), ("recording.pt", 200_000)]
)
def test_a_state_that_the_disk_does_not_take_leaves_the_one_before(name: str, limit: int, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk; the named file is the first to meet it."""
    recorder = Recorder(envs.make("Hopper-v5"))
    model = new_sac(recorder, sac_recipe(LONG["sac"]), 0)
    model.learn(total_timesteps=40)
    checkpoint = Checkpoint(tmp_path / "work", {"medium": {}}, recorder, {})
    checkpoint.save(model, checkpoint.moment(model), {"medium": {}}, {"seconds": 1.0})
    (before,) = (tmp_path / "work/medium").iterdir()
    model.learn(total_timesteps=40, reset_num_timesteps=False)
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, allowed[1]))
    try:
        with pytest.raises(
            UserError, match=r"work/medium: the training's state was not saved: .*from the state before"
        ):
            notes = {"seconds": 2.0, "a large note": "x" * 300_000}
            checkpoint.save(model, checkpoint.moment(model), {"medium": {}}, notes)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert list((tmp_path / "work/medium").iterdir()) == [before]
    assert checkpoint._usable(print) == before
