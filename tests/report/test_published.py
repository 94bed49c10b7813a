from __future__ import annotations

import csv

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


def test_every_published_score_has_a_protocol_with_its_source() -> None:
    """What no source states is said to be so; what one states has the source beside it."""
    with (published.REFERENCE / "published_scores.csv").open(encoding="utf-8", newline="") as stream:
        numbers = {(row["method"], row["suite"]) for row in csv.DictReader(stream)}
    with (published.REFERENCE / "published_protocols.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["method"], row["suite"]) for row in rows} == numbers and len(rows) == len(numbers)
    rules = {"mean of the last 5 evaluations", "last evaluation", "best evaluation", ""}
    assert {row["selection"] for row in rows} == rules
    assert all(row["source"] for row in rows)


def test_a_score_comes_with_its_rule() -> None:
    def rule(method: str, dataset: str) -> tuple[str, int | None, int | None]:
        found = published.score(dataset, method)
        assert found is not None and found.protocol.source
        return found.protocol.selection, found.protocol.seeds, found.protocol.episodes

    assert rule("DAC", "hopper-medium-v2") == ("mean of the last 5 evaluations", 8, 10)
    assert rule("DQL", "hopper-medium-v2") == ("best evaluation", None, 10)
    assert rule("DQL", "antmaze-umaze-v0") == ("best evaluation", None, 100)
    assert rule("IDQL-A", "hopper-medium-v2")[0] == "last evaluation"
    assert rule("CQL", "hopper-medium-v2") == (published.NOT_STATED, None, None)
    table = published.scores(["hopper-medium-v2"]).set_index("method")
    assert (table.loc["DQL", "selection"], table.loc["CQL", "selection"]) == ("best evaluation", "not stated")


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
