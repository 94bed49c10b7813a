"""Datasets of Minari's: used where Minari keeps them, evaluated in the environment that they recover."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari as library
import numpy as np
import pytest
import reliability
from damage import empty, truncate
from recorded_data import fetched, record, task
from tiny import COMPUTE, Project, publish, publish_study

import dac.envs.d4rl_tasks  # noqa: F401 - registers the environments of gymnasium-robotics, too
from dac import envs
from dac.datasets import load
from dac.envs import minari_spec
from dac.study import plan, store, task_data
from dac.study.identity import Run, dataset_named, fingerprint
from dac.study.pending import Pending
from dac.system.errors import UserError
from dac.training import evaluate
from dac.training.trainer import train

HOPPER = "mujoco/hopper/tiny-v0"
MAZE = "D4RL/antmaze/tiny-v1"
KITCHEN = "D4RL/kitchen/tiny-v2"
POINT = "D4RL/pointmaze/tiny-v2"
MAP = [[1, 1, 1, 1], [1, "r", "g", 1], [1, 1, 1, 1]]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("network is unreachable")

    monkeypatch.setattr(library, "download_dataset", refuse)


def test_minaris_own_copy_is_used(project: Project, root: Path, offline: None) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    dataset = fetched(task(project, HOPPER))
    assert (dataset.path / "data").resolve() == root / HOPPER / "data"
    raw, digest = load.load(dataset)
    assert raw.observations.shape == (60, 11)
    environment = fingerprint(["Hopper-v5", {}, 1000])
    assert json.loads(Path("datasets.lock").read_text()) == {
        f"minari:{HOPPER}": {"evaluation_env": environment, "sha256": digest}
    }
    assert store.dataset_problem(dataset) is None


def test_minaris_folder_may_be_named_by_the_home_folder(
    project: Project, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell fills `~` in, a job's environment file does not."""
    record(gym.make("Hopper-v5"), HOPPER)
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("MINARI_DATASETS_PATH", f"~/{root.name}")
    dataset = fetched(task(project, HOPPER))
    assert (dataset.path / "data").resolve() == root / HOPPER / "data"
    assert not Path("~").exists()


def test_a_copy_that_is_gone_is_missing(project: Project, root: Path) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    dataset = fetched(task(project, HOPPER))
    (root / HOPPER / "data" / "main_data.hdf5").unlink()
    assert store.dataset_problem(dataset) == "incomplete: data/main_data.hdf5"


def test_other_contents_than_the_locks_are_refused(project: Project, root: Path) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    Path("datasets.lock").write_text(json.dumps({f"minari:{HOPPER}": {"sha256": "0" * 64}}))
    dataset = task_data.dataset_of(task(project, HOPPER).load(), "pendulum")
    with pytest.raises(UserError, match=r"have the sha256 .*, but datasets.lock says 000000000000…"):
        load.fetch(dataset, ())
    assert not dataset.path.exists()


def test_without_a_copy_and_a_network(project: Project, offline: None, root: Path) -> None:
    dataset = task_data.dataset_of(task(project, HOPPER).load(), "pendulum")
    with pytest.raises(
        UserError, match=rf"minari:{HOPPER}: not downloaded: ConnectionError.*put the dataset into {root} "
    ):
        load.fetch(dataset, ())
    assert not dataset.path.exists()
    assert not (root / HOPPER).exists()


def arrive(dataset_id: str, whole: bool) -> None:
    """What a download does to Minari's folder, the metadata first."""
    place = Path(os.environ["MINARI_DATASETS_PATH"]) / dataset_id / "data"
    shutil.copytree(Path("elsewhere") / dataset_id / "data", place)
    if not whole:
        (place / "main_data.hdf5").unlink()


@pytest.mark.parametrize("ending", [TimeoutError("timed out"), KeyboardInterrupt()])
def test_a_download_that_breaks_off_does_not_stand_in_the_way(
    project: Project, root: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    """Also where a kill left what had arrived: the next one starts over, and ends well."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(Path("elsewhere").resolve()))
    record(gym.make("Hopper-v5"), HOPPER)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    dataset = task_data.dataset_of(task(project, HOPPER).load(), "pendulum")

    def half(dataset_id: str) -> None:
        arrive(dataset_id, whole=False)
        raise ending

    monkeypatch.setattr(library, "download_dataset", half)
    with pytest.raises((UserError, KeyboardInterrupt)):
        load.fetch(dataset, ())
    assert not (root / HOPPER).exists()
    assert os.environ["MINARI_DATASETS_PATH"] == str(root)
    (root / ".dac/arriving" / HOPPER / "data").mkdir(parents=True)  # as a kill would leave it
    monkeypatch.setattr(library, "download_dataset", lambda dataset_id: arrive(dataset_id, whole=True))
    load.fetch(dataset, ())
    assert len(load.load(dataset)[0]) == 60
    assert not (root / ".dac/arriving").exists()


def test_a_copy_that_cannot_be_opened_is_named_and_kept(project: Project, root: Path) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    (root / HOPPER / "data/main_data.hdf5").unlink()
    dataset = task_data.dataset_of(task(project, HOPPER).load(), "pendulum")
    with pytest.raises(UserError, match=rf"{root}/{HOPPER}/data/main_data.hdf5: no such file.*Restore it"):
        load.fetch(dataset, ())
    assert (root / HOPPER / "data/metadata.json").is_file()


@pytest.mark.soak
@pytest.mark.parametrize("name", ["main_data.hdf5", "metadata.json"])
@pytest.mark.parametrize("damage", [truncate, empty, Path.unlink])
def test_a_damaged_copy_of_minaris_is_named_and_kept(
    damage: Callable[[Path], None], name: str, project: Project, root: Path, offline: None
) -> None:
    """Before it is first read, and after: nothing is trained on it, and nobody downloads over it."""
    record(gym.make("Hopper-v5"), HOPPER)
    whole = Path(shutil.copytree(root / HOPPER, "whole"))
    dataset = task_data.dataset_of(task(project, HOPPER).load(), "pendulum")
    path = root / HOPPER / "data" / name

    damage(path)
    with pytest.raises(UserError, match=rf"^{root}/{HOPPER}"):
        load.fetch(dataset, ())
    assert not dataset.path.exists()
    shutil.copytree(whole, root / HOPPER, dirs_exist_ok=True)
    rows, _ = load.load(fetched(project))
    damage(path)
    before = {found: found.read_bytes() for found in (root / HOPPER).rglob("*") if found.is_file()}
    with pytest.raises(UserError, match=rf"{HOPPER}|{dataset.path}"):
        load.load(dataset)
    assert {found: found.read_bytes() for found in (root / HOPPER).rglob("*") if found.is_file()} == before
    shutil.copytree(whole, root / HOPPER, dirs_exist_ok=True)
    assert (load.load(dataset)[0].observations == rows.observations).all()
    reliability.record(
        "fault", f"Minari's own copy damaged: {name}", "refused by its name and kept; mended, it is used"
    )


def test_a_specification_that_an_older_gymnasium_wrote(project: Project, root: Path) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    path = root / HOPPER / "data/metadata.json"
    content = json.loads(path.read_text())
    old = {"id": None, "order_enforce": True, "autoreset": False, "disable_env_checker": False}
    spec = {**old, "apply_api_compatibility": False, **json.loads(content["env_spec"])}
    path.write_text(json.dumps({**content, "env_spec": json.dumps(spec)}))
    dataset = fetched(task(project, HOPPER))
    assert minari_spec.recorded_env(dataset.path / "data") == "Hopper-v5"
    assert envs.make(f"minari:{HOPPER}").observation_space.shape == (11,)


def test_a_recorded_wrapper_that_cannot_be_made_again(project: Project, root: Path) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    path = root / HOPPER / "data/metadata.json"
    content = json.loads(path.read_text())
    spec = json.loads(content["env_spec"])
    spec["additional_wrappers"] = [{"name": "Monitor", "entry_point": "own.wrappers:Monitor", "kwargs": None}]
    path.write_text(json.dumps({**content, "env_spec": json.dumps(spec)}))
    fetched(task(project, HOPPER))
    with pytest.raises(
        UserError, match=r"cannot be made as it was recorded, .*Monitor.* Give the task's env in params.yaml"
    ):
        envs.make(f"minari:{HOPPER}")


def test_the_project_keeps_to_the_copy_that_it_fetched(
    project: Project, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another shell, without the variable."""
    record(gym.make("Hopper-v5"), HOPPER)
    dataset = fetched(task(project, HOPPER))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root / "other"))
    assert len(load.load(dataset)[0]) == 60
    assert envs.make(f"minari:{HOPPER}").observation_space.shape == (11,)


def test_the_lock_is_compared_and_mended_with_the_folder_there(project: Project) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    dataset = fetched(task(project, HOPPER))
    text = Path("datasets.lock").read_text()
    Path("datasets.lock").unlink()
    load.fetch(dataset, ())
    assert Path("datasets.lock").read_text() == text
    digest = json.loads(text)[f"minari:{HOPPER}"]["sha256"]
    Path("datasets.lock").write_text(text.replace(digest, "0" * 64))
    with pytest.raises(UserError, match=r"but datasets.lock says 000000000000…"):
        load.load(dataset)


def test_another_environment_in_the_metadata_is_not_evaluated_in(project: Project, root: Path) -> None:
    """The rows are the same, and so are the dataset's hash and the runs' folders: scores would be of two of them."""
    record(gym.make("Hopper-v5"), HOPPER)
    fetched(task(project, HOPPER))
    path = root / HOPPER / "data/metadata.json"
    content = json.loads(path.read_text())
    spec = json.loads(content["env_spec"])
    path.write_text(json.dumps({**content, "env_spec": json.dumps({**spec, "kwargs": {"healthy_reward": 1000.0}})}))
    with pytest.raises(UserError, match=r"which is not what it was when datasets.lock recorded it"):
        envs.make(f"minari:{HOPPER}")
    path.write_text(json.dumps(content))
    envs.make(f"minari:{HOPPER}").close()


def test_a_lock_of_before_learns_the_environment(project: Project) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    own = task(project, HOPPER)
    fetched(own)
    text = Path("datasets.lock").read_text()
    content = json.loads(text)
    del content[f"minari:{HOPPER}"]["evaluation_env"]
    Path("datasets.lock").write_text(json.dumps(content))
    fetched(own)
    assert Path("datasets.lock").read_text() == text


@pytest.mark.parametrize(
    ("largest", "said"), [(0.4, None), (5.0, "actions reach 5, outside of [-1, 1], in 60 of 60 rows")]
)
def test_actions_of_an_unbounded_space_must_be_in_the_unit_box(
    largest: float, said: str | None, project: Project, root: Path
) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    path = root / HOPPER / "data"
    content = json.loads((path / "metadata.json").read_text())
    space = json.loads(content["action_space"])
    space.update(low=[float("-inf")] * 3, high=[float("inf")] * 3)
    (path / "metadata.json").write_text(json.dumps({**content, "action_space": json.dumps(space)}))
    with h5py.File(path / "main_data.hdf5", "r+") as file:
        for episode in file.values():
            episode["actions"][...] = largest
    if said is None:
        fetched(task(project, HOPPER))
        return
    with pytest.raises(UserError, match=re.escape(said)):
        load.fetch(task(project, HOPPER).group().dataset, [])
    assert not Path("datasets.lock").exists()


def test_the_version_is_asked_for(project: Project) -> None:
    with pytest.raises(UserError, match=r"tasks.pendulum.dataset: found 'minari:D4RL/door/human'; give the version"):
        task(project, "D4RL/door/human").load()


def test_nan_is_refused_before_a_night_of_training(project: Project) -> None:
    env = gym.wrappers.TransformReward(gym.make("Hopper-v5"), lambda reward: reward if reward < 1.0 else np.nan)
    record(env, HOPPER)
    with pytest.raises(UserError, match=r"rewards has NaN or infinity in \d+ rows"):
        fetched(task(project, HOPPER))


def test_trained_and_evaluated_in_the_recovered_environment(project: Project) -> None:
    record(gym.make("Hopper-v5", max_episode_steps=7), HOPPER)
    group = task(project, HOPPER).group()
    assert group.env == f"minari:{HOPPER}"
    fetched(project)
    train(group, [0], COMPUTE, 1)
    found = plan.study_plan(project.load(), "tiny").evaluations()[group]
    evaluate.evaluate(group, [0], list(found[:1]), COMPUTE, 1)
    assert store.has_evaluation(Run(group, 0), found[0])
    env = envs.make(group.env)
    assert env.spec is not None
    assert (env.spec.id, env.spec.max_episode_steps) == ("Hopper-v5", 7)


def test_an_evaluation_alone_asks_for_the_data_it_recovers_from(project: Project) -> None:
    group = task(project, HOPPER).group()
    pending = Pending(project.load(), "5e5510")
    marker = f"work/todo/5e5510/fetch/pendulum/{group.dataset.fingerprint}"
    for seed in (0, 1):
        publish(Run(group, seed))
    assert pending.trainings(group, [0, 1]) == [marker]


def test_a_clone_with_everything_published_fetches_nothing(project: Project) -> None:
    found = task(project, HOPPER).plan()
    publish_study(found)
    pending = Pending(project.load(), "5e5510")
    assert pending.runs("tiny") == []
    assert pending.report("tiny") == []


def test_another_version_of_the_environment_is_refused(project: Project) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    group = task(project, HOPPER, env="Hopper-v4").group()
    fetched(project)
    with pytest.raises(UserError, match=r"tasks.pendulum.env: found Hopper-v4; minari:.* was recorded in Hopper-v5"):
        train(group, [0], COMPUTE, 1)


def test_an_environment_that_no_longer_exists(project: Project, root: Path) -> None:
    record(gym.make("Hopper-v5"), HOPPER)
    fetched(task(project, HOPPER))
    path = root / HOPPER / "data/metadata.json"
    path.write_text(path.read_text().replace("Hopper-v5", "Hopper-v9"))
    with pytest.raises(
        UserError, match=r"env_spec: the data name the environment 'Hopper-v9', which no installed pack"
    ):
        envs.make(f"minari:{HOPPER}")


def test_a_maze_in_its_evaluation_environment(project: Project) -> None:
    """Goal dictionaries: [position, rest]; the episode ends at the goal, though the data's task goes on."""
    maze: dict[str, Any] = {"maze_map": MAP, "continuing_task": True}
    other = gym.make("AntMaze_UMaze-v4", max_episode_steps=9, **maze)
    record(gym.make("AntMaze_UMaze-v4", max_episode_steps=30, **maze), MAZE, eval_env=other)
    dataset = fetched(task(project, MAZE))
    raw, _ = load.load(dataset)
    assert raw.observations.shape == (60, 29)
    recorded = library.load_dataset(MAZE)[0].observations
    assert (raw.observations[:5, :2] == recorded["achieved_goal"][:5].astype(np.float32)).all()
    env = envs.make(f"minari:{MAZE}")
    assert env.spec is not None
    assert (env.spec.max_episode_steps, env.spec.kwargs["continuing_task"]) == (9, False)
    env.reset(seed=0)
    inner: Any = env.unwrapped
    inner.goal = inner.ant_env.data.qpos[:2].copy()
    _, reward, terminated, _, _ = env.step(np.zeros(8, np.float32))
    assert (reward, terminated) == (1.0, True)
    assert task_data.references(
        project.load().tasks["pendulum"].model_copy(update={"reference_returns": None}), "x"
    ) == (
        0,
        1,
    )


def point_maze(**arguments: Any) -> Any:
    return gym.make("PointMaze_UMaze-v3", max_episode_steps=20, maze_map=MAP, continuing_task=True, **arguments)


def test_a_point_maze_sees_its_goal_and_ends_there(project: Project, root: Path) -> None:
    """As Minari's own: an episode is cut off where it reaches the goal, and the next one has another."""
    record(point_maze(reset_target=True), POINT)
    path = root / POINT / "data/main_data.hdf5"
    with h5py.File(path, "r+") as file:
        goal = file["episode_0/observations/desired_goal"][:20]
        state = file["episode_0/observations/observation"][:20]
        for number, last in enumerate((1.0, 0.0, 0.0)):
            file[f"episode_{number}/rewards"][-1] = last
    raw, _ = load.load(fetched(task(project, POINT)))
    assert (raw.observations[:20] == np.concatenate([state, goal], axis=1).astype(np.float32)).all()
    assert np.flatnonzero(raw.terminals).tolist() == [19]
    assert np.flatnonzero(raw.timeouts).tolist() == [39, 59]
    env = envs.make(f"minari:{POINT}")
    inner: Any = env.unwrapped
    first, _ = env.reset(seed=0)
    assert first[4:] == pytest.approx(inner.goal)
    inner.goal = inner.point_env.data.qpos[:2].copy()
    _, reward, terminated, _, _ = env.step(np.zeros(2, np.float32))
    assert (reward, terminated) == (1.0, True)


def test_dense_rewards_of_a_maze_add_up_until_the_step_limit(project: Project) -> None:
    record(point_maze(reward_type="dense"), POINT)
    fetched(task(project, POINT))
    env = envs.make(f"minari:{POINT}")
    env.reset(seed=0)
    inner: Any = env.unwrapped
    inner.goal = inner.point_env.data.qpos[:2].copy()
    _, reward, terminated, _, _ = env.step(np.zeros(2, np.float32))
    assert reward == pytest.approx(1.0, abs=1e-3)
    assert not terminated


def test_a_kitchens_object_counts_once(project: Project) -> None:
    kitchen = {"tasks_to_complete": ["kettle", "microwave"], "max_episode_steps": 20}
    record(gym.make("FrankaKitchen-v1", remove_task_when_completed=False, **kitchen), KITCHEN, steps=20)
    fetched(task(project, KITCHEN))
    env = envs.make(f"minari:{KITCHEN}")
    env.reset(seed=0)
    inner: Any = env.unwrapped
    inner.goal["kettle"] = inner.robot_env.data.qpos[23:30].copy()
    rewards = [env.step(np.zeros(9, np.float32))[1] for _ in range(3)]
    assert rewards == [1.0, 0.0, 0.0]


def test_the_kitchens_observation_is_taken_alone(project: Project) -> None:
    record(gym.make("FrankaKitchen-v1", tasks_to_complete=["kettle"], max_episode_steps=20), KITCHEN, steps=20)
    raw, _ = load.load(fetched(task(project, KITCHEN)))
    assert raw.observations.shape == (20, 59)
    assert envs.make(f"minari:{KITCHEN}").observation_space.shape == (59,)


def test_actions_are_brought_to_the_unit_box(project: Project) -> None:
    record(gym.make("InvertedPendulum-v5"), "own/pendulum-v0")
    raw, _ = load.load(fetched(task(project, "own/pendulum-v0")))
    recorded = np.concatenate([episode.actions for episode in library.load_dataset("own/pendulum-v0")])
    assert np.abs(recorded).max() > 1.0
    assert raw.actions == pytest.approx(recorded / 3.0, abs=1e-6)


def test_references_of_minaris_metadata_where_no_catalog_has_them(project: Project) -> None:
    record(gym.make("InvertedPendulum-v5"), "own/pendulum-v0", ref_min_score=5.0, ref_max_score=95.0)
    task(project, "own/pendulum-v0").set("tasks.pendulum.reference_returns", None)
    with pytest.raises(
        UserError, match=r"No reference returns are known for minari:own/pendulum-v0. .*Or set reference_returns"
    ):
        project.plan()
    fetched(project)
    assert project.plan().cells[0].evaluations[0].reference == (5.0, 95.0)


@pytest.mark.parametrize(
    "found", [(5.0, 5.0), (95.0, 5.0), (float("nan"), 5.0), (5.0, float("inf")), ("5", "95"), (False, True), ([5], 95)]
)
def test_references_of_minaris_metadata_that_are_none(
    project: Project, root: Path, found: tuple[object, object], caplog: pytest.LogCaptureFixture
) -> None:
    """They stay unknown, and can be mended."""
    record(gym.make("InvertedPendulum-v5"), "own/pendulum-v0")
    path = root / "own/pendulum-v0/data/metadata.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "ref_min_score": found[0], "ref_max_score": found[1]}))
    task(project, "own/pendulum-v0").set("tasks.pendulum.reference_returns", None)
    dataset = dataset_named("minari:own/pendulum-v0", project.load().collect)
    load.fetch(dataset, ())
    assert f"{found[0]!r} and {found[1]!r}, which cannot be scores 0 and 100: allowed are finite numbers" in caplog.text
    assert "They are left out; set reference_returns: [min, max] of its tasks" in caplog.text
    assert "reference_returns" not in Path("datasets.lock").read_text()
    with pytest.raises(UserError, match=r"No reference returns are known for minari:own/pendulum-v0. "):
        project.plan()
    path.write_text(json.dumps({**content, "ref_min_score": 5, "ref_max_score": 95}))
    dataset.path.rename("aside")
    load.fetch(dataset, ())
    assert project.plan().cells[0].evaluations[0].reference == (5.0, 95.0)


def test_references_are_d4rls_where_the_metadata_have_others(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    record(gym.make("Hopper-v5"), HOPPER, ref_min_score=1.0, ref_max_score=2.0)
    task(project, HOPPER).set("tasks.pendulum.reference_returns", None)
    caplog.set_level("INFO")
    fetched(project)
    assert "its metadata has the references [1.0, 2.0]; scores here use D4RL's, (-20.272305, 3234.3)" in caplog.text
    assert project.plan().cells[0].evaluations[0].reference == (-20.272305, 3234.3)
