from __future__ import annotations

from collections.abc import Iterator

import pytest

from dac.agent import native


@pytest.fixture
def by_pytorch() -> Iterator[None]:
    """PyTorch's operations compute on the CPU, too, as on a GPU and where no C compiler is."""
    with native.by_pytorch():
        yield
