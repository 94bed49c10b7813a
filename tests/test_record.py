from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import Project, publish_study

from dac.record import record_in_dvc

# Stands for DVC, whose start takes seconds: `python -m` finds it in the current folder first.
STAND_IN = """
import json, sys
from pathlib import Path
with Path("calls.jsonl").open("a") as stream:
    stream.write(json.dumps(sys.argv[1:]) + "\\n")
if Path("fail").exists():
    sys.exit("the disk is full")
"""


def calls() -> list[list[str]]:
    path = Path("calls.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def complete(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with DVC, its study complete."""
    monkeypatch.delenv("DVC_STAGE", raising=False)
    for name, text in {"dvc/__init__.py": "", "dvc/__main__.py": STAND_IN, "dvc.yaml": "", ".dvc/config": ""}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    publish_study(project.plan())
    return project


def test_a_complete_study_is_recorded(complete: Project) -> None:
    record_in_dvc(complete.load())
    assert calls() == [["commit", "--force"]]


def test_a_study_that_lacks_something_is_not(complete: Project) -> None:
    record_in_dvc(complete.set("report.window", 1).load())
    record_in_dvc(complete.set("studies.tiny.seeds", [0, 1, 2]).load())
    assert calls() == []


def test_only_the_study_of_dvc_counts(complete: Project) -> None:
    complete.set("studies.other", {**complete.settings["studies"]["tiny"], "seeds": [7]})
    record_in_dvc(complete.load())
    assert len(calls()) == 1
    record_in_dvc(complete.set("dvc_study", "other").load())
    assert len(calls()) == 1


def test_nothing_is_recorded_inside_dvc_repro(complete: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "runs")
    record_in_dvc(complete.load())
    assert calls() == []


@pytest.mark.parametrize("without", [".dvc/config", "dvc.yaml"])
def test_nothing_is_recorded_without_dvc(without: str, complete: Project) -> None:
    Path(without).unlink()
    if without == ".dvc/config":
        Path(".dvc").rmdir()
    record_in_dvc(complete.load())
    assert calls() == []


def test_a_failure_of_dvc_is_told_and_fails_nothing(complete: Project, capsys: pytest.CaptureFixture[str]) -> None:
    Path("fail").touch()
    record_in_dvc(complete.load())
    assert "DVC did not record this state; `dvc commit -f` says: the disk is full" in capsys.readouterr().err
