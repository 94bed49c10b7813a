from __future__ import annotations

from dataclasses import replace

import pytest
from tiny import Project

from dac.cost import demand, estimate
from dac.cost.speeds import Calibration

SPEED = Calibration("box", "cpu", "2026-01-01", flops=1e8, environment_steps=100.0, startup=2.0)


def minutes(seconds: float) -> float:
    """The run time of a job of so many estimated seconds: twice them with its start, and a quarter of an hour."""
    return 15 + 2 * (2.0 + seconds) / 60


def megabytes(estimated: float) -> float:
    """The memory asked for a job of one core on a CPU: twice the estimated bytes, and 2.5 GB."""
    return 2500 + 2 * estimated / 1e6


def test_a_training_asks_for_its_estimate_with_a_margin(project: Project) -> None:
    params, group = project.load(), project.group()
    for runs in (1, 8):
        found = demand.training(group, runs, params, SPEED)
        assert found.runtime == pytest.approx(minutes(estimate.training_seconds(group, runs, SPEED)), abs=1)
        assert found.mem_mb == pytest.approx(megabytes(estimate.pack_bytes(group, runs, params)), abs=1)
    small = demand.training(group, 1, params, SPEED)
    project.set("studies.tiny.settings.hidden_sizes", [2048, 2048]).set("studies.tiny.settings.steps", 80)
    large = demand.training(project.group(), 1, project.load(), SPEED)
    assert (large.mem_mb > small.mem_mb + 300, large.runtime > small.runtime + 5) == (True, True)


def test_no_job_asks_for_more_than_a_day(project: Project) -> None:
    group = project.set("studies.tiny.settings.steps", 10_000_000).group()
    assert demand.training(group, 1, project.load(), SPEED).runtime == 24 * 60


def test_an_evaluation_asks_for_its_estimate_with_a_margin(project: Project) -> None:
    params, (cell, *_) = project.load(), project.plan().cells
    few = demand.evaluation(cell.group, 2, cell.evaluations[:1], params, SPEED)
    both = demand.evaluation(cell.group, 2, cell.evaluations, params, SPEED)
    expected = minutes(estimate.evaluation_seconds(cell.group, 2, cell.evaluations, SPEED))
    assert both.runtime == pytest.approx(expected, abs=1)
    assert few.runtime < both.runtime
    many = demand.evaluation(cell.group, 2, [replace(cell.evaluations[0], action_samples=100_000)], params, SPEED)
    # 100,000 candidates in 2 episodes of 2 runs, and what 3 networks of 2 layers of 8 make of each.
    assert many.mem_mb - both.mem_mb == pytest.approx(2 * 4 * 2 * 2 * 100_000 * 3 * 16 / 1e6, rel=0.01)


def test_a_collection_asks_for_its_estimate_with_a_margin(project: Project) -> None:
    recipe = "collect.InvertedPendulum-v5.sac"
    small = demand.collection("InvertedPendulum-v5", project.load(), SPEED)
    project.set(f"{recipe}.steps", 3_000_000).set(f"{recipe}.buffer_size", 1_000_000)
    large = demand.collection("InvertedPendulum-v5", project.load(), SPEED)
    # A row of two observations of 4, an action of 1, a reward and an end, for each step that the buffer keeps.
    assert large.mem_mb - small.mem_mb == pytest.approx(2 * 4 * 11 * (1_000_000 - 300) / 1e6, rel=0.01)
    assert (15 < small.runtime < 24 * 60, large.runtime) == (True, 24 * 60)


@pytest.mark.parametrize(
    ("device", "gpu", "more"), [("cpu", False, 0), ("cuda", True, 3000), ("cuda:1", True, 3000), ("auto", True, 3000)]
)
def test_a_gpu_is_asked_for_unless_the_device_is_the_cpu(project: Project, device: str, gpu: bool, more: int) -> None:
    on_cpu = demand.training(project.group(), 1, project.load(), SPEED).mem_mb
    params = project.set("compute.device", device).load()
    assert demand.uses_gpu(params) is gpu
    assert demand.training(project.group(), 1, params, SPEED).mem_mb == on_cpu + more


def test_processes_that_step_environments_need_memory(project: Project) -> None:
    group, one = project.group(), demand.training(project.group(), 1, project.load(), SPEED).mem_mb
    more = project.set("compute.threads_per_job", 4).load()
    assert demand.training(group, 1, more, SPEED).mem_mb == one + 3 * 500
    fixed = project.set("compute.evaluation_workers", 0).load()
    assert demand.training(group, 1, fixed, SPEED).mem_mb == one - 500
