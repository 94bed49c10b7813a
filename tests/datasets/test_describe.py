"""`dac datasets`: the list, and a description whose numbers are known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny import Project, write_rows

from dac import envs
from dac.cli import main
from dac.datasets import load
from dac.datasets.describe import describe, listing
from dac.study import task_data


def line(text: str, start: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return re.sub(r" +", " ", found)


def test_the_list_says_what_is_here_and_right(project: Project) -> None:
    project.set("tasks.again", {**project.settings["tasks"]["pendulum"]})
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4"})
    project.set("tasks.moons", {"dataset": "bandit:two-moons", "env": "Bandit2D-v0"})
    text = listing(project.load())
    own = "file:data/pendulum.hdf5 pendulum, again 0.0 MB, to be converted verified data/pendulum.hdf5"
    assert line(text, "file:") == own
    address = "http://rail.eecs.berkeley.edu/datasets/offline_rl/gym_mujoco_v2/hopper_medium-v2.hdf5"
    assert line(text, "d4rl:") == f"d4rl:hopper-medium-v2 hopper to be fetched - {address}"
    assert line(text, "collect:").endswith("replay to be collected - -")
    assert line(text, "bandit:") == "bandit:two-moons moons drawn when needed - -"
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    assert "WRONG: data/pendulum.hdf5: its sha256 is" in line(listing(project.load()), "file:")


def test_the_list_says_where_data_would_come_from(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place on this machine that has the file, before any address; the first address that would be asked."""
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2"})
    project.set("tasks.maze", {"dataset": "minari:D4RL/antmaze/umaze-v1", "reference_returns": [0.0, 1.0]})
    monkeypatch.setenv("MINARI_DATASETS_PATH", "minari")
    assert line(listing(project.load()), "minari:").endswith(" Minari's server")
    Path("minari/D4RL/antmaze/umaze-v1").mkdir(parents=True)
    assert line(listing(project.load()), "minari:").endswith(" minari/D4RL/antmaze/umaze-v1")
    project.set("compute.d4rl_mirrors", ["https://near.example/d4rl", "~/mine"])
    near = "https://near.example/d4rl/gym_mujoco_v2/hopper_medium-v2.hdf5"
    assert line(listing(project.load()), "d4rl:").endswith(f" {near}")
    monkeypatch.setenv("HOME", str(tmp_path))
    for place, shown in [
        ("mine/hopper-medium-v2.hdf5", "~/mine/hopper-medium-v2.hdf5"),
        ("cache/hopper_medium-v2.hdf5", f"{tmp_path}/cache/hopper_medium-v2.hdf5"),
        ("data/d4rl/hopper_medium-v2.hdf5", "data/d4rl/hopper_medium-v2.hdf5"),
    ]:
        monkeypatch.setenv("D4RL_DATASET_DIR", f"{tmp_path}/cache")
        write_rows(Path(place))
        assert line(listing(project.load()), "d4rl:").endswith(f" {shown}")


def test_what_is_converted_is_compared_with_its_note(project: Project) -> None:
    dataset = task_data.dataset_of(project.load(), "pendulum")
    load.load(dataset)
    right = " MB verified data/pendulum.hdf5"
    assert line(listing(project.load()), "file:").endswith(right)
    Path("data/pendulum.hdf5").unlink()
    assert line(listing(project.load()), "file:").endswith(right), "what is converted is enough"
    note = dataset.path / "dataset.json"
    note.write_text(note.read_text().replace(json.loads(note.read_text())["sha256"], "0" * 64))
    assert "WRONG:" in line(listing(project.load()), "file:")


def test_a_dataset_that_cannot_be_identified_is_named_below(project: Project) -> None:
    project.set("tasks.lost", {"dataset": "file:data/lost.hdf5", "env": "Hopper-v4"})
    text = listing(project.load())
    assert "tasks.lost.dataset: dataset file:data/lost.hdf5" in text
    assert "verified" in line(text, "file:data/pendulum")


def test_a_description(project: Project) -> None:
    text = describe(project.load(), "pendulum", Path("shown/pendulum.png"))
    assert line(text, "episodes") == "episodes 20"
    assert line(text, "steps") == "steps 240"
    assert line(text, "episode length") == "episode length 12.0 mean, 12 to 12"
    assert line(text, "ends") == "ends 10 terminal (4.167 % of steps), 10 time-outs"
    assert line(text, "observations").startswith("observations 4 numbers")
    assert re.match(r"actions 1 numbers, -(0.9|1)\S* to (0.9|1)", line(text, "actions"))
    # Rewards are uniform in [0, 2]: 12 of an episode sum to about 12, a score of 7.
    assert float(re.findall(r"^return +(\S+) ±", text, re.MULTILINE)[0]) == pytest.approx(12, abs=2)
    assert float(line(text, "normalised score").split()[2]) == pytest.approx(7, abs=2)
    assert Path("shown/pendulum.png").read_bytes().startswith(b"\x89PNG")


def test_the_commands(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.load()
    assert main(["datasets"]) == 0
    assert "file:data/pendulum.hdf5" in capsys.readouterr().out
    assert main(["datasets", "describe", "pendulum"]) == 0
    assert Path("work/datasets/pendulum.png").is_file()
    capsys.readouterr()
    for arguments, said in (
        (["describe", "pendulm"], "no task 'pendulm'; allowed: pendulum, replay. Did you mean 'pendulum'?"),
        (["describe"], "found 'describe'; allowed: nothing, or describe TASK"),
        (["describe", "replay"], "missing (results/datasets/InvertedPendulum-v5-medium-replay-"),
    ):
        assert main(["datasets", *arguments]) == 1
        assert said in capsys.readouterr().err


def test_what_the_simulator_says_of_the_ends(project: Project) -> None:
    env = envs.make("InvertedPendulum-v5")
    env.action_space.seed(0)
    observation, rows, ends = env.reset(seed=0)[0], [], []
    for _ in range(240):
        action = env.action_space.sample()
        rows.append((observation, action))
        observation, _, terminated, _, _ = env.step(action)
        ends.append(terminated)
        if terminated:
            observation, _ = env.reset()
    env.close()
    with h5py.File("data/pendulum.hdf5", "r+") as file:
        file["observations"][...], file["actions"][...] = (np.array(column) for column in zip(*rows, strict=True))
        file["terminals"][...], file["timeouts"][...] = np.roll(ends, 2), False
    text = describe(project.load(), "pendulum", Path("shown/pendulum.png"))
    assert "; LOOK: ends seem to be marked 2 rows late: the steps 2 rows before them" in line(text, "simulator")


def test_ends_that_seem_misplaced_are_said(project: Project) -> None:
    random = np.random.default_rng(0)
    steps = np.cumsum(0.05 * random.normal(size=(16, 15, 4)), axis=1)
    steps -= steps[:, :1]
    with h5py.File("data/pendulum.hdf5", "r+") as file:
        file["observations"][...] = (0.01 * random.normal(size=(16, 1, 4)) + steps).reshape(240, 4)
        file["terminals"][...] = False
        file["timeouts"][...] = np.arange(240) % 15 == 2  # three rows after each episode's last
    text = describe(project.load(), "pendulum", Path("shown/pendulum.png"))
    assert "17 time-outs; LOOK: timeouts seems to be marked 3 rows late" in line(text, "ends")
