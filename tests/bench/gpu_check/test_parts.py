"""What parts find, where it is not what it should be, and what they do with what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from gpu_box import Box, gpu
from tiny import write_rows

from dac.bench import parity
from dac.bench.gpu_check import computed, trained
from dac.bench.gpu_check.setup import SMALL, Failed, Setup, Sizes, Skipped
from dac.system import mps
from dac.system.errors import UserError


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    (tmp_path / "parts").mkdir()
    return Setup(tmp_path, "cpu", 0, 60.0)


def found_before(setup: Setup, part: str, result: Any) -> None:
    setup.file_of(part).write_text(json.dumps({"state": "passed", "said": "", "result": result}))


def test_failed_tests_are_counted(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "tests"
    own.mkdir()
    monkeypatch.setattr(computed, "TESTS", own)
    with pytest.raises(Skipped, match="this is none"):
        computed.tests(setup)
    text = (
        "import pytest\n@pytest.mark.gpu\n@pytest.mark.parametrize('n', [1, 2, 3])\ndef test_it(n):\n    assert n < 3\n"
    )
    (own / "test_one.py").write_text(text)
    with pytest.raises(Failed, match=r"1 of 3 failed, see tests\.log") as caught:
        computed.tests(setup)
    assert caught.value.result == {"tests": 3, "failures": 1, "errors": 0, "skipped": 0}
    (own / "test_one.py").write_text(text.replace("n < 3", "n < 4"))
    (own / "test_two.py").write_text(text.replace("@pytest.mark.gpu", "@pytest.mark.gpu\n@pytest.mark.experiment"))
    assert computed.tests(setup) == {"tests": 3, "failures": 0, "errors": 0, "skipped": 0}, "no setting uses the second"


def test_a_deviation_beyond_its_limit_fails(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "worst_deviations", lambda *_, **options: {"next_q": float(options["pack"] == 3)})
    with pytest.raises(Failed, match=r"float64: next_q of denoised_lcb deviates by 1\.0e\+00; .* \.\.\.$") as caught:
        computed.recorded(setup)
    assert set(caught.value.result) == {"float64", "fp32", "tf32", "bf16"}  # type: ignore[call-overload]


def test_packs_end_with_the_first_that_does_not_fit(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    median_seconds = computed.median_seconds

    def refuse(call: Any, seconds: float, device: torch.device) -> float:
        if len(call.__self__.agent.eta) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return median_seconds(call, seconds, device)

    monkeypatch.setattr(computed, "median_seconds", refuse)
    one, two = computed.packs(setup)
    assert one["step_ms"] > 0
    assert two == {"runs": 2, "graph": False, "refused": "CUDA out of memory"}


def test_a_training_has_as_many_steps_as_fit_the_time(setup: Setup) -> None:
    gpu = Setup(setup.folder, "cuda", 1, 430.0)
    assert trained._steps(gpu) == Sizes().steps == (100_000, 5_000)
    found_before(
        gpu, "packs", [{"runs": 8, "graph": False, "step_ms": 9.0}, {"runs": 8, "graph": True, "step_ms": 2.0}]
    )
    assert trained._steps(gpu)[0] == 100_000
    found_before(
        gpu, "packs", [{"runs": 8, "graph": True, "step_ms": 8.0}, {"runs": 16, "graph": True, "refused": "no"}]
    )
    assert trained._steps(gpu)[0] == 35_000, "70 % of 400 s, in whole intervals"
    found_before(gpu, "packs", [{"runs": 8, "graph": True, "step_ms": 800.0}])
    assert trained._steps(gpu)[0] == 5_000


def test_data_of_ones_own_are_trained_on(setup: Setup, tmp_path: Path) -> None:
    """And what was trained is what the targets are of."""
    write_rows(tmp_path / "rows.hdf5")
    own = Setup(setup.folder, "cpu", 0, 60.0, tmp_path / "rows.hdf5", "InvertedPendulum-v5")
    with pytest.raises(Skipped, match="`training`"):
        trained.targets(own)
    before = Path.cwd()
    found = trained.training(own)
    assert (found["task"], found["steps"], found["runs"]) == ("InvertedPendulum-v5", 100, SMALL.pack)
    assert Path.cwd() == before
    found_before(own, "training", found)
    assert set(trained.targets(own)) == {"fp32", "tf32", "bf16"}


def test_targets_that_are_not_float32_fail(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a driver's default multiplies in fewer bits."""
    found_before(setup, "training", trained.training(setup))
    assert trained.targets(setup)["fp32"]["rms"] > 0
    monkeypatch.setattr(trained, "LARGEST_ERROR", 1e-12)
    with pytest.raises(Failed, match=r"in float32 the targets are off by 0\.0% of the ensemble's spread"):
        trained.targets(setup)


def test_kernels_need_what_was_trained_and_triton(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they find where both are there is looked at in the check as a whole."""
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # which it sets in a process of its own
    with pytest.raises(Skipped, match="`training`"):
        trained.kernels(setup)
    monkeypatch.setattr("dac.bench.kernel.installed", lambda: False)
    with pytest.raises(Skipped, match="Triton is not installed"):
        trained.kernels(setup)


def test_kernels_that_do_not_fit_a_gpu_are_left_out(setup: Setup, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine is as right without them."""
    triton = pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    found_before(setup, "training", {"settings": {}})

    def refuse(*_: Any) -> Any:
        raise triton.OutOfResources(98_304, 65_536, "shared memory")

    monkeypatch.setattr(trained, "_errors", refuse)
    with pytest.raises(Skipped, match="do not fit this GPU: out of resource: shared memory, Required: 98304, Hardware"):
        trained.kernels(setup)
    monkeypatch.setattr(trained, "_errors", lambda *_: pytest.fail("it was tried"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    box(gpu("GPU-a"))
    with pytest.raises(Skipped, match=r"^Tesla T4 has compute capability 7\.5"):
        trained.kernels(Setup(setup.folder, "cuda", 1, 60.0))


def test_two_packs_are_timed_with_mps_and_without(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it only where its daemon's pipe is; without, the processes are kept from finding one."""
    seen = []

    def seconds(count: int, *arguments: Any, **named: Any) -> float:
        seen.append((count, os.environ.get(mps.PIPES)))
        return 1.0 if os.environ.get(mps.PIPES) == str(tmp_path) else 2.0 * count

    monkeypatch.setattr(computed, "step_seconds", seconds)
    monkeypatch.setenv(mps.PIPES, str(tmp_path))
    assert computed.two_packs(setup) == {
        "runs": SMALL.pack, "alone_ms": 2000.0, "together_ms": 4000.0, "gain": 1.0, "mps": None
    }  # fmt: skip
    os.mkfifo(tmp_path / "control")
    assert computed.two_packs(setup)["mps"] == {"alone_ms": 1000.0, "together_ms": 1000.0, "gain": 2.0}
    without, by_mps = [(1, "/dev/null"), (2, "/dev/null")], [(1, str(tmp_path)), (2, str(tmp_path))]
    assert seen == [*without, *without, *by_mps]


@pytest.mark.parametrize("mode", [0, 3, None])
def test_two_packs_where_the_driver_lets_one_process_compute(
    mode: int | None, setup: Setup, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compute mode that NVIDIA recommends for MPS: by MPS alone, and not at all where that does not run."""
    box(gpu("GPU-a", **({} if mode is None else {"mode": mode})), gpu("GPU-b"))

    def seconds(count: int, *arguments: Any, **named: Any) -> float:
        if mode == 3 and mps.control() is None:
            raise UserError("The benchmark 0 process ended unexpectedly")
        return float(count)

    monkeypatch.setattr(computed, "step_seconds", seconds)
    monkeypatch.setenv(mps.PIPES, str(tmp_path))
    on_gpu, both = Setup(setup.folder, "cuda", 1, 60.0), {"alone_ms": 1000.0, "together_ms": 2000.0, "gain": 1.0}
    if mode == 3:
        with pytest.raises(Skipped, match="EXCLUSIVE_PROCESS, MPS alone shares it, and does not run here"):
            computed.two_packs(on_gpu)
    else:
        assert computed.two_packs(on_gpu) == {"runs": 8, **both, "mps": None}
    os.mkfifo(tmp_path / "control")
    assert computed.two_packs(on_gpu) == {"runs": 8, **({} if mode == 3 else both), "mps": both}


def test_a_second_gpu_needs_two(setup: Setup) -> None:
    with pytest.raises(Skipped, match="one GPU is visible"):
        trained.second_gpu(Setup(setup.folder, "cuda", 1, 60.0))


def test_a_pack_that_does_not_fit_is_trained_in_parts(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it fits all the same, nothing is shown."""
    found = trained.out_of_memory(setup)
    assert found["runs"] == SMALL.pack == 2
    (said,) = found["said"]
    assert re.search(
        r"2 runs do not fit the device's memory; 1 at a time \(out of memory: \d+ bytes, of \d+ that", said
    )
    shutil.rmtree(setup.project)
    monkeypatch.setattr(trained, "SMALL_SHARE", 1.5)
    with pytest.raises(Failed, match="2 runs fitted into less memory than they were to need"):
        trained.out_of_memory(setup)
