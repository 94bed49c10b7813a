"""Transitions from rows, and their rewards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dac.datasets.transitions import to_transitions
from dac.rows.raw import RawDataset
from dac.system.errors import UserError


def test_pairs_stay_inside_episodes(raw: RawDataset) -> None:
    transitions = to_transitions(raw, "none")
    # Row 2 ends by time-out and row 8 is the last; rows 4 and 6 terminate and stay, 6 although it also times out.
    assert transitions.observations[:, 0].tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert transitions.next_observations[:, 0].tolist() == [1, 2, 4, 5, 6, 7, 8]
    assert transitions.dones.tolist() == [0, 0, 0, 1, 0, 1, 0]
    assert transitions.rewards.tolist() == [1, 1, 0, 1, -3, 0, 5]
    assert len(transitions) == 7


def test_types_are_float32(raw: RawDataset) -> None:
    for scaling in ("locomotion", "antmaze-shift", "none"):
        transitions = to_transitions(raw, scaling)
        for name in ("observations", "actions", "rewards", "next_observations", "dones"):
            assert getattr(transitions, name).dtype == np.float32, (scaling, name)


def test_actions_are_clipped_inside_the_bounds(raw: RawDataset) -> None:
    actions = to_transitions(raw, "none").actions[:, 0]
    assert actions[0] == np.float32(-1.0 + 1e-5)
    assert actions[1] == np.float32(0.5)
    border = replace(raw, actions=np.ones_like(raw.actions))
    assert np.unique(to_transitions(border, "none").actions).tolist() == [np.float32(1.0 - 1e-5)]


def test_locomotion_scaling_divides_by_the_range_of_returns(raw: RawDataset) -> None:
    # Best 7 (the partial episode), worst -3: rewards are multiplied by 1000 / 10.
    assert to_transitions(raw, "locomotion").rewards.tolist() == [100, 100, 0, 100, -300, 0, 500]


def test_antmaze_shift_subtracts_one(raw: RawDataset) -> None:
    assert to_transitions(raw, "antmaze-shift").rewards.tolist() == [0, 0, -1, 0, -4, -1, 4]


def test_locomotion_scaling_needs_two_different_returns(raw: RawDataset) -> None:
    with pytest.raises(UserError, match="have the return 0"):
        to_transitions(replace(raw, rewards=np.zeros_like(raw.rewards)), "locomotion")


def test_unknown_scaling_names_the_choices(raw: RawDataset) -> None:
    with pytest.raises(UserError, match=r"'reciprocal'; allowed: locomotion, antmaze-shift, none"):
        to_transitions(raw, "reciprocal")


def test_too_few_rows(raw: RawDataset) -> None:
    one = RawDataset(raw.observations[:1], raw.actions[:1], raw.rewards[:1], raw.terminals[:1], raw.timeouts[:1])
    with pytest.raises(UserError, match="has 1 rows"):
        to_transitions(one, "none")
