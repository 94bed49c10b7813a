from __future__ import annotations

import pytest

from dac.agent import native


@pytest.fixture
def by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's operations compute on the CPU, too, as on a GPU and where no C compiler is."""
    monkeypatch.setattr(native, "takes", lambda *_: False)
