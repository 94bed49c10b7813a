"""`dac time` times the steps that its experiment says, and records them with their machine."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tiny import COMPUTE, Project

from dac import cli
from dac.bench import timing as bench
from dac.bench.workload import Workload
from dac.study import store, timings
from dac.study.pending import Pending
from dac.system import provenance


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the workloads were made with that are timed, and how many threads PyTorch had."""
    found: list[dict[str, Any]] = []

    class Recorded(Workload):
        def __init__(self, config: Any, runs: int, sizes: tuple[int, int], device: torch.device, **rest: Any) -> None:
            super().__init__(config, runs, sizes, device, **rest)
            found.append({"config": config, "runs": runs, "sizes": sizes, "threads": torch.get_num_threads(), **rest})

    monkeypatch.setattr(bench, "Workload", Recorded)
    return found


def test_the_steps_of_a_group_are_timed(project: Project, made: list[dict[str, Any]]) -> None:
    plan = project.with_timing().plan()
    timing = plan.timed[-1].timing
    bench.measure(timing, COMPUTE, threads=1)
    (workload,) = made
    config = workload.pop("config")
    assert (config.guidance, config.diffusion_steps, config.hidden_sizes) == ("denoised", 2, (8, 8))
    # An InvertedPendulum is observed by four numbers and moved by one.
    assert workload == {"runs": 1, "sizes": (4, 1), "threads": 1, "batch_size": 16, "terminal": False}
    content = timings.recorded(timing)
    assert len(content["repeats"]) == 2
    assert all(repeat["step_ms"] > 0 and repeat["actor_ms"] > 0 for repeat in content["repeats"])
    found = content["provenance"]
    assert (found["machine"], found["device"], found["threads"]) == (provenance.machine(), "cpu", 1)
    assert found["versions"]["torch"] == provenance.version("torch")
    assert json.loads(store.JOURNAL.read_text())["timing"] == f"pendulum/{timing.name}"


def test_what_the_store_has_is_left_alone(project: Project, made: list[dict[str, Any]]) -> None:
    timing = project.with_timing().plan().timed[0].timing
    bench.measure(timing, COMPUTE, threads=1)
    before = (timing.directory / "timing.json").read_bytes()
    bench.measure(timing, COMPUTE, threads=1)
    assert len(made) == 1
    assert (timing.directory / "timing.json").read_bytes() == before


def test_the_jobs_of_a_study_leave_it_with_its_times(project: Project) -> None:
    project.with_timing().set("studies.tiny.experiments", ["timed"])
    for timing in project.plan().timings():
        assert cli.main(["time", "pendulum", timing.name, "--threads", "1"]) == 0
    assert Pending(project.load(), "5e5510").runs("tiny") == []


def test_a_job_of_an_old_plan_refuses(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    name = project.with_timing().plan().timed[0].timing.name
    project.set("studies.tiny.settings.batch_size", 17).load()
    assert cli.main(["time", "pendulum", name]) == 1
    assert f"no longer describes pendulum/{name}" in capsys.readouterr().err
