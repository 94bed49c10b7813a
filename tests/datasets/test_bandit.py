"""A bandit's rows."""

from __future__ import annotations

import numpy as np
import pytest

from dac.datasets import bandit
from dac.datasets.transitions import to_transitions
from dac.study import versions
from dac.study.catalog import BANDIT_SETS

# Projections of every set, at four decimals; they change with DATASET["bandit"] of dac/study/versions.py only.
GOLDEN = {
    (1, "two-gaussians"): [0.29023, 1.78684, -21.88299],
    (1, "three-gaussians"): [1.56992, 2.7362, -2.3707],
    (1, "two-moons"): [1.71366, 0.1424, -0.42224],
    (1, "two-circles"): [0.77398, 0.84689, 8.90492],
}


@pytest.mark.parametrize("name", BANDIT_SETS)
def test_the_sets_change_with_a_version_only(name: str) -> None:
    rows = bandit.dataset(name)
    weights = np.cos(np.arange(len(rows)))
    found = [*(weights @ rows.actions.astype(np.float64)), weights @ rows.rewards.astype(np.float64)]
    assert found == pytest.approx(GOLDEN[versions.DATASET["bandit"], name], abs=1e-4), (
        'the behaviour sets changed: if that is meant, raise DATASET["bandit"] in dac/study/versions.py and add '
        "these numbers"
    )


def test_the_dataset_has_noisy_rewards_and_only_terminal_rows() -> None:
    rows = bandit.dataset("three-gaussians")
    assert rows.terminals.all() and not rows.timeouts.any() and not rows.observations.any()
    noise = rows.rewards - bandit.expected_reward(rows.actions.astype(np.float64))
    assert noise.mean() == pytest.approx(0.0, abs=5 * 0.5 / 1200**0.5)
    assert noise.std() == pytest.approx(0.5, abs=5 * 0.5 / 2400**0.5)
    transitions = to_transitions(rows, "none")
    assert transitions.dones.all() and len(transitions) == len(rows) - 1
    assert (transitions.rewards == rows.rewards[:-1]).all()
