from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from dac.watch.snakemake_says import LISTED, DryRun, LastWord


def record(message: str, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("snakemake.logging", level, __file__, 1, message, None, None)
    made.__dict__.update(extra)
    return made


def said(filter_: logging.Filter, *records: logging.LogRecord) -> list[str]:
    """What is left of some records."""
    return [str(item.msg) for item in records if filter_.filter(item) and item.msg]


def dry_run(jobs: int) -> list[logging.LogRecord]:
    """The records of a dry run, as Snakemake has them."""
    stats = {"event": LogEvent.RUN_INFO, "stats": {"train": jobs, "total": jobs}}
    job = {"event": LogEvent.JOB_INFO, "rule_msg": "Train a pack", "jobid": 1}
    target = {"event": LogEvent.JOB_INFO, "rule_msg": None, "jobid": 0}
    return [
        record("Building DAG of jobs..."),
        record("Job stats", **stats),
        *(record("rule train:", **job) for _ in range(jobs)),
        record("rule tiny:", **target),
        record("Job stats", **stats),
        record("Reasons:\n    (check individual jobs above for details)"),
        record("This was a dry-run (flag -n). The order of jobs does not reflect the order of execution."),
    ]


def test_a_dry_run_of_few_jobs_lists_them() -> None:
    found = said(DryRun(lambda: "the end", quiet=False), *dry_run(2))
    assert found == ["Building DAG of jobs...", "Job stats", "  Train a pack", "  Train a pack", "the end"]


def test_a_dry_run_of_many_jobs_counts_them() -> None:
    found = said(DryRun(lambda: "the end", quiet=False), *dry_run(LISTED + 1))
    assert found == ["Building DAG of jobs...", "Job stats", "the end"]


def test_a_quiet_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Snakemake itself ends after the counts, which it does not show."""
    said(DryRun(lambda: "the end", quiet=True), *dry_run(5)[:2])
    assert capsys.readouterr().out == "Jobs: 5 train, 5 total\nthe end\n"


def test_a_warning_in_a_dry_run_stays() -> None:
    warning = record("params.yaml is odd", logging.WARNING)
    assert said(DryRun(lambda: "", quiet=False), *dry_run(1), warning)[-1] == "params.yaml is odd"


@pytest.fixture
def word() -> LastWord:
    return LastWord(["paper", "quick"])


def failed(log: Path) -> logging.LogRecord:
    return record("Error in rule train", logging.ERROR, event=LogEvent.JOB_ERROR, log=[str(log)], jobid=3)


def test_nothing_is_said_where_nothing_went_wrong(word: LastWord) -> None:
    assert said(word, *dry_run(1))  # every record is let through
    assert word.text("quick") is None


def test_a_failed_job(word: LastWord, tmp_path: Path) -> None:
    logs = [tmp_path / "0.log", tmp_path / "1.log"]
    logs[0].write_text("12:00:00 step 1\ndac: the disk is full.\n")
    logs[1].write_text("dac: no GPU.\n")
    said(word, failed(logs[0]))
    word.ended_badly = True
    again = "What is done is kept. Mend that; the same command, `snakemake quick …`, goes on from there."
    assert word.text("quick") == f"dac: A job failed: the disk is full. (its log: {logs[0]}). {again}"
    said(word, failed(logs[1]))
    assert "So did 1 more; `dac status` lists them." in str(word.text("quick"))


def test_an_interruption(word: LastWord, tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("dac: pendulum: interrupted at step 7; run again to go on\n")
    said(word, record("Terminating processes on user request, this might take some time."), failed(log))
    assert word.filter(record("dvc.lock: recorded the files of runs."))
    assert not word.filter(record("At least one job did not complete successfully.", logging.ERROR))
    word.ended_badly = True
    assert str(word.text("quick")).startswith("dac: Interrupted. What is done is kept, what was in training is saved;")


def test_an_end_without_a_reason(word: LastWord) -> None:
    word.ended_badly = True
    assert str(word.text("quick")).startswith("dac: Not all jobs ended well; Snakemake says above which.")


@pytest.mark.parametrize(("target", "hint"), [("quik", " Did you mean 'quick'?"), ("other", "")])
def test_an_unknown_study(target: str, hint: str, word: LastWord) -> None:
    said(word, record(f"MissingRuleException:\nNo rule to produce {target} (if you use input …", logging.ERROR))
    assert word.text("") == f"dac: params.yaml: no study {target!r}; allowed: paper, quick.{hint}"


def test_a_file_that_no_rule_makes_is_no_study(word: LastWord) -> None:
    said(word, record("MissingRuleException:\nNo rule to produce results/x (if you use input …", logging.ERROR))
    assert word.text("") is None
