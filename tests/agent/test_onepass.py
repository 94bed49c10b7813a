"""Mish in one pass: to the bit what PyTorch's kernels give in several, and those where it cannot be had."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dac.agent import activation, onepass

compiled = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> onepass.Functions:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        found = onepass.functions()
    assert found is not None
    return found


@pytest.fixture
def not_kept() -> Iterator[None]:
    """What this process found out of the machine is found out anew, before and after."""
    activation._one_pass.cache_clear()
    yield
    activation._one_pass.cache_clear()


def bits(x: Tensor) -> Tensor:
    """A tensor's bits; those of one NaN for all."""
    return x.where(~x.isnan(), torch.tensor(float("nan"))).view(torch.int32)


@compiled
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0, 1000.0])
def test_every_bit_is_that_of_the_kernels(functions: onepass.Functions, threads: int, scale: float) -> None:
    """Also of what is left over behind the last whole vector, of a thread's share, and of numbers beyond all ranges."""
    before, generator = torch.get_num_threads(), torch.Generator().manual_seed(0)
    torch.set_num_threads(threads)
    try:
        for size in (0, 1, 3, 7, 8, 9, 31, 33, 1000, 4097, onepass.SHARED_OUT + 1, 4 * onepass.SHARED_OUT + 3):
            x = scale * torch.randn(size, generator=generator)
            x[:5] = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan")])[: len(x)]
            expected = activation.mish_and_slope_in_passes(x)
            found = functions.mish_and_slope(x, torch.sigmoid(x))
            for one, other in zip(found, expected, strict=True):
                assert torch.equal(bits(one), bits(other)), size
            alone = functions.mish(x.clone(), torch.sigmoid(x))
            assert torch.equal(bits(alone), bits(activation.mish_in_passes(x))), size
    finally:
        torch.set_num_threads(before)


@compiled
@pytest.mark.usefixtures("not_kept")
def test_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of float32 in one piece: others take the kernels."""
    monkeypatch.setattr(activation, "mish_in_passes", lambda x: x.zero_())
    x = torch.linspace(1, 2, 6)
    assert activation._one_pass() is None, "no bit is that of the replaced kernels"
    monkeypatch.undo()
    activation._one_pass.cache_clear()
    assert activation._one_pass() is not None
    monkeypatch.setattr(activation, "mish_in_passes", lambda x: x.zero_())
    assert activation.mish(x.clone()).sum() > 6
    assert activation.mish(x.double()).sum() == 0
    assert activation.mish(x.view(2, 3).T).sum() == 0


def test_other_bits_are_not_used(monkeypatch: pytest.MonkeyPatch, not_kept: None) -> None:
    class Other:
        def mish(self, x: Tensor, s: Tensor) -> Tensor:
            return activation.mish_in_passes(x)

        def mish_and_slope(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
            value, slope = activation.mish_and_slope_in_passes(x)
            slope[17] = torch.nextafter(slope[17], torch.tensor(9.0))
            return value, slope

    monkeypatch.setattr(onepass, "functions", Other)
    assert activation._one_pass() is None
    value, _ = activation.mish_and_slope(torch.ones(3))
    assert torch.equal(value, activation.mish_in_passes(torch.ones(3)))


@pytest.mark.usefixtures("not_kept")
def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with caplog.at_level(logging.INFO):
        assert torch.equal(activation.mish(torch.ones(3)), activation.mish_in_passes(torch.ones(3)))
    assert "There is no C compiler (cc) here: PyTorch's kernels compute the same" in caplog.text


@compiled
def test_what_does_not_compile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(onepass, "SOURCE", tmp_path / "broken.c")
    onepass.SOURCE.write_text("void mish(")
    with caplog.at_level(logging.INFO):
        assert onepass.functions() is None
    assert "is not compiled; PyTorch's kernels compute the same" in caplog.text and "broken.c:1" in caplog.text
    assert not list((tmp_path / "cache/dac").iterdir()), "nothing half-done is left"


@compiled
def test_nobody_has_a_home(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """In a container, say, whose user is a number without a name."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with caplog.at_level(logging.INFO):
        assert onepass.functions() is None
    assert "Could not determine home directory." in caplog.text


@compiled
def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert onepass.functions() is not None
    (library,) = (tmp_path / "dac").iterdir()
    made = library.stat().st_mtime_ns
    monkeypatch.setattr(onepass, "COMPILE_SECONDS", 0.0)  # too few for another compilation
    assert onepass.functions() is not None
    assert [path.stat().st_mtime_ns for path in (tmp_path / "dac").iterdir()] == [made]
