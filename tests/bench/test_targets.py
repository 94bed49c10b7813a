"""The speeds that are aimed at: what is measured, what is divided by what, and what the page says of it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from dac.agent import AgentConfig
from dac.bench import page, start, targets, targets_page
from dac.bench.targets import Subject

TINY = AgentConfig(hidden_sizes=(8, 8), ensemble_size=2, next_action_samples=2, diffusion_steps=2)


def test_a_real_job_is_timed_until_its_first_step() -> None:
    with start.job() as started:
        before = time.perf_counter()
        times = started()
        passed = time.perf_counter() - before
    assert times["cpu"] > 0.5, "torch alone takes longer to be imported"
    assert 0.5 < times["wall"] <= passed


def test_a_job_that_does_not_come_to_a_step_is_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "CHILD", "import sys; sys.exit(3)")
    with start.job() as started, pytest.raises(RuntimeError, match="ended with 3 before its first step"):
        started()


def test_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """All subjects in every round, by turns forwards and backwards; the networks are tiny and no job is started."""
    order: list[str] = []

    @contextlib.contextmanager
    def job() -> Iterator[Callable[[], dict[str, float]]]:
        yield lambda: order.append("start") or {"wall": 4.0, "cpu": 2.0}  # type: ignore[func-returns-value]

    def times(self: Subject, seconds: float) -> dict[str, float]:
        order.append(next(name for name, threads in (("small", 1), ("papers", 2)) if threads == self.threads))
        return measured(self, seconds)

    measured = Subject.times
    monkeypatch.setattr(Subject, "times", times)
    monkeypatch.setattr(start, "job", job)
    monkeypatch.setattr(targets, "AgentConfig", lambda precision: AgentConfig(**{**vars(TINY), "precision": precision}))
    monkeypatch.setattr(targets, "SMALL", TINY)
    before = torch.get_num_threads()
    try:
        found = targets.measure(2, 0.01)
    finally:
        torch.set_num_threads(before)
    papers, small = ["papers"] * 3, ["small"] * 2
    assert order == ["start", *papers, *small, "start", *small, *papers, "start", *papers, *small, "start"]
    assert found["rounds"] == 3
    assert set(found["subjects"]) == set(targets_page.NAMES)
    assert found["subjects"]["start"] == {"threads": 1, "wall": [4.0] * 3, "cpu": [2.0] * 3}
    for subject in found["subjects"].values():
        for low, median, high in (subject["wall"], subject["cpu"]):
            assert 0 < low <= median <= high
    by_subject = {target["subject"]: target for target in found["targets"]}
    assert by_subject["small"]["measured"] == found["subjects"]["small"]["wall"]
    assert by_subject["start"]["measured"] == [4.0] * 3
    assert json.loads(json.dumps(found)) == found


def test_a_ratio_is_of_one_round() -> None:
    """A machine that slows down by half from a round to the next changes no ratio."""
    found = {
        "fp32": [{"wall": time} for time in (1.2, 2.4, 4.8)],
        "products": [{"wall": time} for time in (1.0, 2.0, 4.0)],
    }
    ratio = targets._measured(targets.TARGETS[0], found)
    assert ratio["measured"] == pytest.approx([1.2, 1.2, 1.2])
    assert ratio["unit"] == "ratio"


def test_a_packs_time_is_one_runs() -> None:
    alone, of_four = (Subject(lambda: time.sleep(0.004), 1, per).times(0.05)["wall"] for per in (1.0, 0.25))
    assert 0.004 <= alone < 0.2
    assert 0.001 <= of_four < alone


def test_the_page_says_what_was_reached(tmp_path: Path) -> None:
    target = {"says": "start", "unit": "seconds", "subject": "start", "wanted": 3.0, "measured": [2.0, 2.5, 4.0]}
    record = {
        "machine": "box", "device": "cpu", "device_name": "cpu", "threads": 2, "versions": {"torch": "2.13.0"},
        "date": "2026-11-30", "rounds": 30, "load": [0.1, 1.9], "multiplies_bf16": False,
        "targets": [
            target,
            target | {"says": "slow", "measured": [3.0, 3.5, 4.0]},
            target | {"says": "ratio", "unit": "ratio", "wanted": 0.7, "measured": [0.6, 0.7, 0.8]},
            target | {"says": "small", "wanted": 0.0025, "measured": [0.001, 0.0026, 0.004]},
        ],
        "subjects": {"small": {"threads": 1, "wall": [0.001, 0.0026, 0.004], "cpu": [0.001, 0.002, 0.003]}},
    }  # fmt: skip
    (tmp_path / "results").mkdir()
    (tmp_path / "results/targets-box.json").write_text(json.dumps(record))
    text = page.write(tmp_path).read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert "## Speeds that are aimed at: box, 2 threads, torch 2.13.0, 2026-11-30" in text
    assert ["start", "≤ 3.00 s", "2.50 s", "2.00 s–4.00 s", "reached"] in rows
    assert ["slow", "≤ 3.00 s", "3.50 s", "3.00 s–4.00 s", "**not reached**"] in rows
    assert ["ratio", "≤ 0.70", "0.70", "0.60–0.80", "reached"] in rows
    assert ["small", "≤ 2.50 ms", "2.60 ms", "1.00 ms–4.00 ms", "**not reached**"] in rows
    assert [targets_page.NAMES["small"], "1", "2.60", "1.00–4.00", "2.00", "1.00–3.00"] in rows
    assert "30 rounds. The load average was 0.10 before and 1.90 after" in text and "bf16 multiplies float32" in text
