"""What counts of a machine's speed: its own calibration, then the nearest benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import COMPUTE, Project

from dac.cost import speeds
from dac.cost.speeds import Calibration
from dac.system import provenance
from dac.system.errors import UserError
from dac.system.paths import CALIBRATION


def record(machine: str, device: str, date: str, suffix: str = "", **more: Any) -> None:
    folder = Path("benchmarks/results")
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "device": device, "date": date, "flops": 1e9, "environment_steps": 10.0, **more}
    (folder / f"calibration-{machine.replace('/', '-')}{suffix}.json").write_text(json.dumps(content))


def own(**changes: Any) -> dict[str, Any]:
    return {
        "machine": provenance.machine(), "device": "cpu", "threads": 1, "date": "2026-02-03", "startup_seconds": 4.0,
        "beside": 1.5, "measured": {"environment E-v0": {"step": 1.0}}, **changes,
    }  # fmt: skip


def test_the_nearest_benchmark_counts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind of device, then this machine, then its processor, then the newest."""
    monkeypatch.setattr(provenance, "machine", lambda: "Abacus, 4 cores")
    assert speeds.benchmark("cpu", 1).machine == "not measured"
    record("Old, 4 cores", "cpu", "2025-12-31")
    (Path("benchmarks/results") / "calibration-exactness.json").write_text(json.dumps({"accuracy": []}))
    record("New, 4 cores", "cpu", "2026-01-02", threads=2)
    assert speeds.benchmark("cpu", 2) == Calibration("New, 4 cores", "cpu", "2026-01-02", 1e9, 10.0, threads=2)
    assert speeds.benchmark("cpu", 1).flops == 5e8
    assert speeds.benchmark("cuda", 1).machine == "New, 4 cores"
    record("New, 4 cores", "cpu", "2026-01-03", suffix="-triton", kernel="triton")  # no training uses it
    assert speeds.benchmark("cpu", 2).date == "2026-01-02"
    record("Abacus, 8 cores", "cpu", "2024-01-01")
    assert speeds.benchmark("cpu", 1).machine == "Abacus, 8 cores"
    record("Abacus, 4 cores", "cpu", "2023-01-01")
    assert speeds.benchmark("cpu", 1).machine == "Abacus, 4 cores"
    assert speeds.benchmark("cpu", 1).step_flops("bf16") == 1e9
    record("Abacus, 4 cores", "cpu", "2023-01-01", suffix="-bf16", precision="bf16", flops=3e9, threads=2)
    found = speeds.benchmark("cpu", 1)
    assert (found.step_flops("fp32"), found.step_flops("tf32"), found.step_flops("bf16")) == (1e9, 1e9, 1.5e9)
    record("Card, 64 cores", "cuda", "2022-01-01", threads=2)
    assert speeds.benchmark("cuda", 1).machine == "Card, 64 cores"
    assert speeds.benchmark("cuda", 1).flops == 1e9


def test_the_machines_own_calibration_goes_over_the_benchmarks(project: Project) -> None:
    record("box", "cpu", "2026-01-02")
    speeds.save(own())
    found = speeds.calibration(COMPUTE)
    assert (found.date, found.startup, found.beside, found.flops) == ("2026-02-03", 4.0, 1.5, 1e9)
    assert found.measured == own()["measured"]
    for change in ({"machine": "another"}, {"device": "cuda"}, {"threads": 2}):
        speeds.save(own(**change))
        assert speeds.calibration(COMPUTE).machine == "box"


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_calibration_is_named(project: Project, content: str) -> None:
    CALIBRATION.parent.mkdir()
    CALIBRATION.write_text(content)
    with pytest.raises(UserError, match=r"^work/calibration.json: .* Delete it"):
        speeds.calibration(COMPUTE)
