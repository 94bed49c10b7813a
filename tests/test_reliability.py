"""docs/reliability.md: it says what the tests of faults recorded, added up."""

from __future__ import annotations

from pathlib import Path

import pytest
from reliability import EXAMPLES, FOLDER, MINUTES, Record, examples, minutes, read, record
from soak import page

MADE = {
    "finished": "2026-11-29T20:00:00+00:00",
    "commit": "0123456789ab",
    "machine": "box, 2 cores",
    "python": "3.11.9",
    "versions": {"torch": "2.13.0"},
    "seconds": 2040.0,
    "minutes": 1.5,
    "examples": 9000,
}


def test_records_of_one_fault_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    record("kill", "trainer", "goes on", recovery_s=1.5, count=3)
    record("kill", "trainer", "goes on", recovery_s=4.0, count=2)
    record("kill", "trainer", "is late", lost="a second of work")
    record("input", "YAML", "refused", count=100)
    assert read(tmp_path) == [
        Record("kill", "trainer", "goes on; is late", "a second of work", 4.0, 6),
        Record("input", "YAML", "refused", "nothing", None, 100),
    ]


def test_nothing_is_recorded_and_the_usual_is_done_outside_of_a_soak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (FOLDER, MINUTES, EXAMPLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    record("fault", "full disk", "said")
    assert list(tmp_path.rglob("*")) == []
    assert (minutes(0.5), examples(100)) == (0.5, 100)
    monkeypatch.setenv(MINUTES, "7")
    monkeypatch.setenv(EXAMPLES, "9000")
    assert (minutes(0.5), examples(100), examples(1)) == (7.0, 1000, 10)


def test_the_page_has_every_fault_with_its_counts() -> None:
    records = [
        Record("kill", "SIGKILL of b", "goes on", count=30, recovery_s=2.25),
        Record("kill", "SIGKILL of a", "goes on", count=20),
        Record("fault", "disk | full", "said", lost="the last step"),
        Record("input", "params.yaml", "refused", count=9970),
    ]
    text = page(records, MADE)
    assert "**50 kills survived, 1 other faults survived, 9,970 inputs tried.**" in text
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "SIGKILL" in line]
    assert rows == [
        ["SIGKILL of a", "goes on", "nothing", "–", "20"],
        ["SIGKILL of b", "goes on", "nothing", "2.2 s", "30"],
    ]
    assert "disk \\| full" in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Killed",
        "## Other faults",
        "## Hostile and damaged inputs",
    ]
    assert "\nmake soak MINUTES=1.5 EXAMPLES=9000\n" in text
    for fact in ("34 minutes", "2026-11-29", "0123456789ab", "box, 2 cores", "Python 3.11.9", "torch 2.13.0"):
        assert fact in text
