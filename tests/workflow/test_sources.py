"""Data from elsewhere, from the network to a trained run, as a user asks for them."""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from faulty_server import running
from own_study import project_with, run_of
from project import Project
from shared import shared_data

pytestmark = pytest.mark.workflow

ADDRESS = "/gym_mujoco_v2/hopper_medium_replay-v2.hdf5"


def publish_checksum(project: Project, content: bytes) -> None:
    """The project's list of D4RL's files, with this content as hopper-medium-replay-v2."""
    path = project.path / "dac/reference/d4rl_files.csv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        if row["d4rl_id"] == "hopper-medium-replay-v2":
            row["size_bytes"], row["sha256"] = str(float(len(content))), hashlib.sha256(content).hexdigest()
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_from_the_network_to_a_trained_run(quick_python: Path, tmp_path: Path) -> None:
    """Real data behind D4RL's address: a connection that is cut, resumed, checked, converted, trained on, once."""
    content = (shared_data("zoo") / "hopper_medium_replay-zoo-v0.hdf5").read_bytes()
    with running(content, ADDRESS) as server:
        project = project_with(
            tmp_path / "project",
            {"dataset": "d4rl:hopper-medium-replay-v2"},
            quick_python,
            d4rl_mirrors=[server.root],
        )
        publish_checksum(project, content)
        server.faults = ["cut"]
        project.succeed("snakemake", "own", "--cores", "2", "--show-failed-logs")
        assert server.ranges == [None, f"bytes={len(content) // 2}-"]
        (log,) = project.path.glob("logs/fetch/own-*.log")
        assert f"the connection ended after {len(content) // 2} of {len(content)} bytes; going on" in log.read_text()
        run = run_of(project)
        assert (run["status"], run["data"]["steps"]) == ("complete", 200_000)  # type: ignore[index]
        assert run["identity"]["env"] == "Hopper-v4"  # type: ignore[index]
        # The download is not needed any more, and nothing is fetched again.
        (project.path / "data/d4rl/hopper-medium-replay-v2.hdf5").unlink()
        project.set_param("studies.own.seeds", [0, 1])
        project.succeed("snakemake", "own", "--cores", "2", "--show-failed-logs")
        assert len(server.ranges) == 2
    assert "Nothing to be done" in project.succeed("snakemake", "own", "--dry-run")


@pytest.mark.parametrize(
    ("faults", "message"),
    [([404], "HTTP 404"), (["other"], "its sha256 is"), (["html"], "it is an HTML page"), ([503] * 9, "HTTP 503")],
)
def test_a_file_that_cannot_be_had(quick_python: Path, tmp_path: Path, faults: list[int | str], message: str) -> None:
    """Every address is named with its problem; nothing is trained, and the next call finds all as it was."""
    content = np.random.default_rng(0).bytes(5000)
    with running(content, ADDRESS) as server:
        task = {"dataset": "d4rl:hopper-medium-replay-v2"}
        project = project_with(tmp_path / "project", task, quick_python, d4rl_mirrors=[server.root])
        publish_checksum(project, content)
        # The authors' own address and the known mirror, too, are on this machine here: nobody listens at their ports.
        project.edit_all("dac/reference/d4rl_files.csv", "http://rail.eecs.berkeley.edu", "http://127.0.0.1:9")
        project.edit_all("dac/reference/d4rl_mirrors.csv", "https://huggingface.co", "http://127.0.0.1:10")
        server.faults = list(faults)
        status, output = project.run("snakemake", "own", "--cores", "1", "--show-failed-logs")
    assert status != 0
    assert message in output
    assert "hopper-medium-replay-v2: no address gave the file" in output
    assert "Connection refused" in output
    assert "Traceback (most recent call last)" not in output
    assert not (project.path / "results/runs").exists()
    assert not (project.path / "data/d4rl/hopper-medium-replay-v2.hdf5").exists()


def test_a_file_of_ones_own_with_its_environment(quick_python: Path, tmp_path: Path) -> None:
    """Without `env` its metadata/env_id counts; a clone that has the lock and the runs, but not the file, plans."""
    task = {"dataset": "file:own.hdf5", "reference_returns": [0.0, 100.0]}
    project = project_with(tmp_path / "project", task, quick_python)
    write_own(project.path / "own.hdf5", env_id="InvertedPendulum-v5")
    project.succeed("snakemake", "own", "--cores", "1", "--show-failed-logs")
    assert run_of(project)["identity"]["env"] == "InvertedPendulum-v5"  # type: ignore[index]
    for path in (project.path / "own.hdf5", *project.path.glob("data/datasets/*/data/main_data.hdf5")):
        path.unlink()
    assert "Nothing to be done" in project.succeed("snakemake", "own", "--dry-run")
    project.set_param("studies.own.seeds", [0, 1])
    status, output = project.run("snakemake", "own", "--dry-run")
    assert status != 0
    assert "there is no file own.hdf5. Put it there" in output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": "Hopper-v4"}, r"observations and actions of shapes (4,) and (1,), the environment Hopper-v4 (11,)"),
        ({"reference_returns": None}, "No reference returns are known for 'InvertedPendulum-v5'"),
        ({"dataset": "file:broken.hdf5"}, "observations has NaN or infinity in 1 rows, the first is row 5"),
        ({"dataset": "file:other.hdf5"}, "there is no file other.hdf5"),
    ],
)
def test_mistakes_cost_no_training(
    quick_python: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    task = {"dataset": "file:own.hdf5", "env": "InvertedPendulum-v5", "reference_returns": [0.0, 100.0], **changes}
    given = {key: value for key, value in task.items() if value is not None}
    project = project_with(tmp_path / "project", given, quick_python)
    write_own(project.path / "own.hdf5")
    write_own(project.path / "broken.hdf5", nan_at=5)
    status, output = project.run("snakemake", "own", "--cores", "1", "--show-failed-logs")
    assert status != 0
    assert message in " ".join(output.split())
    assert "Traceback (most recent call last)" not in output
    assert not (project.path / "results/runs").exists()


def write_own(path: Path, env_id: str | None = None, nan_at: int | None = None) -> None:
    """240 rows of an environment with 4 observations and 1 action, ten episodes."""
    random = np.random.default_rng(0)
    observations = random.normal(size=(240, 4)).astype(np.float32)
    if nan_at is not None:
        observations[nan_at, 2] = np.nan
    with h5py.File(path, "w") as file:
        file["observations"] = observations
        file["actions"] = random.uniform(-1, 1, (240, 1)).astype(np.float32)
        file["rewards"] = random.uniform(0, 2, 240).astype(np.float32)
        file["terminals"] = np.arange(240) % 24 == 23
        file["timeouts"] = np.zeros(240, np.bool_)
        if env_id:
            file["metadata/env_id"] = env_id


def test_demonstrations_by_people(quick_python: Path, tmp_path: Path) -> None:
    """Real data without terminal states, in the environment that the file names, to a trained and evaluated run."""
    project = project_with(tmp_path / "project", {"dataset": "file:door_human.hdf5"}, quick_python)
    shutil.copy(shared_data("adroit") / "door_human.hdf5", project.path)
    project.succeed("snakemake", "own", "--cores", "1", "--show-failed-logs")
    run = run_of(project)
    assert (run["status"], run["data"]["episodes"], run["data"]["steps"]) == ("complete", 25, 6729)  # type: ignore[index]
    assert run["identity"]["env"] == "AdroitHandDoor-v1"  # type: ignore[index]
    (table,) = project.path.glob("results/own/tables/main-scores.csv")
    assert "own,soft" in table.read_text()
    # The references are those of D4RL's door: no reference_returns were given.
    (entry,) = run["evaluations"].values()  # type: ignore[attr-defined]
    assert entry["settings"]["reference_returns"] == [-56.512833, 2880.5693087298737]
