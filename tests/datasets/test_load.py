from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import h5py
import numpy as np
import pytest
from tiny import Project, write_rows
from unprivileged import somebody_else
from writing import writer

from dac.cli import main
from dac.datasets import convert, d4rl, load
from dac.datasets.sources import collect
from dac.datasets.transitions import to_transitions
from dac.rows.raw import content_hash
from dac.study import store, task_data
from dac.study.identity import Dataset
from dac.system.errors import UserError
from dac.system.hashing import sha256_of

ENV = "InvertedPendulum-v5"
RECIPE = {
    "sac": {"steps": 60, "learning_starts": 50, "batch_size": 8, "hidden_sizes": [8]},
    "levels": {"medium-replay": {"at_step": 40}, "expert": {"at_step": 60, "transitions": 30}},
}


# Files


def test_a_file_in_d4rls_layout(project: Project) -> None:
    raw, digest = load.load(task_data.dataset_of(project.load(), "pendulum"))
    assert digest == sha256_of(Path("data/pendulum.hdf5"))
    assert raw.observations.shape == (240, 4)
    assert raw.actions.shape == (240, 1)
    assert raw.terminals.sum() == raw.timeouts.sum() == 10
    # The first two draws of the generator that made the file.
    assert raw.observations[0, :2].tolist() == np.random.default_rng(0).normal(size=2).astype(np.float32).tolist()


def test_a_file_that_is_not_what_the_lock_says(project: Project) -> None:
    dataset = task_data.dataset_of(project.load(), "pendulum")
    before, _ = load.load(dataset)
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    with pytest.raises(UserError, match=r"data/pendulum.hdf5: its sha256 is .* delete its entry in datasets.lock"):
        load.load(dataset)
    # The advice holds: with the entry gone it is another dataset, and its runs are other runs.
    Path("datasets.lock").unlink()
    changed = task_data.dataset_of(project.load(), "pendulum")
    assert changed.fingerprint != dataset.fingerprint
    assert content_hash(load.load(changed)[0]) != content_hash(before)


def test_a_file_that_is_not_there(project: Project) -> None:
    dataset = task_data.dataset_of(project.load(), "pendulum")
    Path("data/pendulum.hdf5").unlink()
    with pytest.raises(UserError, match=r"data/pendulum.hdf5: no such file"):
        load.load(dataset)


def test_a_d4rl_file_that_is_not_the_published_one(project: Project) -> None:
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4"})
    dataset = task_data.dataset_of(project.load(), "hopper")
    assert dataset.file is not None
    write_rows(dataset.file)
    with pytest.raises(UserError, match=r"hopper-medium-v2.hdf5: its sha256 is .*, but d4rl:hopper-medium-v2 is "):
        load.load(dataset)


def test_a_d4rl_file_without_a_published_sha256_is_locked_when_it_is_first_fetched(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, no study with it can be planned; from then on a clone with datasets.lock can, without the file."""
    project.set("tasks.hand", {"dataset": "d4rl:relocate-human-v1"})
    with pytest.raises(UserError, match=r"no checksum is published for it.*`dac fetch relocate-human-v1`"):
        task_data.dataset_of(project.load(), "hand")
    mirror = tmp_path / "mirror/hand_dapg_v1/relocate-human-v1.hdf5"
    write_rows(mirror, observation_dim=39)
    monkeypatch.setenv("DAC_D4RL_MIRROR", f"file://{tmp_path}/mirror")
    assert main(["fetch", "hand"]) == 0
    dataset = task_data.dataset_of(project.load(), "hand")
    assert dataset.file_sha256 == sha256_of(mirror)
    assert json.loads(Path("datasets.lock").read_text())["d4rl:relocate-human-v1"] == {"sha256": dataset.file_sha256}
    shutil.rmtree("data")
    assert task_data.dataset_of(project.load(), "hand") == dataset
    write_rows(mirror, observation_dim=39, seed=1)
    monkeypatch.setattr(d4rl, "addresses", lambda file, mirrors: [f"file://{mirror}"])
    with pytest.raises(UserError, match=rf"its sha256 is \w+, expected is {dataset.file_sha256}. It is left as"):
        load.fetch(dataset, ())


def test_two_processes_convert_a_file_once(project: Project) -> None:
    dataset = task_data.dataset_of(project.load(), "pendulum")
    command = [sys.executable, "-W", "ignore", "-m", "dac", "fetch", "pendulum"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    output = "".join(process.communicate(timeout=120)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0], output
    assert output.count("converted to Minari's format") == 1
    assert [path.name for path in dataset.path.parent.iterdir()] == [dataset.path.name]


def replace(key: str, value: object) -> None:
    """Replace one array of the pendulum's file, which was not seen before."""
    with h5py.File("data/pendulum.hdf5", "r+") as file:
        del file[key]
        file[key] = value
    Path("datasets.lock").unlink(missing_ok=True)


def change(key: str, value: object) -> Dataset:
    """The pendulum's dataset with one array replaced."""
    replace(key, value)
    return task_data.dataset_of(Project().load(), "pendulum")


def test_a_file_in_which_no_episode_ends(project: Project) -> None:
    replace("terminals", np.zeros(240, np.bool_))
    with pytest.raises(UserError, match="no episode ends: terminals and timeouts are false in all 240 rows"):
        change("timeouts", np.zeros(240, np.bool_))


def test_a_broken_file_leaves_no_entry_so_that_its_repair_is_taken(project: Project) -> None:
    """What cannot be trained on stays out of datasets.lock."""
    whole = Path("data/pendulum.hdf5").read_bytes()
    with pytest.raises(UserError, match=r"tasks.pendulum.dataset: data/pendulum.hdf5: rewards has NaN"):
        change("rewards", np.full(240, np.nan, np.float32))
    assert not Path("datasets.lock").exists()
    Path("data/pendulum.hdf5").write_bytes(whole)
    repaired = task_data.dataset_of(project.load(), "pendulum")
    assert len(load.load(repaired)[0]) == 240


def test_a_file_without_rows(project: Project) -> None:
    for key, shape in {"observations": (0, 4), "actions": (0, 1), "rewards": 0, "terminals": 0, "timeouts": 0}.items():
        replace(key, np.zeros(shape, np.float32))
    with pytest.raises(UserError, match=r"data/pendulum.hdf5: it has no rows"):
        task_data.dataset_of(project.load(), "pendulum")


def test_actions_of_another_scale(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    actions = np.linspace(-1, 1, 240, dtype=np.float32)[:, None]
    actions[7] = 1.5
    with pytest.raises(UserError, match=r"actions reach 1.5, outside of \[-1, 1\], in 1 of 240 rows"):
        load.load(change("actions", actions))
    actions[7] = 1.0005
    caplog.set_level("INFO")
    raw, _ = load.load(change("actions", actions))
    assert "actions of 1 rows reach 1.0005; they are clipped" in caplog.text
    assert to_transitions(raw, "none").actions.max() == pytest.approx(1 - 1e-5)


def test_d4rls_actions_are_clipped_with_a_count(
    project: Project, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4"})
    replace("actions", np.full((240, 1), 1.5, np.float32))
    dataset = task_data.dataset_of(project.load(), "hopper")
    assert dataset.file is not None
    dataset.file.parent.mkdir(parents=True)
    shutil.copy("data/pendulum.hdf5", dataset.file)
    monkeypatch.setattr(convert, "sha256_of", lambda _: dataset.file_sha256)
    caplog.set_level("INFO")
    load.load(dataset)
    assert "hopper-medium-v2.hdf5: actions of 240 rows reach 1.5; they are clipped" in caplog.text


def held(dataset: Dataset) -> AbstractContextManager[object]:
    """HDF5's lock alone, since opening it for writing may change its bytes."""
    return writer("import fcntl; file = open('data/pendulum.hdf5', 'rb'); fcntl.flock(file, fcntl.LOCK_EX)")


def unwritable(dataset: Dataset) -> AbstractContextManager[object]:
    dataset.path.parent.chmod(0o555)
    for folder in ("work", "work/locks"):
        Path(folder).chmod(0o777)
    for path in Path("work/locks").iterdir():
        path.chmod(0o666)
    return somebody_else()


def full(dataset: Dataset) -> AbstractContextManager[object]:
    return patch("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (held, "another program holds it open for writing"),
        (unwritable, "not written: .*Permission denied"),
        (full, "MB are needed and 0 MB are free"),
    ],
)
def test_trouble_with_a_second_conversion_loses_no_entry(
    project: Project, trouble: Callable[[Dataset], AbstractContextManager[object]], message: str
) -> None:
    """The converted folder was deleted; afterwards, as before, no other file is accepted."""
    dataset = task_data.dataset_of(project.load(), "pendulum")
    load.load(dataset)
    entry = Path("datasets.lock").read_text()
    shutil.rmtree(dataset.path)
    with trouble(dataset), pytest.raises(UserError, match=message):
        load.load(dataset)
    dataset.path.parent.chmod(0o755)
    assert Path("datasets.lock").read_text() == entry
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    with pytest.raises(UserError, match="its sha256 is"):
        task_data.dataset_of(project.load(), "pendulum")
    write_rows(Path("data/pendulum.hdf5"))
    assert len(load.load(task_data.dataset_of(project.load(), "pendulum"))[0]) == 240


@pytest.mark.parametrize("garbage", ["pointer", "gzip", "truncated", "other layout"])
def test_a_mirrors_garbage_never_becomes_the_identity(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, garbage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a D4RL file without a published sha256: the right one is taken as soon as it is there."""
    project.set("tasks.hand", {"dataset": "d4rl:relocate-human-v1"}).load()
    mirror = tmp_path / "mirror/hand_dapg_v1/relocate-human-v1.hdf5"
    write_rows(mirror, observation_dim=39)
    right = mirror.read_bytes()
    mirror.write_bytes(
        {
            "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n",
            "gzip": gzip.compress(right),
            "truncated": right[: len(right) // 2],
            "other layout": right.replace(b"timeouts", b"timeoutz"),
        }[garbage]
    )
    monkeypatch.setenv("DAC_D4RL_MIRROR", f"file://{tmp_path}/mirror")
    monkeypatch.setattr(d4rl, "addresses", lambda file, mirrors=(): [f"file://{mirror}"])
    assert main(["fetch", "hand"]) == 1
    said = capsys.readouterr().err
    expected = {
        "pointer": "it is a git-LFS pointer", "gzip": "it is a gzip archive", "truncated": "it is truncated",
        "other layout": "the key 'timeouts' is missing",
    }  # fmt: skip
    assert expected[garbage] in said
    assert "It is left as it is" in said
    assert not list(Path("data/d4rl").iterdir())
    assert not Path("datasets.lock").exists()
    mirror.write_bytes(right)
    assert main(["fetch", "hand"]) == 0
    assert json.loads(Path("datasets.lock").read_text())["d4rl:relocate-human-v1"] == {"sha256": sha256_of(mirror)}
    # Another file, later: the message says whose the expected sha256 is.
    shutil.rmtree("data")
    write_rows(mirror, observation_dim=39, seed=1)
    capsys.readouterr()
    assert main(["fetch", "hand"]) == 1
    assert "delete the entry d4rl:relocate-human-v1 in it and fetch again" in capsys.readouterr().err


# Collected data


@pytest.fixture
def recipe(project: Project) -> Project:
    """A project with a recipe that takes a second, and tasks on both of its levels."""
    project.set(f"collect.{ENV}", RECIPE)
    project.set("tasks.expert", {**project.settings["tasks"]["replay"], "dataset": f"collect:{ENV}/expert"})
    return project


def datasets(project: Project) -> tuple[Dataset, Dataset]:
    params = project.load()
    return task_data.dataset_of(params, "replay"), task_data.dataset_of(params, "expert")


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `results` with both levels, collected in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("collected"))
        project = Project().set(f"collect.{ENV}", RECIPE)
        project.set("tasks.expert", {**project.settings["tasks"]["replay"], "dataset": f"collect:{ENV}/expert"})
        collect.collect(project.load(), ENV, [dataset.fingerprint for dataset in datasets(project)])
        assert len(store.JOURNAL.read_text().splitlines()) == 2
        return Path("results").resolve()


@pytest.fixture
def both(recipe: Project, collected: Path) -> Project:
    shutil.copytree(collected, "results")
    return recipe


def test_collected_levels_are_there_and_load(both: Project) -> None:
    for dataset, steps in zip(datasets(both), (40, 30), strict=True):
        assert store.dataset_problem(dataset) is None
        raw, digest = load.load(dataset)
        assert len(raw) == steps
        assert digest == content_hash(raw) == json.loads((dataset.path / "dataset.json").read_text())["sha256"]
        assert raw.observations.shape == (steps, 4)


def test_what_is_there_is_not_collected_again(both: Project) -> None:
    replay, expert = datasets(both)
    before = (replay.path / "dataset.json").stat().st_mtime_ns
    collect.collect(both.load(), ENV, [replay.fingerprint, expert.fingerprint])
    assert (replay.path / "dataset.json").stat().st_mtime_ns == before
    assert not store.JOURNAL.exists()


def test_collected_data_that_were_changed(both: Project) -> None:
    replay, _ = datasets(both)
    note = json.loads((replay.path / "dataset.json").read_text())
    (replay.path / "dataset.json").write_text(json.dumps({**note, "sha256": "0" * 64}))
    assert store.dataset_problem(replay) is None
    with pytest.raises(UserError, match=f"{replay.path}: .* make it again"):
        load.load(replay)


def test_collected_data_that_are_not_there(recipe: Project) -> None:
    replay, _ = datasets(recipe)
    with pytest.raises(UserError, match=str(replay.path)):
        load.load(replay)


def test_a_recipe_that_changed_since_the_job_was_planned(recipe: Project) -> None:
    old = [dataset.fingerprint for dataset in datasets(recipe)]
    changed = recipe.set(f"collect.{ENV}.levels.expert.transitions", 31).load()
    with pytest.raises(UserError, match=f"its recipe for {ENV} no longer gives {old[1]}. Nothing was written"):
        collect.collect(changed, ENV, old)
    assert not Path("results").exists()


# Data of recorded policies


@pytest.fixture
def policies(project: Project) -> Project:
    """A project whose task `replay` is on 450 steps of a recorded policy in Pendulum."""
    recipe = {"policies": {"files": ["Pendulum-v1-5000"]}, "levels": {"mixed": {"transitions": 450}}}
    project.set("collect.Pendulum-v1", recipe)
    return project.set("tasks.replay", {"dataset": "collect:Pendulum-v1/mixed", "reference_returns": [-1250, -120]})


def test_recorded_policies_are_collected_from_the_command_line(policies: Project) -> None:
    dataset = task_data.dataset_of(policies.load(), "replay")
    assert main(["collect", "Pendulum-v1", "--datasets", dataset.fingerprint]) == 0
    assert store.dataset_problem(dataset) is None
    assert load.load(dataset)[0].observations.shape == (450, 3)
    recipe = json.loads((dataset.path / "dataset.json").read_text())["recipe"]
    assert recipe == {
        "seed": 0,
        "policies": {"files": ["Pendulum-v1-5000"], "noise": [0.0, 1.0], "mixture": "replace"},
        "levels": {"mixed": {"at_step": None, "at_return": None, "transitions": 450}},
    }
    before = (dataset.path / "dataset.json").stat().st_mtime_ns
    assert main(["collect", "Pendulum-v1", "--datasets", dataset.fingerprint]) == 0
    assert (dataset.path / "dataset.json").stat().st_mtime_ns == before
    assert len(store.JOURNAL.read_text().splitlines()) == 1


def test_a_study_on_recorded_policies_trains(policies: Project) -> None:
    """From the recipe to the scores, with a policy that was recorded here."""
    assert main(["behaviours", "Pendulum-v1", "--steps", "40", "60", "--folder", "mine"]) == 0
    assert sorted(path.name for path in Path("mine").iterdir()) == [
        "Pendulum-v1-40.safetensors", "Pendulum-v1-60.safetensors",
    ]  # fmt: skip
    policies.set("collect.Pendulum-v1.policies.files", ["Pendulum-v1-5000", "mine/Pendulum-v1-60.safetensors"])
    policies.set("experiments.main.tasks", ["replay"])
    study = policies.plan()
    group = study.cells[0].group
    assert main(["collect", "Pendulum-v1", "--datasets", group.dataset.fingerprint]) == 0
    assert main(["train", "replay", group.name, "--seeds", "0-1"]) == 0
    assert all(store.run_problem(run) is None for run in study.runs())


def test_steps_that_do_not_ascend(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.load()
    assert main(["behaviours", "Pendulum-v1", "--steps", "60", "40"]) == 1
    said = "dac: --steps: found 60 40; give whole numbers from 1 on, in ascending order.\n"
    assert capsys.readouterr().err == said


def test_a_policys_file_that_is_something_else(policies: Project, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.safetensors").write_text("something else")
    policies.set("collect.Pendulum-v1.policies.files", ["mine.safetensors"])
    dataset = task_data.dataset_of(policies.load(), "replay")
    assert main(["collect", "Pendulum-v1", "--datasets", dataset.fingerprint]) == 1
    assert "dac: mine.safetensors: not readable as a recorded policy" in capsys.readouterr().err
    assert not dataset.path.exists()
