from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import Project, publish

from dac.study.identity import Run
from dac.study.records import page_record, provenance_record, run_record
from dac.system.errors import UserError

ENTRY = {"size": 1, "sha256": "0" * 64}


@pytest.fixture
def folder(project: Project) -> Path:
    return publish(Run(project.group(), 0))


def put(path: Path, **facts: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **facts}))


def test_records_are_read_as_they_were_written(folder: Path) -> None:
    record, made = run_record(folder), provenance_record(folder)
    assert record is not None
    assert made is not None
    assert record == json.loads((folder / "run.json").read_text())
    assert made == {"machine": "box"}


@pytest.mark.parametrize(
    "facts",
    [
        {"files": {"../curve.csv": ENTRY}},
        {"files": {"/etc/passwd": ENTRY}},
        {"files": {"..": ENTRY}},
        {"files": {"curve.csv": {"size": -1, "sha256": "0" * 64}}},
        {"files": {"curve.csv": {"size": 1, "sha256": "short"}}},
        {"evaluations": {"abc": {**ENTRY, "file": "../x", "settings": {}}}},
        {"evaluations": {"abc": ENTRY}},
        {"seed": "0"},
        {"identity": {"env": "Hopper-v4"}},
        {"steps": float("nan")},
        {"data": {"return": float("inf")}},
    ],
    ids=str,
)
def test_what_is_no_run_is_none(folder: Path, facts: dict[str, Any]) -> None:
    put(folder / "run.json", **facts)
    assert run_record(folder) is None


@pytest.mark.parametrize("facts", [{"pack": 0}, {"versions": []}, {"device": {}}, {"evaluations": {"a": 1}}], ids=str)
def test_what_is_no_provenance_is_none(folder: Path, facts: dict[str, Any]) -> None:
    put(folder / "provenance.json", **facts)
    assert provenance_record(folder) is None


def test_what_is_no_list_of_a_page_is_none(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    put(path, key="k", files={"README.md": ENTRY, "tables/a.csv": ENTRY, "tables/.gitkeep": ENTRY})
    assert page_record(tmp_path) is not None
    for name in ("../README.md", "tables/../x", "/x", "a/b/c", "..", "tables/.."):
        put(path, files={name: ENTRY})
        assert page_record(tmp_path) is None, name


def test_text_that_is_nested_too_deep_is_no_record(folder: Path) -> None:
    (folder / "run.json").write_text("[" * 100_000)
    assert run_record(folder) is None


def test_a_record_that_may_not_be_read_is_told_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not taken for missing, so that the run is made again."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"run\.json: it may not be read .*Correct the permissions"):
        run_record(folder)
