from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dac.watch.snakemake_log import SnakemakeLog, reason

FAILED = """\
Job stats:
job         count
--------  -------
train           3
total           8

[Wed Nov 25 04:25:47 2026]
Job 3: Train expert soft, seeds 0-1-2
Job 7: Train replay soft, seeds 0-1-2
Finished jobid: 4 (Rule: collect)
2 of 8 steps (25%) done
Error in rule train:
    message: None
    jobid: 7
    log: logs/a b.log (check log file(s) for error details)
    shell:
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SnakemakeLog]:
    (tmp_path / "log").touch()
    log = SnakemakeLog(tmp_path / "log", tmp_path)
    yield log
    log.close()


def write(log: SnakemakeLog, text: str) -> None:
    with log.path.open("a") as stream:
        stream.write(text)
    log.read()


def test_jobs_are_counted_as_lines_become_whole(log: SnakemakeLog) -> None:
    write(log, "Job stats:\ntotal        1")
    assert log.total == 0
    write(log, "2\n1 of 12 steps (8%) d")
    assert (log.done, log.total) == (0, 12)
    write(log, "one\n")
    assert (log.done, log.total) == (1, 12)
    write(log, "total 3\n")  # the next of DVC's stages
    assert (log.done, log.total) == (0, 3)


def test_a_failed_job_is_told_with_its_reason_and_its_log(log: SnakemakeLog, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a b.log").write_text("04:25:55 step 1\ndac: too few rows\nlower batch_size\n")
    write(log, FAILED)
    assert (log.done, log.total) == (2, 8)
    failures = [
        "Failed: Train replay soft, seeds 0-1-2",
        "    dac: too few rows",
        "    lower batch_size",
        "    its log: logs/a b.log",
    ]
    assert log.take_news() == (failures, [])
    assert log.take_news() == ([], [])


def test_what_is_not_recorded_is_told(log: SnakemakeLog) -> None:
    write(log, "Touching output file x\ndvc.lock: recorded runs.\n")
    assert log.take_news() == ([], ["dvc.lock: recorded runs."])


def test_the_reason_is_the_last_error_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert reason(path) == []
    path.write_text("dac: of an earlier start\nstep 2\nTraceback (most recent call last):\n  File x\nValueError: y\n")
    assert reason(path) == ["    Traceback (most recent call last):", "      File x", "    ValueError: y"]
    path.write_text("".join(f"step {step}\n" for step in range(9)))  # killed
    assert reason(path) == ["    step 6", "    step 7", "    step 8"]
    path.write_text("Traceback (most recent call last):\n" + "".join(f"  {line}\n" for line in range(50)))
    assert reason(path)[-1] == "      49"
    assert len(reason(path)) == 12
