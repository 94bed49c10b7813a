"""Imports of large libraries, such as PyTorch."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def of_what_stays() -> Iterator[None]:
    """Nothing that is imported in the block is searched for garbage, there or later.

    Modules, classes and functions stay as long as the process; to look through all of them again and again while there
    come more is a part of the time that the import of PyTorch and pandas takes.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
