"""What a process has one of, random generators and torch's threads, set for a while and put back."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def random_state(seed: int, purpose: str) -> Iterator[int]:
    """Seed the global generators for one purpose and restore them, so that training around it is unchanged.

    Yields:
        a seed for that purpose, for environments.
    """
    import torch

    derived = int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:4], "little")
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(derived)
    np.random.seed(derived)
    torch.manual_seed(derived)
    try:
        yield derived
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch with so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
