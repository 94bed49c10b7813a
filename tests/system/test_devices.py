"""What is known of a device before it computes."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dac.agent import AgentConfig
from dac.system import devices
from dac.system.errors import UserError
from dac.training import curve


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((8, 9), True), ((9, 0), True)])
def test_gpus_multiply_bf16_since_ampere(
    capability: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert devices.multiplies_bf16(torch.device("cuda", 0)) is expected


def test_a_processor_is_asked_for_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        assert devices.multiplies_bf16(torch.device("cpu")) is has
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert devices.multiplies_bf16(torch.device("cpu"))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.device]]:
    """A machine with two GPUs, of which the second is free; lists the devices that were made current."""
    made_current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", made_current.append)
    with Path("/dev/null").open() as lock:
        monkeypatch.setattr(devices, "_free_gpu", lambda: (1, lock))
        yield made_current


@pytest.mark.parametrize("setting", ["auto", "cuda", "cuda:1"])
def test_a_claimed_gpu_is_the_current_one(setting: str, gpus: list[torch.device]) -> None:
    with devices.claimed(setting) as device:
        assert device == torch.device("cuda", 1)
        assert gpus == [device]


def test_a_gpu_that_is_not_there_is_refused(gpus: list[torch.device]) -> None:
    refused = (
        r"compute\.device: found 'cuda:2'; PyTorch sees 2 GPUs here, the last is cuda:1\. Give one of them, or auto"
    )
    with pytest.raises(UserError, match=refused), devices.claimed("cuda:2"):
        pass
    assert gpus == []


def test_no_gpu_is_made_current_for_the_cpu(gpus: list[torch.device]) -> None:
    with devices.claimed("cpu") as device:
        assert device == torch.device("cpu")
    assert gpus == []


def test_the_evaluators_process_makes_its_gpu_current(
    gpus: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It claims none: the GPU is the training's."""
    device = torch.device("cuda", 1)
    task = curve.CurveTask("Hopper-v5", AgentConfig(), (0,), 1, 1, 0.0, device, torch.get_num_threads())
    served: list[list[torch.device]] = []
    monkeypatch.setattr(curve, "serve", lambda *_: served.append(list(gpus)))
    curve._work(None, task, 1)  # type: ignore[arg-type]
    assert served == [[device]]
