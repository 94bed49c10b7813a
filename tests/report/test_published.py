from __future__ import annotations

import pytest

from dac.report import published
from dac.system.errors import UserError


def test_scores_are_quoted_with_their_source() -> None:
    dac = published.score("hopper-medium-v2", "DAC")
    assert dac is not None
    assert (dac.mean, dac.std) == (101.2, None)
    assert "README" in dac.source
    last = published.score("hopper-medium-v2", "DAC-curve-last5")
    assert last is not None
    assert last.std == 3.08


def test_what_nobody_published_is_none() -> None:
    assert published.score("hopper-medium-v2", "no such method") is None
    assert published.score("own_hopper", "DAC") is None
    assert published.curve("own_hopper").empty


def test_curves_end_at_the_published_scores() -> None:
    curve = published.curve("hopper-medium-v2")
    assert curve["step"].iloc[-1] == 2_000_000
    assert curve["step"].is_monotonic_increasing
    assert curve["mean"].tail(5).mean() == pytest.approx(101.2, abs=0.1)


def test_an_unknown_method_is_named_with_the_known_ones() -> None:
    published.check_methods(["DAC", "IQL"])
    with pytest.raises(UserError, match=r"'DACC' is not in .*published_scores\.csv; known: .*DAC, "):
        published.check_methods(["DAC", "DACC"])
