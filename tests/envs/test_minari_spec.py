"""Environments that data name: nothing of what they say is run or imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
from recorded_data import fetched, record, task
from tiny import COMPUTE, Project, write_rows

from dac import envs
from dac.cli import main
from dac.datasets import load
from dac.envs import minari_spec
from dac.study import task_data
from dac.system.errors import UserError
from dac.training.trainer import train

PENDULUM = "own/pendulum-v0"
MODULE = """
import pathlib
import gymnasium
from gymnasium.envs.mujoco.inverted_pendulum_v5 import InvertedPendulumEnv

pathlib.Path(__file__).with_name("imported").touch()


def make(*_, **__):
    pathlib.Path(__file__).with_name("called").touch()
    return InvertedPendulumEnv()


gymnasium.register("Planted-v0", entry_point="planted:make", max_episode_steps=9)
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module on the path that leaves a mark where it is imported, and one where it is called."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    folder = tmp_path / "planted"
    folder.mkdir()
    (folder / "planted.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("planted", None)
    gym.registry.pop("Planted-v0", None)


def marks(planted: Path) -> list[str]:
    return sorted(path.name for path in planted.iterdir() if path.suffix != ".py" and path.is_file())


def specification(dataset_id: str, key: str = "env_spec", **changes: Any) -> None:
    """Record a pendulum and change what its metadata say of the environment."""
    record(gym.make("InvertedPendulum-v5"), dataset_id, steps=40)
    path = Path("minari") / dataset_id / "data/metadata.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, key: json.dumps({**json.loads(content["env_spec"]), **changes})}))


WRAPPER = [{"name": "Planted", "entry_point": "planted:make", "kwargs": {}}]
EXPLOITS = [
    ("env_spec", {"entry_point": "planted:make"}),
    ("env_spec", {"entry_point": "planted:make", "id": "Planted-v0"}),
    ("env_spec", {"id": "planted:Planted-v0"}),
    ("env_spec", {"additional_wrappers": WRAPPER}),
    ("env_spec", {"vector_entry_point": "planted:make"}),
    ("env_spec", {"kwargs": {"xml_file": "/tmp/other.xml"}}),
    ("env_spec", {"kwargs": {"env_id": "planted:Planted-v0"}}),
    ("eval_env_spec", {"entry_point": "planted:make"}),
    ("eval_env_spec", {"entry_point": "planted:make", "id": "Planted-v0"}),
    ("eval_env_spec", {"id": "planted:Planted-v0"}),
    ("eval_env_spec", {"additional_wrappers": WRAPPER}),
]


@pytest.mark.parametrize(("key", "changes"), EXPLOITS)
def test_a_minari_dataset_runs_nothing(
    project: Project, planted: Path, key: str, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither at the fetch nor in training: it is trained in the registered environment, or refused in a sentence."""
    specification(PENDULUM, key, **changes)
    group = task(project, PENDULUM).group()
    assert main(["fetch", "pendulum"]) == 0
    status = main(["train", "pendulum", group.name, "--seeds", "0"])
    assert marks(planted) == []
    said = capsys.readouterr().err
    assert "Traceback" not in said
    if status:
        assert "Give the task's env in params.yaml" in said
    else:
        env = envs.make(group.env)
        assert type(env.unwrapped).__module__ == "gymnasium.envs.mujoco.inverted_pendulum_v5"


@pytest.mark.parametrize("value", ["planted:Planted-v0", np.bytes_("planted:Planted-v0")])
def test_an_hdf5_file_imports_nothing(project: Project, planted: Path, value: object) -> None:
    with h5py.File("data/pendulum.hdf5", "r+") as file:
        file["metadata/env_id"] = value
    del project.settings["tasks"]["pendulum"]["env"]
    with pytest.raises(UserError, match=r"env_id of data/pendulum.hdf5 is 'planted:Planted-v0'.* Give the task's env"):
        project.plan()
    project.set("tasks.pendulum.env", "InvertedPendulum-v5")
    load.load(task_data.dataset_of(project.load(), "pendulum"))
    assert marks(planted) == []


def test_the_lock_imports_nothing(project: Project, planted: Path) -> None:
    """A clone's datasets.lock is others' data, too."""
    del project.settings["tasks"]["pendulum"]["env"]
    content = {"file:data/pendulum.hdf5": {"sha256": "0" * 64, "env": "planted:Planted-v0"}}
    Path("datasets.lock").write_text(json.dumps(content))
    Path("data/pendulum.hdf5").unlink()
    with pytest.raises(UserError, match="'planted:Planted-v0'"):
        project.plan()
    assert marks(planted) == []


def test_a_conversion_imports_nothing(project: Project, planted: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write_rows(Path("own.hdf5"))
    with h5py.File("own.hdf5", "r+") as file:
        file["metadata/env_id"] = "planted:Planted-v0"
    dataset = task_data.dataset_of(project.set("tasks.pendulum.dataset", "file:own.hdf5").load(), "pendulum")
    load.fetch(dataset, ())
    assert "the data name the environment 'planted:Planted-v0', which no installed package registers" in caplog.text
    assert marks(planted) == []


def test_what_the_user_names_is_imported(project: Project, planted: Path) -> None:
    """Gymnasium's own spelling, in params.yaml; with a dataset that was recorded in it."""
    specification(PENDULUM, id="Planted-v0", entry_point="planted:make")
    group = task(project, PENDULUM, env="planted:Planted-v0").group()
    fetched(project)
    train(group, [0], COMPUTE, 1)
    assert marks(planted) == ["called", "imported"]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "NeverInstalled-v3", "entry_point": "nowhere:Env"},
        {"a_field_of_another_gymnasium": True},
        {"kwargs": {"no_such_argument": 1}},
        {"kwargs": ["no", "object"]},
        {"max_episode_steps": "many"},
        {"additional_wrappers": "none"},
        {"id": None},
    ],
)
def test_env_in_params_replaces_a_specification_that_is_of_no_use(
    project: Project, planted: Path, changes: dict[str, Any]
) -> None:
    specification(PENDULUM, **changes)
    group = task(project, PENDULUM, env="InvertedPendulum-v5").group()
    fetched(project)
    train(group, [0], COMPUTE, 1)


def test_a_specification_that_is_no_json(project: Project, planted: Path) -> None:
    specification(PENDULUM)
    path = Path("minari") / PENDULUM / "data/metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "env_spec": "InvertedPendulum-v5"}))
    fetched(task(project, PENDULUM))
    with pytest.raises(UserError, match=r"env_spec is not readable. Give the task's env"):
        envs.make(f"minari:{PENDULUM}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"id": "Never-v3"},
            "the data name the environment 'Never-v3', which no installed package registers. Give the",
        ),
        (
            {"kwargs": {"no_such": 1}},
            "InvertedPendulum-v5 with the recorded arguments .*TypeError: .*no_such.*Give the",
        ),
        ({"kwargs": {"frame_skip": "x"}}, "with the recorded arguments {'frame_skip': 'x'}: .*Give the task's env"),
        ({"max_episode_steps": -1}, "max_episode_steps -1 cannot be used"),
        ({"kwargs": {"xml_file": "../other.xml"}}, "the argument '../other.xml' could name a file or a module"),
    ],
)
def test_a_specification_of_no_use_is_a_sentence(
    project: Project, planted: Path, changes: dict[str, Any], message: str
) -> None:
    specification(PENDULUM, **changes)
    fetched(task(project, PENDULUM))
    with pytest.raises(UserError, match=message):
        envs.make(f"minari:{PENDULUM}")


def test_a_field_of_another_gymnasium_changes_nothing(project: Project, planted: Path) -> None:
    specification(PENDULUM, a_field_of_another_gymnasium={"x": 1})
    fetched(task(project, PENDULUM))
    assert envs.make(f"minari:{PENDULUM}").observation_space.shape == (4,)


def test_plain_arguments_and_the_step_limit_are_kept(project: Project, planted: Path) -> None:
    specification(PENDULUM, kwargs={"reset_noise_scale": 0.5, "render_mode": "human"}, max_episode_steps=7)
    dataset = fetched(task(project, PENDULUM))
    spec = minari_spec.evaluation_spec(dataset.path / "data")
    assert (spec.kwargs, spec.max_episode_steps) == ({"reset_noise_scale": 0.5}, 7)
    assert gym.registry["InvertedPendulum-v5"].kwargs == {}
    env = envs.make(f"minari:{PENDULUM}")
    assert env.unwrapped._reset_noise_scale == 0.5  # type: ignore[attr-defined]


def test_wrappers_without_effect_are_left_out(project: Project, planted: Path) -> None:
    specification(
        PENDULUM,
        additional_wrappers=[
            {"name": "x", "entry_point": "gymnasium.wrappers.common:RecordEpisodeStatistics", "kwargs": {}},
            {"name": "y", "entry_point": "dac.envs:UnitAction", "kwargs": {}},
        ],
    )
    fetched(task(project, PENDULUM))
    assert envs.make(f"minari:{PENDULUM}").action_space == gym.spaces.Box(-1, 1, (1,), np.float32)


def test_another_environment_than_the_recorded_one_is_the_users_choice(
    project: Project, planted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    specification(PENDULUM, id="Own-v0")
    group = task(project, PENDULUM, env="InvertedPendulum-v5").group()
    fetched(project)
    load.refuse_other_version(group)
    assert f"minari:{PENDULUM}: recorded in Own-v0, evaluated in InvertedPendulum-v5" in caplog.text


def test_another_version_of_the_recorded_one_is_refused(project: Project, planted: Path) -> None:
    specification(PENDULUM, id="InvertedPendulum-v7")
    group = task(project, PENDULUM, env="InvertedPendulum-v5").group()
    fetched(project)
    with pytest.raises(
        UserError, match=r"recorded in InvertedPendulum-v7, and versions .* Give InvertedPendulum-v7, or"
    ):
        load.refuse_other_version(group)
