"""What is known of a device before it computes."""

from __future__ import annotations

import platform

import pytest
import torch

from dac import devices


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
