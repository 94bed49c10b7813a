"""What is known of a device before it computes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import types

import pytest
import torch
from gpu_box import Box, gpu

from dac.agent import AgentConfig
from dac.system import devices, gpus
from dac.system.errors import UserError
from dac.training import curve


@pytest.fixture
def made_current(box: Box, monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """The devices that are made current, on a machine with two GPUs of which the second has more memory free."""
    box(gpu("GPU-a", free=40), gpu("GPU-b"))
    found: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    return found


@pytest.mark.parametrize(
    ("setting", "uuid"), [("auto", "GPU-b"), ("cuda", "GPU-b"), ("cuda:0", "GPU-a"), ("cuda:1", "GPU-b")]
)
def test_a_claimed_gpu_is_the_only_one_that_is_seen(setting: str, uuid: str, made_current: list[torch.device]) -> None:
    """It is CUDA's first, here and in the processes that are started from here, which inherit the variable."""
    with devices.claimed(setting) as device:
        assert device == torch.device("cuda", 0)
        assert made_current == [device]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == uuid


def test_where_cuda_was_in_use_before_the_numbers_of_that_time_count(
    made_current: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with devices.claimed("auto") as device:
        assert made_current == [device] == [torch.device("cuda", 1)]


def test_two_claims_of_one_number_wait_for_each_other(
    made_current: list[torch.device], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A GPU that is named is held as one that is found; two packs share it where that is asked for."""
    caplog.set_level("INFO")

    class Waiting(Exception):  # noqa: N818
        pass

    def wait(_: float) -> None:
        raise Waiting

    monkeypatch.setattr(gpus.time, "sleep", wait)
    with devices.claimed("cuda:1"):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with pytest.raises(Waiting), devices.claimed("cuda:1"):
            pass
        assert "waiting for a free GPU, 0 min so far: cuda:1 (Fake GPU" in caplog.text
        with devices.claimed("cuda:1", packs=2):
            assert len(made_current) == 2


def test_a_gpu_that_is_not_there_is_refused(made_current: list[torch.device]) -> None:
    refused = (
        r"^params\.yaml: compute\.device: found 'cuda:2'; 2 GPUs are visible here, the last is cuda:1\. "
        "Give one of them, or auto"
    )
    with pytest.raises(UserError, match=refused), devices.claimed("cuda:2"):
        pass
    assert made_current == []


@pytest.mark.parametrize("setting", ["cuda", "cuda:0"])
@pytest.mark.parametrize("asked_by", ["params.yaml: compute.device", "--device"])
def test_a_gpu_that_was_promised_and_is_not_there_is_an_error(setting: str, asked_by: str, box: Box) -> None:
    """It names what asked for the GPU."""
    said = (
        rf"^{asked_by}: a GPU is to be used \({setting}\), and none can be: "
        r"NVIDIA's driver does not answer \(NVML Shared Libra"
    )
    with pytest.raises(UserError, match=said), devices.claimed(setting, asked_by=asked_by):
        pass


@pytest.mark.parametrize("setting", ["auto", "cuda"])
def test_a_gpu_that_pytorch_cannot_use_is_an_error(
    setting: str, made_current: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And gives it back."""

    def refuse() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update.\nMore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    said = r"says: The NVIDIA driver on your system is too old \(found version 11040\)\. Please update\. Correct that"
    with pytest.raises(UserError, match=said), devices.claimed(setting):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with devices.claimed(setting):
        assert len(made_current) == 1


def test_gpus_without_nvml_are_those_that_pytorch_sees(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA takes no such name for a device, so nothing is hidden."""
    seen = types.SimpleNamespace(uuid="1a2b", name="Other GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: seen)
    with devices.claimed("cuda:1") as device:
        assert device == torch.device("cuda", 1)
        assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("found", [True, False])
def test_no_gpu_is_made_current_for_the_cpu(
    found: bool, made_current: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is asked for, or there is no GPU and none was asked for."""
    if not found:
        monkeypatch.delenv("FAKE_NVML")
    with devices.claimed("cpu" if found else "auto") as device:
        assert device == torch.device("cpu")
    assert made_current == []


# Each is how a library, or PyTorch, says that there was no memory.
NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    MemoryError(),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("CUDA error: operation failed due to a previous error during capture"),
    RuntimeError("in a child process:\nTraceback\n  File\ntorch.AcceleratorError: CUDA error: out of memory\nCompile"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: str(error)[:40])
def test_memory_that_ran_out_is_known_in_all_words(error: Exception) -> None:
    said = devices.out_of_memory(error)
    assert said
    assert "\n" not in said
    later = RuntimeError("the stream is in an unknown state")
    later.__context__ = error
    assert devices.out_of_memory(later) == said


def test_other_errors_are_not_of_memory() -> None:
    assert devices.out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered")) is None
    assert devices.out_of_memory(ValueError("ran out of memory of it")) is None


def test_the_c_library_says_so_itself() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**14)
    assert "DefaultCPUAllocator: can't allocate memory" in (devices.out_of_memory(caught.value) or "")


def test_the_evaluators_process_makes_its_gpu_current(
    made_current: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It claims none: the GPU is the training's."""
    device = torch.device("cuda", 1)
    task = curve.CurveTask("Hopper-v5", AgentConfig(), (0,), 1, 1, 0.0, device, torch.get_num_threads())
    served: list[list[torch.device]] = []
    monkeypatch.setattr(curve, "serve", lambda *_: served.append(list(made_current)))
    curve._work(None, task, 1)  # type: ignore[arg-type]
    assert served == [[device]]


FAULTS = """
import resource, torch
from dac.system import devices
torch.set_num_threads(1)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(8, 1 << 20).add(1.0)  # two tensors of 32 MiB, taken and freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

bare = faults()
with devices.claimed("cpu"):
    print(bare, min(faults() for _ in range(5)))  # something small that is allocated between them may split a hole
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one")
def test_a_claimed_cpu_keeps_the_memory_that_a_step_frees() -> None:
    """Its pages are fetched once; before, anew each time. In a process of its own, which keeps it for good."""
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=300)
    bare, claimed = map(int, run.stdout.split())
    assert bare > 4 * 100 * max(1, claimed)
