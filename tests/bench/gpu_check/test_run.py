"""The check as a whole: every part runs, on the CPU and small; one that fails, dies or hangs stops no other."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from gpu_box import Box, gpu
from project import ROOT, TIMEOUT, environment

from dac.bench import kernel
from dac.bench.gpu_check import parts, run
from dac.bench.gpu_check.parts import PARTS, Part, outcome
from dac.bench.gpu_check.setup import Failed, Setup, Skipped
from dac.system.errors import UserError


@pytest.mark.workflow
def test_the_whole_check_on_a_cpu(tmp_path: Path) -> None:
    """As a user starts it; where there is no GPU it says so, and why."""
    command = [sys.executable, "-m", "dac", "gpu-check", "--folder", str(tmp_path / "check")]
    variables = environment() | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=2 * TIMEOUT)  # noqa: PLW1510 - it is asserted with what was said
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("No GPU is used here: NVIDIA's driver does not answer")
    record = json.loads((tmp_path / "check/check.json").read_text())
    states = {name: found["state"] for name, found in record["parts"].items()}
    left_out = {"tests"} if kernel.installed() else {"tests", "kernels"}
    assert states == {part.name: "skipped" if part.name in left_out else "passed" for part in PARTS}
    results = {name: found["result"] for name, found in record["parts"].items()}
    assert [row["runs"] for row in results["packs"]] == [1, 2]
    assert (results["training"]["runs"], results["training"]["steps"]) == (2, 100)
    assert sorted(set(results["training"]["curve"]["step"])) == [0, 50, 100]
    assert results["targets"]["fp32"]["rms"] < results["targets"]["bf16"]["rms"]
    assert "2 runs do not fit the device's memory; 1 at a time" in results["out-of-memory"]["said"][0]
    assert results["two-packs"]["gain"] > 0
    assert results["parity"]["float64"] < 1e-4
    if kernel.installed():  # in Triton's interpreter
        errors, times = results["kernels"]["errors"], results["kernels"]["times"]
        assert set(errors) == {"fp32", "tf32"}
        assert 0 < errors["fp32"]["rms"] < 1e-3 * errors["fp32"]["spread"]
        rows = [(row["precision"], row["kernel"]) for row in times]
        assert rows == [("fp32", "torch"), ("fp32", "triton"), ("tf32", "torch"), ("tf32", "triton")]
        assert all(row["step_ms"] > 0 for row in times)
    page = (tmp_path / "check/README.md").read_text()
    assert page.startswith("# Small, on a CPU: this says nothing of a GPU\n")
    assert re.findall(r"^\| ([a-z-]+) +\|", page, re.M)[1:11] == [part.name for part in PARTS]
    assert "## Targets of trained critics against float64" in page
    assert (tmp_path / "check/curve.png").read_bytes().startswith(b"\x89PNG")


# Parts by themselves

HANG = "import time; time.sleep(600)"
DIE = "import os; os.abort()"
ANSWER = """
import pathlib, sys
pathlib.Path(sys.argv[1]).write_text('{"state": "passed", "said": "", "result": {"name": "box"}}')
"""


def part(name: str, least: float = 0.0) -> Part:
    return Part(name, "a part", lambda setup: None, least, "another value")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the parts' processes run, by the part's name, in the place of `dac gpu-check --part`; it may be changed."""
    programs = {"device": ANSWER, "tests": DIE, "parity": ANSWER}
    chosen = [part(name) for name in programs]
    monkeypatch.setattr(run, "PARTS", chosen)

    def command(one: Part, setup: Setup) -> list[str]:
        return [sys.executable, "-c", programs[one.name], str(setup.file_of(one.name))]

    monkeypatch.setattr(run, "_command", command)
    monkeypatch.setattr(run.page, "line", lambda name, found: f"{name} {found['state']} {found['said']}")
    monkeypatch.setattr(run.page, "advice", lambda record: iter(()))
    monkeypatch.setattr(run.page, "write", lambda folder: folder / "README.md")
    return programs


def states(folder: Path) -> dict[str, str]:
    record = json.loads((folder / "check.json").read_text())
    return {name: found["state"] for name, found in record["parts"].items()}


def test_a_part_that_dies_fails_alone(box: Box, commands: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "check"
    assert not run.check(folder, 5, None, None, "cpu")
    assert states(folder) == {"device": "passed", "tests": "failed", "parity": "passed"}
    said = json.loads((folder / "check.json").read_text())["parts"]["tests"]["said"]
    assert said == f"its process ended with status -6, see {folder}/logs/tests.log"
    commands["tests"] = ANSWER
    assert run.check(folder, 5, None, None, "cpu"), "what the check before left is no hindrance"


def test_an_experiment_that_fails_fails_no_check(
    box: Box, commands: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as failed; the machine is right for all that a setting uses."""
    folder = tmp_path / "check"
    for advice, passes in (("", True), ("another value", False)):
        monkeypatch.setattr(run, "PARTS", [part("device"), dataclasses.replace(part("tests"), advice=advice)])
        assert run.check(folder, 5, None, None, "cpu") is passes
        assert states(folder) == {"device": "passed", "tests": "failed"}
    assert [one.name for one in PARTS if not one.counts] == ["kernels"]


def test_a_part_that_hangs_is_ended_and_the_last_ones_dropped(
    box: Box, commands: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands["tests"] = HANG
    monkeypatch.setattr(run, "KILL_SECONDS", 0.2)
    started = time.monotonic()
    assert not run.check(tmp_path / "check", 4 / 60, None, None, "cpu")
    assert time.monotonic() - started < 60
    assert states(tmp_path / "check") == {"device": "passed", "tests": "failed", "parity": "dropped"}


def test_parts_that_would_not_end_in_time_are_dropped(
    box: Box, commands: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU each has a time that it takes at least."""
    box(gpu("GPU-a"))
    monkeypatch.setattr(run, "PARTS", [part("device"), part("parity", 600)])
    assert run.check(tmp_path / "check", 5, None, None, None)
    assert states(tmp_path / "check") == {"device": "passed", "parity": "dropped"}


def test_what_no_check_made_is_left_alone(box: Box, commands: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"found thesis\.tex, which no check made"):
        run.check(tmp_path, 5, None, None, "cpu")
    assert (tmp_path / "thesis.tex").exists()


def test_data_come_with_their_environment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data and --env go together"):
        run.check(tmp_path, 5, Path("rows.hdf5"), None, "cpu")


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (Skipped("nothing to do"), "skipped", "nothing to do"),
        (Failed("off by much", {"rms": 1.0}), "failed", "off by much"),
        (UserError("params.yaml: no"), "failed", "params.yaml: no"),
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
    ],
)
def test_whatever_a_part_raises_is_an_outcome(error: Exception, state: str, said: str, tmp_path: Path) -> None:
    def fail(setup: Setup) -> Any:
        raise error

    found = outcome(Part("x", "x", fail, 1, "x"), Setup(tmp_path, "cpu", 0, 60))
    assert (found["state"], found["said"]) == (state, said)
    assert found["result"] == getattr(error, "result", None)


def test_every_part_has_a_name_of_its_own() -> None:
    assert len(parts.BY_NAME) == len(PARTS)
