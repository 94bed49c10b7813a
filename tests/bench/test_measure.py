"""What `dac bench` measures adds up, and its page says what the records say."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from processes import all_gone

from dac.agent import Agent, AgentConfig
from dac.bench import kernel, measure, page, processes, workload
from dac.study.params import TrainingSettings
from dac.system.children import Child
from dac.system.errors import UserError

interpreted = pytest.mark.skipif(
    torch.cuda.is_available(), reason="the kernels are compiled where there is a GPU: tests/agent/test_fused.py"
)
SMALL = AgentConfig(hidden_sizes=(16, 16), ensemble_size=2, next_action_samples=2, diffusion_steps=3)


def test_the_parts_leave_the_pack_as_it_was_but_for_the_actors_step() -> None:
    """Timing a part must not change what the next is timed on: rates and averages of the others are zero."""
    work = workload.Workload(SMALL, 2, (4, 2), torch.device("cpu"))
    critic = work.agent.run_state(1)
    for name, part in work.parts().items():
        if name != "actor":
            part()
    after = work.agent.run_state(1)
    assert all(torch.equal(after[name], value) for name, value in critic.items() if not name.startswith("critic_adam/"))
    assert set(work.parts()) == set(page.PARTS)


def test_only_public_parts_of_the_agent_are_used() -> None:
    private = re.compile(r"(?<!\bself)(?<!\bos)\._[a-z]\w*|import _\w+")
    sources = list(Path(workload.__file__).parent.glob("*.py"))
    assert len(sources) > 5
    assert {path.name: found for path in sources if (found := private.findall(path.read_text()))} == {}


def test_steps_train_all_runs() -> None:
    work = workload.Workload(SMALL, 3, (4, 2), torch.device("cpu"))
    before = [work.agent.run_state(run)["actor/noise/0/kernel"] for run in range(3)]
    work.step()
    assert work.agent.step == 1
    assert all(not torch.equal(work.agent.run_state(run)["actor/noise/0/kernel"], before[run]) for run in range(3))
    work.act()


def test_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number that the page and the plan read, from real calls of a tiny agent."""
    monkeypatch.setattr(measure, "AgentConfig", lambda **changes: AgentConfig(**{**vars(SMALL), **changes}))
    found = measure.measure("cpu", 1, 0.01, runs=(2, 1), sweep=(3,), precision="bf16")
    assert found["precision"] == "bf16"
    assert found["plain_ms"] > 0
    assert [pack["runs"] for pack in found["packs"]] == [1, 2]
    assert found["step_ms"] == found["packs"][0]["step_ms"]
    assert all(value > 0 for pack in found["packs"] for value in pack["parts_ms"].values())
    assert [(row["diffusion_steps"], row["guidance"]) for row in found["sweep"]] == [(3, "soft"), (3, "denoised")]
    assert found["matmul_flops"] > 0
    assert found["separate"] is None
    peaks = [pack["peak_bytes"] for pack in found["packs"]]
    assert 0 <= peaks[0] <= peaks[1]
    assert found["environment_steps"] > 0
    assert json.loads(json.dumps(found)) == found


@interpreted
def test_the_kernels_are_timed_in_the_place_of_pytorchs_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are interpreted because somebody asks for that; else they need a GPU, and Triton."""
    monkeypatch.setattr(measure, "AgentConfig", lambda **changes: AgentConfig(**{**vars(SMALL), **changes}))
    if not kernel.installed():
        with pytest.raises(UserError, match="--kernel triton: Triton is not installed"):
            measure.measure("cpu", 1, 0.01, kernel="triton")
    pytest.importorskip("triton", reason="Triton is not installed")
    from dac.agent.fused import FusedAgent  # while they are to be interpreted, which is decided now

    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(UserError, match="--kernel triton: it is for a GPU"):
        measure.measure("cpu", 1, 0.01, kernel="triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    kernel.check_device("triton", torch.device("cpu"))
    kind = kernel.agent_kind("triton", SMALL)
    assert kind is FusedAgent
    work = workload.Workload(SMALL, 1, (4, 2), torch.device("cpu"), batch_size=8, kind=kind)
    work.step()
    assert isinstance(work.agent, FusedAgent)
    assert work.agent.device_step() == 1
    monkeypatch.setattr(kernel, "installed", lambda: False)
    with pytest.raises(UserError, match=r"^--kernel triton: Triton is not installed; .* -c constraints.txt triton\.$"):
        kernel.agent_kind("triton", SMALL)
    assert kernel.agent_kind("torch", SMALL) is Agent


@interpreted
def test_whatever_is_timed_of_a_kernel_is_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep and the processes beside each other, too: a record says one kernel of all its numbers."""
    pytest.importorskip("triton", reason="Triton is not installed")
    from dac.agent.fused import FusedAgent

    timed: list[tuple[int, type[Agent], str]] = []

    def median_seconds(call: Any, seconds: float, device: torch.device) -> float:
        if isinstance(owner := getattr(call, "__self__", None), workload.Workload) and call.__name__ == "step":
            timed.append((len(owner.agent.eta), type(owner.agent), owner.config.guidance))
        return 1.0

    def step_seconds(count: int, *arguments: Any, kind: type[Agent]) -> float:
        timed.append((count, kind, "separate"))
        return 1.0

    monkeypatch.setattr(measure, "AgentConfig", lambda **changes: AgentConfig(**{**vars(SMALL), **changes}))
    monkeypatch.setattr(measure, "median_seconds", median_seconds)
    monkeypatch.setattr(measure, "step_seconds", step_seconds)
    monkeypatch.setattr(measure, "_matmul_flops", lambda *_: 1.0)
    monkeypatch.setattr(workload, "TrainingSettings", lambda: TrainingSettings(batch_size=8))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    for name, kind in (("triton", FusedAgent), ("torch", Agent)):
        timed.clear()
        found = measure.measure("cpu", 1, 0.01, runs=(2,), sweep=(2,), processes=2, kernel=name)
        assert timed == [(2, kind, "soft"), (2, kind, "separate"), (1, kind, "soft"), (1, kind, "denoised")]
        assert found["kernel"] == name
        (pack,) = found["packs"]
        others = {"target_sampling", "target_q"} if name == "triton" else set()
        assert set(pack["parts_ms"]) == set(page.PARTS) - others, "those are PyTorch's operations"


def test_processes_compute_by_the_kernel_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    from dac.agent.fused import FusedAgent

    monkeypatch.setenv("TRITON_INTERPRET", "1")
    device = torch.device("cpu")
    with pytest.raises(UserError, match="ended unexpectedly"):  # no kernels of bf16: it is they that were asked for
        config = AgentConfig(**{**vars(SMALL), "precision": "bf16"})
        processes.step_seconds(1, (4, 2), device, 1, 0.01, config, batch_size=8, kind=FusedAgent)
    assert processes.step_seconds(1, (4, 2), device, 1, 0.01, SMALL, batch_size=8, kind=FusedAgent) > 0


def test_a_precision_without_kernels_is_refused_before_a_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setattr(measure.devices, "claimed", lambda _: pytest.fail("a GPU was asked for"))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    for device in ("cpu", "cuda"):
        with pytest.raises(UserError, match=r"^--kernel triton: precision: bf16; .* have fp32 and tf32\."):
            measure.measure(device, 1, 0.01, precision="bf16", kernel="triton")


def test_a_gpu_that_is_too_small_for_the_kernels_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turing's, whose blocks have 64 KiB of shared memory."""
    pytest.importorskip("triton", reason="Triton is not installed")
    device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    for capability in ((7, 5), (8, 0), (12, 0)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        kernel.check_device("torch", device)
        if capability >= (8, 0):
            kernel.check_device("triton", device)
            continue
        with pytest.raises(UserError, match=r"^--kernel triton: Tesla T4 has .* 7\.5, and .* with 8\.0\. "):
            kernel.check_device("triton", device)


def test_processes_of_one_run_each_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at the paper's sizes: each has its own process, and they are awaited and ended."""
    started: list[Child] = []

    def start(*arguments: Any) -> Child:
        started.append(Child(*arguments))
        return started[-1]

    monkeypatch.setattr(processes, "Child", start)
    before = time.perf_counter()
    seconds = processes.step_seconds(2, (4, 2), torch.device("cpu"), 2, 0.1, AgentConfig())
    assert 0 < seconds < time.perf_counter() - before, "either has made a step within the call"
    pids = {child.pid for child in started}
    assert len(pids - {os.getpid()}) == 2
    assert all_gone(pids, 0)


def record(machine: str, scale: float) -> dict[str, object]:
    packs = [
        {
            "runs": runs,
            "step_ms": scale * runs,
            "flops": 5e10,
            "parts_ms": dict.fromkeys(page.PARTS, 0.5),
            "acting_ms": 1.5,
            "peak_bytes": None,
        }
        for runs in (1, 4)
    ]
    sweep = [
        {"diffusion_steps": steps, "guidance": guidance, "step_ms": step, "actor_ms": actor}
        for steps in (5, 100)
        for guidance, step, actor in (("soft", 10.0, 2.0), ("denoised", 12.5, 2.0 * steps / 5))
    ]
    return {
        "machine": machine, "device": "cpu", "device_name": "cpu", "threads": 2, "versions": {"torch": "2.13.0"},
        "date": "2026-11-24", "packs": packs, "sweep": sweep, "matmul_flops": 1e11, "environment": "Hopper-v5",
        "environment_steps": 7000.0,
    }  # fmt: skip


def test_the_page_says_what_the_records_say(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    separate = {"processes": 4, "step_ms": 900.0}
    (results / "a.json").write_text(json.dumps(record("box", 100.0) | {"plain_ms": 120.0, "separate": separate}))
    (results / "b.json").write_text(json.dumps(record("tower", 50.0)))
    memory = record("server", 10.0)
    memory["packs"] = [
        pack | {"runs": runs, "peak_bytes": 1e6 * (40 + 5 * runs)}
        for runs, pack in zip((1, 2, 8), memory["packs"] * 2, strict=False)  # type: ignore[operator,call-overload]
    ]
    (results / "c.json").write_text(json.dumps(memory))
    (results / "calibration-old.json").write_text(json.dumps({"flops": 1.0}))
    text = page.write(tmp_path).read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    box = "box, fp32, 2 threads, torch 2.13.0, 2026-11-24"
    assert [box, "4", "400.0", "100.0", "1.20", "50", "50 %", "1.5", "-"] in rows
    tower = "tower, fp32, 2 threads, torch 2.13.0, 2026-11-24"
    assert [tower, "4", "200.0", "50.0", "-", "50", "50 %", "1.5", "-"] in rows
    assert [box, "100", "10.0", "12.5", "1.25", "2.0", "40.0", "20.00"] in rows
    assert [tower, "Hopper-v5", "7,000"] in rows
    assert [box, "4", "400.0", "900.0", "2.25", "4.00"] in rows
    assert ["server, fp32, 2 threads, torch 2.13.0, 2026-11-24", "5.0", "40.0", "0.0", "8"] in rows
    for name in re.findall(r"!\[\]\((.*?)\)", text):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_page_tells_kernels_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In tables and in figures, where two records of one name would be averaged into a line."""
    results = tmp_path / "results"
    results.mkdir()
    fused = record("box", 50.0) | {"kernel": "triton"}
    for pack in fused["packs"]:  # type: ignore[attr-defined]
        pack["parts_ms"] = {part: 0.5 for part in page.PARTS if not part.startswith("target_")}
    (results / "a.json").write_text(json.dumps(record("box", 100.0) | {"kernel": "torch"}))
    (results / "b.json").write_text(json.dumps(fused))
    drawn: dict[str, set[str]] = {}

    def plot(frame: pd.DataFrame, x: str, hue: str, *_: object) -> None:
        assert not frame.duplicated([x, hue]).any()
        drawn[x] = set(frame[hue])

    monkeypatch.setattr(page, "_plot", plot)
    text = page.write(tmp_path).read_text()
    assert "Kernels that compute both in their own way are timed in the whole step alone." in text
    lines = text.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    torchs, tritons = (f"box, fp32, {name}2 threads, torch 2.13.0, 2026-11-24" for name in ("", "triton, "))
    assert drawn["runs"] == {torchs, tritons}
    assert len(drawn["T"]) == 4
    assert [tritons, "1", "0.50", "0.50", "-", "-", "0.50", "0.50", "0.50", "50.0"] in rows
    assert [torchs, "1", *["0.50"] * 7, "100.0"] in rows


def test_a_page_without_results(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no result is recorded there; run `make bench` first"):
        page.write(tmp_path)
