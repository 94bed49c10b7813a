from __future__ import annotations

import pytest
import torch
from small import batch_of

from dac.agent import AgentConfig
from dac.agent.components import Q_TARGETS
from dac.agent.critic import (
    convex_combination,
    lower_confidence_bound,
    minimum,
    next_values,
    td_targets,
)

VALUES = torch.randn(2, 5, 7, dtype=torch.float64)


def test_lcb_uses_the_population_standard_deviation() -> None:
    values = torch.tensor([[[1.0], [2.0], [6.0]]])
    # mean 3, squared deviations 4 + 1 + 9 over 3 members
    expected = 3 - 1.5 * (14 / 3) ** 0.5
    assert lower_confidence_bound(values, 1.5).item() == pytest.approx(expected)


def test_identities_of_the_combinations() -> None:
    torch.testing.assert_close(lower_confidence_bound(VALUES, 0.0), VALUES.mean(1))
    torch.testing.assert_close(convex_combination(VALUES, 1.0), minimum(VALUES, 1.0))
    torch.testing.assert_close(convex_combination(VALUES, 0.0), VALUES.amax(1))
    torch.testing.assert_close(minimum(VALUES, 3.0), -(-VALUES).amax(1))
    torch.testing.assert_close(convex_combination(VALUES, 0.75), 0.75 * VALUES.amin(1) + 0.25 * VALUES.amax(1))


@pytest.mark.parametrize("q_target", Q_TARGETS)
def test_max_backup(q_target: str) -> None:
    next_q = torch.randn(2, 3, 4, 6)
    backup = AgentConfig(q_target=q_target, max_backup=True)
    mean = AgentConfig(q_target=q_target)
    single = next_q[..., :1]
    torch.testing.assert_close(next_values(backup, single), next_values(mean, single))
    reduced = next_q.amax(-1, keepdim=True)
    torch.testing.assert_close(next_values(backup, next_q), next_values(mean, reduced))
    torch.testing.assert_close(next_values(mean, next_q), next_values(mean, next_q.mean(-1, keepdim=True)))


def test_terminal_transitions_do_not_bootstrap() -> None:
    batch = batch_of(0, 0)
    targets = td_targets(AgentConfig(discount=0.9, q_target="min"), batch, torch.full((1, 3, 16, 4), 7.0))
    done = batch.dones.bool()
    assert done.any() and not done.all()
    assert torch.equal(targets[done], batch.rewards[done])
    torch.testing.assert_close(targets[~done], batch.rewards[~done] + 0.9 * 7.0)
