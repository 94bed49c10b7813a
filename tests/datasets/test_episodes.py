"""Minari datasets whose arrays do not belong together, as files: refused at once, by the name of the episode."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage
from tiny import Project
from unprivileged import somebody_else
from writing import writer

from dac.datasets import episodes, folder, load, minari
from dac.envs import minari_spec
from dac.rows.raw import content_hash
from dac.study import identity
from dac.study.identity import dataset_named
from dac.system.errors import UserError

STEPS = 40
ID = "own/six-v0"
BOX, UNIT = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32), gym.spaces.Box(-3.0, 3.0, (1,), np.float32)
GOALS = gym.spaces.Dict(
    {
        "observation": BOX,
        "achieved_goal": gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
        "desired_goal": gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
    }
)


def write(root: Path, space: gym.Space[object] = BOX, data_format: str = "hdf5", dataset_id: str = ID) -> Path:
    """Six episodes of 40 steps in Minari's folder; returns its `data`."""
    data = (root / dataset_id / "data").resolve()
    data.mkdir(parents=True)
    storage = MinariStorage.new(data, space, UNIT, data_format=data_format)
    storage.update_metadata({"dataset_id": dataset_id, "minari_version": minari.minari.__version__})
    random = np.random.default_rng(0)
    flags = np.arange(STEPS) == STEPS - 1

    def observed(width: int) -> np.ndarray:
        return random.normal(size=(STEPS + 1, width)).astype(np.float32)

    def observations() -> object:
        if isinstance(space, gym.spaces.Dict):
            return {key: observed(item.shape[0]) for key, item in space.spaces.items()}  # type: ignore[index]
        return observed(4)

    storage.update_episodes(
        EpisodeBuffer(
            id=number,
            observations=observations(),  # type: ignore[arg-type]
            actions=random.uniform(-3, 3, (STEPS, 1)).astype(np.float32),  # type: ignore[arg-type]
            rewards=random.normal(size=STEPS),  # type: ignore[arg-type]
            terminations=flags & (number % 2 == 0),  # type: ignore[arg-type]
            truncations=flags & (number % 2 == 1),  # type: ignore[arg-type]
            infos={},
        )
        for number in range(6)
    )
    return data


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.fixture
def data(project: Project, root: Path) -> Path:
    return write(root)


def fetch(dataset_id: str = ID) -> identity.Dataset:
    project = Project()
    project.set("tasks.pendulum.dataset", f"minari:{dataset_id}")
    dataset = dataset_named(f"minari:{dataset_id}", project.load().collect)
    load.fetch(dataset, ())
    return dataset


def change(data: Path, key: str, make: Callable[[np.ndarray], np.ndarray]) -> None:
    with h5py.File(data / "main_data.hdf5", "r+") as file:
        values = make(file[key][()])
        del file[key]
        file[key] = values


def longer(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, values[-1:]])


def shorter(values: np.ndarray) -> np.ndarray:
    return values[:-1]


def early(values: np.ndarray) -> np.ndarray:
    values[4] = True
    return values


def nan(values: np.ndarray) -> np.ndarray:
    values[7] = np.nan
    return values


def test_what_is_right_is_read(data: Path) -> None:
    raw, digest = load.load(fetch())
    assert (len(raw), raw.terminals.sum(), raw.timeouts.sum()) == (240, 3, 3)
    assert digest == content_hash(raw)
    with h5py.File(data / "main_data.hdf5") as file:
        assert (raw.observations[40:80] == file["episode_1/observations"][:-1]).all()
        assert raw.actions[40:80] == pytest.approx(file["episode_1/actions"][()] / 3, abs=1e-6)


@pytest.mark.parametrize("size", [1, 700, 1000])
def test_blocks_of_any_size_give_the_same_rows(data: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    whole = content_hash(minari.read(data.parent))
    monkeypatch.setattr(episodes, "BLOCK_BYTES", size)
    assert content_hash(minari.read(data.parent)) == whole


def test_rows_that_change_between_their_check_and_their_note(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = folder.publish

    def changed(*arguments: Any, **more: Any) -> Any:
        change(data, "episode_2/actions", lambda values: -values)
        return publish(*arguments, **more)

    monkeypatch.setattr(folder, "publish", changed)
    with pytest.raises(UserError, match=r"those that were read and checked have .*: they changed in between"):
        fetch()
    assert not Path("datasets.lock").exists()
    assert not list(Path("data/datasets").iterdir())


WRONG = [
    ("observations", longer, "observations has 42 rows; expected are 41 .*, for 40 steps: every later row would be sh"),
    ("observations", shorter, "observations has 40 rows; expected are 41 .*the observation after the last step is mis"),
    ("actions", shorter, "actions has 39 rows; expected are 40, for 40 steps"),
    ("actions", longer, "actions has 41 rows; expected are 40, for 40 steps"),
    ("rewards", shorter, "rewards has 39 rows; expected are 40, for 40 steps"),
    ("terminations", longer, "terminations has 41 rows; expected are 40"),
    ("truncations", shorter, "truncations has 39 rows; expected are 40"),
    ("terminations", early, "terminations is true at step 5 of 40; an episode ends once"),
    ("truncations", early, "truncations is true at step 5 of 40; an episode ends once"),
    ("truncations", lambda values: values.astype(np.int64) * 2, "truncations is neither 0 nor 1 in 1 of 40 rows"),
    ("terminations", lambda values: np.where(values, 1.0, np.nan), "terminations is neither 0 nor 1 in 40 of 40 rows"),
    ("observations", lambda values: values[:, :3], r"a row of observations has shape \(3,\); expected is \(4,\)"),
    ("actions", lambda values: values[:, 0], r"a row of actions has shape \(\); expected is \(1,\)"),
    ("rewards", lambda values: values[:, None], r"a row of rewards has shape \(1,\); expected is \(\)"),
    ("rewards", lambda _: np.array(1.0), "rewards is a single value"),
    ("rewards", lambda values: values.astype("S8"), r"rewards holds \|S8; only real numbers"),
]


@pytest.mark.parametrize(("key", "make", "message"), WRONG)
def test_arrays_that_do_not_belong_together(
    data: Path, key: str, make: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    """At the fetch; nothing is recorded and the copy is left as it is."""
    change(data, f"episode_3/{key}", make)
    with pytest.raises(UserError, match=rf"{ID}: episode 3: {message}"):
        fetch()
    assert not Path("datasets.lock").exists()
    assert (data / "main_data.hdf5").is_file()


def beyond(values: np.ndarray) -> np.ndarray:
    values[7] = 9.0
    return values


def test_actions_beyond_the_bounds_of_ones_own_are_refused(data: Path) -> None:
    change(data, "episode_2/actions", beyond)
    with pytest.raises(
        UserError,
        match=r"reach 3, outside of \[-1, 1\], in 1 of 240 rows, the first is row 87 \(row 7 of episode 2\)",
    ):
        fetch()
    assert not Path("datasets.lock").exists()


@pytest.mark.parametrize("dataset_id", ["mujoco/hopper/six-v0", "D4RL/pen/six-v0"])
def test_those_of_a_published_set_are_counted_and_clipped(
    project: Project, root: Path, dataset_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(write(root, dataset_id=dataset_id), "episode_2/actions", beyond)
    dataset = fetch(dataset_id)
    assert "actions of 1 rows reach 3; they are clipped to [-1, 1]" in caplog.text
    assert folder.describe(dataset.path)["rows_with_clipped_actions"] == 1


def test_an_action_without_a_choice(data: Path) -> None:
    path = data / "metadata.json"
    content = json.loads(path.read_text())
    space = {**json.loads(content["action_space"]), "low": [3.0], "high": [3.0]}
    path.write_text(json.dumps({**content, "action_space": json.dumps(space)}))
    with pytest.raises(UserError, match=rf"{ID}: the action space is Box.*: number 0 of an action has one value alone"):
        fetch()


def test_an_episode_that_lost_its_last_step(data: Path) -> None:
    """In all of its arrays, so that they agree with each other."""
    for key in ("observations", "actions", "rewards", "terminations", "truncations"):
        change(data, f"episode_3/{key}", shorter)
    with pytest.raises(UserError, match=r"main_data.hdf5: episode_3 has 39 rows; expected are 40, the steps"):
        fetch()


def test_an_episode_that_was_recorded_in_parts(data: Path) -> None:
    """What it says of its steps is what its last part had."""
    with h5py.File(data / "main_data.hdf5", "r+") as file:
        file["episode_5/truncations"][...] = False
    storage = MinariStorage.read(data)
    (first,) = storage.get_episodes([0])
    more = {key: first[key][:7] for key in ("actions", "rewards", "terminations", "truncations")}
    storage.update_episodes([EpisodeBuffer(id=5, infos={}, observations=first["observations"][:7], **more)])
    assert len(load.load(fetch())[0]) == 247


def test_lengths_that_cancel_each_other(data: Path) -> None:
    change(data, "episode_1/observations", shorter)
    change(data, "episode_4/observations", longer)
    with pytest.raises(UserError, match="episode 1: observations has 40 rows"):
        fetch()


def test_nan_is_refused(data: Path) -> None:
    change(data, "episode_2/actions", nan)
    with pytest.raises(UserError, match="actions has NaN or infinity in 1 rows, the first is row 87"):
        fetch()


@pytest.mark.parametrize(("key", "make", "message"), WRONG)
def test_the_same_when_it_is_loaded(
    data: Path, key: str, make: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    dataset = fetch()
    change(data, f"episode_3/{key}", make)
    with pytest.raises(UserError, match=rf"episode 3: {message}"):
        folder.load(dataset.path)


@pytest.mark.parametrize("key", ["observation", "achieved_goal", "desired_goal"])
def test_every_key_of_a_dictionary_is_compared(project: Project, root: Path, key: str) -> None:
    data = write(root, GOALS)
    assert load.load(fetch())[0].observations.shape == (240, 6)
    change(data, f"episode_5/observations/{key}", shorter)
    with pytest.raises(UserError, match=f"episode 5: observations/{key} has 40 rows; expected are 41"):
        minari.read(data.parent)


def test_a_missing_array(data: Path) -> None:
    with h5py.File(data / "main_data.hdf5", "r+") as file:
        del file["episode_2/rewards"]
    with pytest.raises(UserError, match=r"main_data.hdf5: episode_2 has no array rewards"):
        fetch()


@pytest.mark.parametrize("link", ["external", "group", "virtual"])
def test_contents_in_another_file(data: Path, link: str) -> None:
    with h5py.File(data / "main_data.hdf5", "r+") as file, h5py.File("other.hdf5", "w") as other:
        other["rows"] = file["episode_2/rewards"][()]
        file.copy("episode_2", other, "episode_2")
        del file["episode_2" if link == "group" else "episode_2/rewards"]
        if link == "external":
            file["episode_2/rewards"] = h5py.ExternalLink(str(Path("other.hdf5").resolve()), "/rows")
        elif link == "group":
            file["episode_2"] = h5py.ExternalLink(str(Path("other.hdf5").resolve()), "/episode_2")
        else:
            layout = h5py.VirtualLayout((STEPS,), "f8")
            layout[:] = h5py.VirtualSource(other["rows"])
            file.create_virtual_dataset("episode_2/rewards", layout)
    with pytest.raises(UserError, match=r"main_data.hdf5: .*all contents must be in the file"):
        fetch()


@pytest.mark.parametrize("data_format", ["arrow", "parquet"])
def test_minaris_other_formats(project: Project, root: Path, data_format: str) -> None:
    pytest.importorskip("pyarrow")
    expected = content_hash(minari.read(write(root / "as-hdf5").parent))
    data = write(root, data_format=data_format)
    assert content_hash(load.load(fetch())[0]) == expected
    (path,) = (data / "3").glob("metadata.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_steps": 39}))
    with pytest.raises(UserError, match="episode 3 has 40 rows; expected are 39"):
        minari.read(data.parent)


# A user's own copy


@pytest.mark.parametrize("count", [5, 7])
def test_another_number_of_episodes_than_the_metadata_says(data: Path, count: int) -> None:
    path = data / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_episodes": count}))
    with pytest.raises(UserError, match=f"it has 6 episodes, metadata.json says {count}. If a program still records"):
        fetch()


def test_an_episode_that_was_added_after_the_fetch(data: Path) -> None:
    fetch()
    shutil.copytree(data, "kept")
    lock = Path("datasets.lock").read_text()
    storage = MinariStorage.read(data)
    (first,) = storage.get_episodes([0])
    storage.update_episodes([EpisodeBuffer(**{**first, "id": 6, "infos": {}})])
    with pytest.raises(
        UserError, match=r"episodes were added or changed since. Put the earlier copy back; or give the new data an id"
    ) as error:
        fetch()
    assert "elete that copy" not in str(error.value)
    assert Path("datasets.lock").read_text() == lock
    # Whoever plans says so, as often as it is asked, and no longer once the earlier copy is back.
    project = Project().set("tasks.pendulum.dataset", f"minari:{ID}")
    with pytest.raises(UserError, match=rf"main_data.hdf5 has another size .*`dac fetch minari:{ID}` compares it"):
        project.plan()
    shutil.rmtree(data)
    shutil.copytree("kept", data)
    assert project.plan().cells[0].group.dataset.name == ID


def test_an_episode_that_was_added_in_another_format(project: Project, root: Path) -> None:
    """It is a folder of its own, and no file that was there changes but metadata.json."""
    pytest.importorskip("pyarrow")
    data = write(root, data_format="arrow")
    fetch()
    storage = MinariStorage.read(data)
    (first,) = storage.get_episodes([0])
    storage.update_episodes([EpisodeBuffer(**{**first, "id": 6, "infos": {}})])
    project.set("tasks.pendulum.dataset", f"minari:{ID}")
    with pytest.raises(UserError, match=rf"{data} has more episodes than when it was fetched \(6 is new\)"):
        project.plan()
    with pytest.raises(
        UserError, match=rf"^{data}: its rows have the content hash .*Put the earlier copy back; or move"
    ):
        fetch()


def test_a_collector_that_has_it_open(data: Path) -> None:
    with (
        writer(f"file = h5py.File({str(data / 'main_data.hdf5')!r}, 'a')"),
        pytest.raises(UserError, match=r"main_data.hdf5: another program holds it open for writing. Let that end"),
    ):
        fetch()
    assert not Path("datasets.lock").exists()
    assert len(load.load(fetch())[0]) == 240


def test_a_recording_that_was_never_ended(data: Path) -> None:
    (data / "metadata.json").unlink()
    with pytest.raises(UserError, match=rf"{ID}: no Minari dataset here .*whole after its create_dataset") as error:
        fetch()
    assert "elete" not in str(error.value)


@pytest.mark.parametrize("text", ["[]", "{", '{"total_episodes": 6}'])
def test_metadata_that_are_not_minaris(data: Path, text: str) -> None:
    (data / "metadata.json").write_text(text)
    with pytest.raises(UserError, match=rf"{ID}"):
        fetch()


def test_spaces_are_never_taken_from_an_environment(data: Path) -> None:
    """Minari itself would make the environment of the specification for them."""
    path = data / "metadata.json"
    content = json.loads(path.read_text())
    del content["observation_space"]
    spec = {"id": "Own-v0", "entry_point": "os:getcwd", "additional_wrappers": []}
    path.write_text(json.dumps({**content, "env_spec": json.dumps(spec)}))
    with pytest.raises(UserError, match=r"metadata.json has no readable observation_space"):
        fetch()


def test_the_folder_of_a_dataset_that_is_gone(data: Path) -> None:
    dataset = fetch()
    shutil.rmtree(data.parent)
    with pytest.raises(UserError, match="no Minari dataset here"):
        load.load(dataset)


def test_a_copy_without_permission_is_a_sentence(data: Path) -> None:
    (data / "metadata.json").chmod(0)
    Path().chmod(0o777)
    with (
        somebody_else(),
        pytest.raises(UserError, match=r"metadata.json: it may not be read .*Correct the permissions"),
    ):
        minari_spec.metadata(Path("minari") / ID / "data")
    (data / "metadata.json").chmod(0o644)
    Path("minari").chmod(0)
    with (
        somebody_else(),
        pytest.raises(UserError, match=r"minari cannot be used .*Permission denied.* Correct the perm"),
    ):
        fetch()
    assert not Path("datasets.lock").exists()
