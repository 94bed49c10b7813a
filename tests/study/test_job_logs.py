from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny import Project

from dac.study import job_logs
from dac.study.identity import Run

TRACEBACK = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
ValueError: no number
"""


def test_the_log_of_a_run_is_its_newest(project: Project) -> None:
    run = Run(project.group(), 3)
    folder = Path("logs/train/pendulum") / run.group.name
    folder.mkdir(parents=True)
    assert job_logs.of_run(run) is None
    for age, name in enumerate(["1-3", "0..7", "4..6", "notes"]):
        (folder / f"{name}.log").touch()
        os.utime(folder / f"{name}.log", (0, 1000 - age))
    assert job_logs.of_run(run) == folder / "1-3.log"
    evaluated = Path("logs/evaluate/pendulum") / run.group.name / "3" / "0123456789ab.log"
    evaluated.parent.mkdir(parents=True)
    evaluated.touch()
    assert job_logs.of_run(run, "evaluate") == evaluated


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("12:00:00 step 1\ndac: data/x.hdf5: missing\n", "data/x.hdf5: missing"),
        ("dac: first\n12:00:00 step 1\n" + TRACEBACK, "ValueError: no number"),
        ("12:00:00 step 1\n", None),
        ("dac: first\n12:00:00 step 1\n", None),  # the next attempt went on
        ("12:00:00 step 1\ndac: pendulum: interrupted at step 1; run again to go on\n", None),
        ("", None),
    ],
    ids=["message", "traceback", "killed", "second attempt", "interrupted", "empty"],
)
def test_how_a_log_ends(text: str, failure: str | None, tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text(text)
    assert job_logs.failure(log) == failure
    assert job_logs.failure(tmp_path / "missing.log") is None


def test_an_earlier_attempt_is_not_the_last_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    attempt = "--- attempt of 2026-11-25 04:25:47 on box\n"
    log.write_text(f"{attempt}dac: the disk is full\n{attempt}04:26:01 step 1\n")
    assert job_logs.last_words(log) == ["04:26:01 step 1"]
    assert job_logs.failure(log) is None
    log.write_text(f"{attempt}04:26:01 step 1\n{attempt}dac: the disk is full\n")
    assert job_logs.failure(log) == "the disk is full"
