from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gpu_box import Box, gpu
from tiny import Project

from dac.cost import demand, estimate, shapes, speeds
from dac.cost.speeds import Calibration
from dac.study import check
from dac.study.identity import Group
from dac.study.jobs import Evaluate, Fetch, Train, jobs
from dac.study.params import Params
from dac.study.plan import study_plan

SPEED = Calibration("box", "cpu", "2026-01-01", flops=1e8, environment_steps=100.0, startup=2.0)

KNOWN = demand.Speeds(
    Calibration("box", "cuda", "-", flops=speeds.ASSUMED_GPU_FLOPS, environment_steps=9000.0),
    Calibration("box", "cpu", "2026-01-01", flops=5e10, environment_steps=9000.0),
)


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
    project.set("studies.tiny.settings.eval_interval", 1000)
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


def test_a_timing_asks_for_its_estimate_with_a_margin(project: Project) -> None:
    params, timing = project.with_timing().load(), project.plan().timings()[0]
    found = demand.timing(timing, params, SPEED)
    assert found.runtime == pytest.approx(minutes(estimate.timing_seconds(timing, SPEED)), abs=1)
    assert found.mem_mb == pytest.approx(megabytes(estimate.pack_bytes(timing.group, 1, params)), abs=1)


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
    assert demand.training(group, 1, project.load(), SPEED, cores=3).mem_mb == one + 2 * 500
    more = project.set("compute.threads_per_job", 4).load()
    assert demand.training(group, 1, more, SPEED).mem_mb == one + 3 * 500
    fixed = project.set("compute.evaluation_workers", 0).load()
    assert demand.training(group, 1, fixed, SPEED).mem_mb == one - 500


# On a machine with GPUs


@pytest.mark.parametrize(
    ("device", "packs", "expected"),
    [("auto", 1, 2), ("auto", 3, 6), ("cuda", 1, 2), ("cuda:1", 1, 1), ("cuda:1", 2, 2), ("cpu", 2, 0)],
)
def test_as_many_jobs_as_gpus_have_shares(
    box: Box, project: Project, monkeypatch: pytest.MonkeyPatch, device: str, packs: int, expected: int
) -> None:
    box(gpu("GPU-a"), gpu("GPU-b"), gpu("GPU-c"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b,GPU-c")
    params = project.set("compute.device", device).set("compute.packs_per_gpu", packs).load()
    assert demand.gpu_jobs(params) == expected
    assert demand.most_cores(params, 32) == 31 // max(1, expected)
    assert demand.most_cores(params, 1) == 1


def test_without_a_gpu_jobs_take_cores_alone(box: Box, project: Project) -> None:
    """With `auto`, one each; a GPU that is asked for is promised, so that the job says that there is none."""
    params = project.set("compute.device", "auto").load()
    work = jobs(project.plan(), project.plan().runs(), missing=True)
    assert [demand.here(job, params, 16, KNOWN) for job in work] == [(1, 0)] * len(work)
    assert demand.here(work[0], project.set("compute.threads_per_job", 4).load(), 16, KNOWN) == (4, 0)
    assert demand.here(work[0], project.set("compute.device", "cuda").load(), 16, KNOWN) == (4, 1)


def papers_group(params: Params, env: str) -> Group:
    """A group of the paper's main table."""
    return next(cell.group for cell in study_plan(params, "paper").cells if env in cell.group.env)


@pytest.fixture
def paper(box: Box, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The shipped params.yaml on a machine with two GPUs of which no speed is recorded."""
    box(gpu("GPU-a"), gpu("GPU-b"))
    return check.load(Path(__file__).parents[2] / "params.yaml")


def test_cores_that_keep_evaluations_up(paper: Params, project: Project) -> None:
    """A second one beside the training's; for the kitchen, whose steps take 18 times Hopper's, more; never too many."""
    found = {
        env: demand.training_cores(papers_group(paper, env), 8, paper, KNOWN.gpu, gpu=True, most=7)
        for env in ("Hopper", "AntMaze_Large", "Kitchen")
    }
    assert found["Hopper"] == 2
    assert 2 <= found["AntMaze_Large"] <= found["Kitchen"] <= 7
    assert found["Kitchen"] > 2
    kitchen = papers_group(paper, "Kitchen")
    assert demand.training_cores(kitchen, 8, paper, KNOWN.gpu, gpu=True, most=2) == 2
    assert demand.training_cores(kitchen, 8, paper, KNOWN.gpu, gpu=False) == 1


def test_the_faster_the_gpu_the_more_cores(paper: Params, project: Project) -> None:
    """In numbers: 80 environments of 1000 steps of 1 ms, with nothing else to do, and 20, 40 or 400 s for them."""
    group = papers_group(paper, "Hopper")
    acting = shapes.acting_shape(group, 8, group.settings.eval_episodes, group.settings.eval_action_samples)
    for milliseconds, workers in ((4, 4), (8, 2), (80, 1), (0.1, 16)):
        measured = {
            shapes.gradient_shape(group, 8): {"seconds": milliseconds / 1000},
            acting: {"seconds": 0.0},
            shapes.environment_shape(group.env): {"step": 0.001, "make": 0.0, "limit": 1000.0},
        }
        speed = Calibration("box", "cuda", "2026-01-01", flops=1e13, environment_steps=1e4, measured=measured)
        assert estimate.workers_to_keep_up(group, 8, speed) == workers
    slow = {**measured, acting: {"seconds": 1.0}}
    speed = Calibration("box", "cuda", "2026-01-01", flops=1e13, environment_steps=1e4, measured=slow)
    assert estimate.workers_to_keep_up(group, 8, speed) == 16, "as many as are of use"


def test_an_evaluation_takes_a_gpu_where_that_is_faster(paper: Params, project: Project) -> None:
    """Of the paper's networks it does; of the quick study's, which are small, the CPU is about as fast."""
    plans = {name: study_plan(paper, name) for name in ("paper", "quick")}
    for name, expected in (("paper", 1), ("quick", 0)):
        cell = next(cell for cell in plans[name].cells if "Bandit" not in cell.group.env and cell.evaluations)
        job = Evaluate(cell.group, (0, 1), cell.evaluations, ())
        assert demand.here(job, paper, 16, KNOWN)[1] == expected
        assert demand.here(Train(cell.group, (0, 1)), paper, 16, KNOWN)[1] == 1
        assert demand.elsewhere(job, paper, KNOWN)[1] == 1, "a cluster's node has its own"
    assert demand.here(Fetch("hopper", plans["paper"].cells[0].group.dataset), paper, 16, KNOWN) == (1, 0)


def test_a_clusters_jobs_are_estimated_by_a_gpu_that_was_measured(project: Project) -> None:
    """What is assumed of one could end a training in its middle."""
    on_gpu = project.set("compute.device", "auto").load()
    measured = replace(KNOWN, gpu=replace(KNOWN.gpu, date="2026-01-01"))
    assert demand.speed_elsewhere(on_gpu, measured) == measured.gpu
    assert demand.speed_elsewhere(on_gpu, KNOWN) == KNOWN.cpu
    assert demand.speed_elsewhere(project.set("compute.device", "cpu").load(), measured) == KNOWN.cpu


def test_a_gpus_speed_is_assumed_until_it_is_recorded(paper: Params, project: Project) -> None:
    assert speeds.gpus() == 2
    found = speeds.calibration(paper.compute)
    assert (found.device, found.date, found.flops) == ("cuda", "-", speeds.ASSUMED_GPU_FLOPS)
