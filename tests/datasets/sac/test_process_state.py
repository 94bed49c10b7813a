from __future__ import annotations

import random

import numpy as np
import torch

from dac.datasets.sac.process_state import random_state, torch_threads


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), torch.rand(1).item()


def test_a_purpose_has_its_own_numbers_and_leaves_the_others_alone() -> None:
    """Evaluations and roll-outs in mid-training must leave the training's own stream alone."""
    with random_state(3, "training"):
        expected = [draws(), draws()]
    with random_state(3, "training"):
        first = draws()
        with random_state(3, "evaluation") as seed:
            inside = draws()
        assert [first, draws()] == expected
    assert inside not in expected
    with random_state(3, "evaluation") as again:
        assert (again, draws()) == (seed, inside)


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
