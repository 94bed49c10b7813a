"""A large study that is about to train on a CPU is told how long that takes, first."""

from __future__ import annotations

import pytest
from gpu_box import Box, gpu
from tiny import Project, publish

from dac.cost import on_cpu, speeds


@pytest.fixture
def long(box: Box, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two runs of 500,000 steps."""
    monkeypatch.setattr(speeds, "cores", lambda: 4)
    return project.set("studies.tiny.settings.steps", 500_000).set("compute.device", "auto")


def test_a_long_study_is_told(long: Project) -> None:
    (notice,) = on_cpu.notices(long.plan())
    assert notice.startswith(
        "studies.tiny: 1,000,000 gradient steps on the CPU (no GPU was found: NVIDIA's driver does not answer (NVML "
        "Shared Library Not Found)), about "
    )
    assert " h on 4 cores; `dac plan tiny` says more." in notice or " min on 4 cores; `dac plan tiny`" in notice
    (meant,) = on_cpu.notices(long.set("compute.device", "cpu").plan())
    assert "(compute.device is cpu)" in meant


def test_others_are_not(long: Project, box: Box) -> None:
    """One of which a part is there, and one that computes on a GPU."""
    publish(long.plan().runs()[0])
    assert on_cpu.notices(long.plan()) == []
    box(gpu("GPU-a"))
    assert on_cpu.notices(long.set("studies.tiny.seeds", [0, 1, 2, 3]).plan()) == []
