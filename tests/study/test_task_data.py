"""Plans look at the data of their runs: a file that is here and another than the recorded one stops them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from tiny import Project, publish_study, write_rows

from dac.cli import main
from dac.study.pending import Pending
from dac.study.plan import find_group
from dac.system import hashing
from dac.system.errors import UserError


def other_study(project: Project) -> Project:
    """A second study, on a file of its own."""
    write_rows(Path("data/other.hdf5"), seed=5)
    own = {**project.settings["tasks"]["pendulum"], "dataset": "file:data/other.hdf5"}
    project.set("tasks.other", own)
    project.set("experiments.other", {**project.settings["experiments"]["main"], "tasks": ["other"]})
    return project.set("studies.other", {**project.settings["studies"]["tiny"], "experiments": ["other"]})


def test_a_file_that_changed_is_named_by_whatever_plans_with_it(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    found = other_study(project).plan()
    project.plan("other")
    publish_study(found)
    assert main(["why", "tiny"]) == 0
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    run = found.runs()[0]
    for command in (
        ["why", "tiny"],
        ["why", str(run)],
        ["plan", "tiny"],
        ["report", "tiny"],
        ["train", "pendulum", run.group.name, "--seeds", "0"],
        ["evaluate", "pendulum", run.group.name, "--seeds", "0", "--evaluations", "0"],
        ["fetch", "pendulum"],
    ):
        capsys.readouterr()
        assert main(command) == 1
        said = capsys.readouterr().err
        assert "data/pendulum.hdf5: its sha256 is" in said
        assert "Put the old file back; or, if the data changed on purpose, delete its entry in datasets.lock" in said
    with pytest.raises(UserError, match=r"not the file that runs on it were trained on"):
        Pending(project.load(), "5e5510").report("tiny")


def test_a_study_on_other_data_goes_on(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    found = other_study(project).plan("other")
    project.plan()
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    assert main(["why", "other"]) == 0
    assert main(["why", str(found.runs()[0])]) == 0
    assert find_group(project.load(), "other", found.cells[0].group.name) == found.cells[0].group
    assert len(Pending(project.load(), "5e5510").runs("other")) > 0
    capsys.readouterr()


def test_the_old_file_or_a_clone_without_it_plans_as_before(project: Project) -> None:
    before = project.plan()
    content = Path("data/pendulum.hdf5").read_bytes()
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    with pytest.raises(UserError):
        project.plan()
    Path("data/pendulum.hdf5").write_bytes(content)
    assert project.plan().cells == before.cells
    Path("data/pendulum.hdf5").unlink()
    assert project.plan().cells == before.cells


def test_a_deleted_entry_makes_the_runs_anew(project: Project) -> None:
    before = project.plan()
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    Path("datasets.lock").unlink()
    after = project.plan()
    assert {run.group.name for run in after.runs()} & {run.group.name for run in before.runs()} == set()


def test_a_d4rl_file_that_is_another_is_named(project: Project) -> None:
    project.set("tasks.pendulum.dataset", "d4rl:hopper-medium-v2")
    before = project.plan()
    write_rows(Path("data/d4rl/hopper-medium-v2.hdf5"))
    with pytest.raises(
        UserError,
        match=r"hopper-medium-v2.hdf5: its sha256 is .*\(the catalog's\).*Move it away; `dac fetch hopper-med",
    ):
        project.plan()
    Path("data/d4rl/hopper-medium-v2.hdf5").unlink()
    assert project.plan().cells == before.cells


@pytest.mark.parametrize("found", [[95.0, 5.0], [5.0, 5.0], [5.0], ["5", "95"], [5.0, float("nan")]])
def test_reference_returns_of_the_lock_that_are_none(project: Project, found: list[object]) -> None:
    Path("datasets.lock").write_text(json.dumps({"minari:own/x-v0": {"sha256": "0" * 64, "reference_returns": found}}))
    project.set("tasks.pendulum.dataset", "minari:own/x-v0").set("tasks.pendulum.reference_returns", None)
    with pytest.raises(UserError, match=r"datasets.lock: the reference_returns of minari:own/x-v0 are \[.*allowed"):
        project.plan()


def test_an_unchanged_file_is_read_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many runs are planned, and however often."""
    project.set("experiments.main.vary", {"lcb_coefficient": [0.1 * count for count in range(30)]})
    del project.settings["experiments"]["main"]["variants"]
    os.utime("data/pendulum.hdf5", (1e9, 1e9))
    project.plan()
    read: list[Path] = []
    monkeypatch.setattr(hashing, "sha256_of", read.append)
    assert len(project.plan().runs()) == 60
    assert read == []


@pytest.mark.parametrize("spelling", ["file:~/mine/p.hdf5", "file://~/mine/p.hdf5", "file:{}/mine/p.hdf5"])
def test_a_file_in_the_home_folder(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spelling: str
) -> None:
    """However its path is written it is the same data, and what is planned is trained on."""
    before = project.group()
    home = tmp_path / "home"
    (home / "mine").mkdir(parents=True)
    Path("data/pendulum.hdf5").rename(home / "mine/p.hdf5")
    monkeypatch.setenv("HOME", str(home))
    project.set("tasks.pendulum.dataset", spelling.format(home))
    assert project.group().fingerprint == before.fingerprint
    assert main(["fetch", "pendulum"]) == 0
    assert main(["datasets"]) == 0
    assert re.search(r"p\.hdf5 +pendulum +\S+ MB +verified", capsys.readouterr().out)
    (home / "mine/p.hdf5").write_bytes(b"another")
    with pytest.raises(UserError, match=rf"{home}/mine/p.hdf5: its sha256 is"):
        project.group()
    assert not Path("~").exists()
