from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import COMPUTE, Project

from dac.system import progress
from dac.system.paths import PROGRESS
from dac.system.progress import Bar, Progress, announced, path_of, running
from dac.training import trainer


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told() -> Progress:
    (found,) = running(Path())
    return found


def test_a_job_is_there_while_it_runs() -> None:
    assert running(Path()) == []
    with announced("train a", (10.0, 20.0)):
        assert told() == Progress("train a", (10.0, 20.0))
        assert running(Path(), since=path_of(os.getpid()).stat().st_mtime + 1) == []
    assert running(Path()) == []
    assert list(PROGRESS.iterdir()) == []


def test_a_bar_tells_how_far_a_job_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with announced("train a", (10.0, 20.0)), Bar(total=1000, initial=200, unit="step", disable=True) as bar:
        assert told() == Progress("train a", (10.0, 20.0), done=200, total=1000, unit="step")
        bar.evaluated(15.0)
        now = 100.5
        bar.update(100)  # half a second after the last: not written yet
        assert told().done == 200
        now = 102.0
        bar.update(100)
        assert told() == Progress("train a", (10.0, 20.0), 400, 1000, "step", 100.0, 15.0)
        assert told().result == "score 50.0"
        now = 103.0
        bar.update(300)
        assert (told().done, told().speed) == (700, 200.0)  # between 100 before and 300 now


def test_where_no_job_is_announced_nothing_is_written() -> None:
    with Bar(total=10, unit="step", disable=True) as bar:
        bar.update()
    assert not PROGRESS.exists()


def test_a_return_without_reference() -> None:
    assert Progress("a", mean_return=-12.34).result == "return -12.3"


@pytest.mark.parametrize("broken", ["announced", "bar"])
def test_a_folder_that_takes_no_files_ends_no_job(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress, "SECONDS", 0.0)
    if broken == "announced":
        monkeypatch.setattr(progress, "_write", full)
    with announced("a"), Bar(total=10, unit="step", disable=True) as bar:
        monkeypatch.setattr(progress, "_write", full)
        bar.update(3)
        bar.update(4)
        assert bar._count == 7


def test_files_of_killed_processes_are_removed_and_those_of_other_machines_kept() -> None:
    """A file that is none, and one that another version of the code wrote, hide no other."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    PROGRESS.mkdir(parents=True)
    gone = path_of(int(ended.stdout))
    gone.write_text(json.dumps({"name": "gone"}))
    (PROGRESS / "elsewhere.example.org.1.json").write_text(json.dumps({"name": "elsewhere"}))
    (PROGRESS / "elsewhere.2.json").write_text("{")
    (PROGRESS / "elsewhere.3.json").write_text(json.dumps({"name": "newer", "colour": "red"}))
    assert [job.name for job in running(Path())] == ["elsewhere"]
    assert not gone.exists()


def test_a_training_tells_its_steps_and_its_last_score(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    write = progress._write

    def watched(job: Progress) -> None:
        write(job)
        seen.append(told())

    monkeypatch.setattr(progress, "_write", watched)
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    group = project.plan().cells[0].group
    with announced("train", (0.0, 1.0)):
        trainer.train(group, [0], COMPUTE, 1)
    assert [job.done for job in seen][1:] == list(range(41))
    assert {(job.total, job.unit) for job in seen[1:]} == {(40, "step")}
    assert seen[1].mean_return is None
    curve = next(Path("results/runs").glob("*/*/seed-0/curve.csv")).read_text().splitlines()
    returns = [float(line.split(",")[curve[0].split(",").index("return")]) for line in curve[1:]]
    by_step = [sum(returns[index : index + 2]) / 2 for index in range(0, len(returns), 2)]
    assert seen[-1].mean_return in [pytest.approx(value) for value in by_step]
