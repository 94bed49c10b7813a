"""Numbers change with a numerics version only; see tests/support/golden.py."""

from __future__ import annotations

import json

import golden
import pytest
from torch import Tensor

from dac.agent import critic
from dac.study import versions


def test_numbers_change_with_a_version_only() -> None:
    message = golden.check()
    assert message is None, message


def test_a_changed_target_is_seen_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample_deviation(values: Tensor, coefficient: float) -> Tensor:
        return values.mean(1) - coefficient * values.std(1, correction=1)

    monkeypatch.setitem(critic._COMBINATIONS, "lcb", sample_deviation)
    message = golden.check()
    assert message is not None
    assert 'raise Q_TARGET["lcb"]' in message
    assert "6 of 8 agents" in message


def test_a_bump_without_new_numbers_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "COMMON", versions.COMMON + 1)
    message = golden.check()
    assert message is not None and "python tests/support/golden.py" in message


def test_the_verdict_names_the_component() -> None:
    soft = {agent for agent in golden.COMBINATIONS if agent.guidance == "soft"}
    assert len(soft) == 5
    assert golden.verdict(soft) == 'GUIDANCE["soft"]'
    assert golden.verdict({golden.Combination("denoised")}) == 'GUIDANCE["denoised"]'
    assert golden.verdict({golden.Combination("soft", "min")}) == 'Q_TARGET["min"]'
    assert golden.verdict({golden.Combination(precision="bf16")}) == 'PRECISION["bf16"]'
    assert golden.verdict(set(golden.COMBINATIONS)) == "COMMON"


def test_every_parameter_has_a_checksum() -> None:
    recorded = json.loads(golden.CHECKSUMS.read_text())
    names = recorded[golden.name_of(golden.Combination("soft", "lcb"))]
    for network in ("actor", "target_actor", "critic", "target_critic", "actor_adam/m", "critic_adam/v"):
        assert any(name.startswith(f"{network}/") for name in names), network
    assert "eta" in names
