"""A study that the user ends with Ctrl-C, and one that is started several times at once."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import reliability
from project import TIMEOUT, Project, copy_of

pytestmark = [pytest.mark.workflow, pytest.mark.soak]


@pytest.fixture
def emptied(base: Project, tmp_path: Path) -> Project:
    """The finished project with its data alone."""
    project = copy_of(base, tmp_path / "project")
    for name in ("results/runs", "results/mini", "work", "logs"):
        shutil.rmtree(project.path / name)
    return project


def test_ctrl_c_says_where_it_stopped_and_the_log_keeps_what_was_said(emptied: Project) -> None:
    emptied.set_param("studies.mini.settings.steps", 4000)
    emptied.set_param("studies.mini.settings.eval_interval", 500)
    command = ("snakemake", "mini_runs", "--cores", "1")
    process = emptied.start(*command)
    until = time.monotonic() + TIMEOUT
    while not (logs := logs_with(emptied, "step 500: return")) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    status, output = emptied.finish(process)
    assert status == 1
    assert "interrupted at step" in output
    assert "which is saved; run again to go on" in output
    assert "dac: Interrupted. What is done is kept" in output
    for word in ("RuleException", "Error in rule", "At least one job did not complete", "Traceback"):
        assert word not in output
    (log,) = logs
    before = log.read_text()
    assert "interrupted at step" in before  # the message reached the log

    emptied.succeed("snakemake", "mini_runs", "--cores", "2")
    after = log.read_text()
    assert after.startswith(before)
    assert after.count("--- attempt of ") == 2
    assert "goes on from step" in after


def logs_with(project: Project, text: str) -> list[Path]:
    return [path for path in project.path.glob("logs/train/**/*.log") if text in path.read_text()]


def test_started_three_times_at_once_each_thing_is_made_once(emptied: Project) -> None:
    """Two of Snakemake and one of DVC: all end well, and name each other."""
    first = emptied.start("snakemake", "mini", "--cores", "1")
    others = [emptied.start("snakemake", "mini", "--cores", "1"), emptied.start("dvc", "repro")]
    ended = [emptied.finish(process) for process in (first, *others)]
    assert [status for status, _ in ended] == [0, 0, 0], "\n".join(output for _, output in ended)
    made = Counter(str({**event, "time": None}) for event in emptied.journal())
    assert set(made.values()) == {1}
    assert any("Another Snakemake runs here: process " in output for _, output in ended)
    emptied.assert_settled()
    reliability.record("fault", "a study started three times at once", "each thing is made once; all three end well")
