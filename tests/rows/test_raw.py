from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dac.rows.raw import RawDataset, closed, content_hash, episode_returns, episode_slices, place, statistics


@pytest.mark.parametrize(
    ("row", "said"), [(0, "0 of episode 0"), (2, "2 of episode 0"), (3, "0 of episode 1"), (8, "1 of episode 3")]
)
def test_the_place_of_a_row(raw: RawDataset, row: int, said: str) -> None:
    assert place(raw, row) == f"row {row} (row {said})"


def test_one_end_for_each_episode(raw: RawDataset) -> None:
    found = closed(raw)
    assert np.flatnonzero(found.terminals).tolist() == [4, 6]
    assert np.flatnonzero(found.timeouts).tolist() == [2, 8]
    assert (closed(found).timeouts == found.timeouts).all()
    assert np.flatnonzero(raw.timeouts).tolist() == [2, 6], "its argument is left alone"


def test_episode_returns_count_the_partial_last_episode(raw: RawDataset) -> None:
    assert episode_returns(raw).tolist() == [4, 1, -3, 7]
    assert list(episode_slices(raw)) == [slice(0, 3), slice(3, 5), slice(5, 7), slice(7, 9)]


def test_an_end_at_the_last_row_makes_no_empty_episode(raw: RawDataset) -> None:
    timeouts = raw.timeouts.copy()
    timeouts[-1] = True
    assert episode_returns(replace(raw, timeouts=timeouts)).tolist() == [4, 1, -3, 7]


def test_content_hash_sees_values_shapes_and_types(raw: RawDataset) -> None:
    reference = content_hash(raw)
    assert content_hash(replace(raw, rewards=raw.rewards.copy())) == reference
    assert content_hash(replace(raw, observations=np.asfortranarray(raw.observations))) == reference
    changed = [
        replace(raw, rewards=raw.rewards + np.float32(1e-6)),
        replace(raw, rewards=raw.rewards.astype(np.float64)),  # type: ignore[arg-type]
        replace(raw, observations=raw.observations.reshape(6, 3)),
        replace(raw, terminals=raw.timeouts, timeouts=raw.terminals),
    ]
    hashes = {reference, *(content_hash(dataset) for dataset in changed)}
    assert len(hashes) == 5


def test_content_hash_is_stable(raw: RawDataset) -> None:
    """The hash stands in every run.json; a change of its definition would invalidate all of them."""
    assert content_hash(raw) == "a91941ab342d3cfde453f05cb575969b4e1316820e75fb5fd43054d20d304375"


def test_statistics(raw: RawDataset) -> None:
    numbers = statistics(raw)
    assert numbers["episodes"] == 4
    assert numbers["steps"] == 9
    assert numbers["return"]["mean"] == 2.25
    assert numbers["return"]["std"] == pytest.approx(np.std([4, 1, -3, 7]))
    assert (numbers["return"]["min"], numbers["return"]["max"]) == (-3, 7)
    assert numbers["return"]["quantiles"]["50%"] == 2.5
    assert numbers["length"] == {"mean": 2.25, "min": 2, "max": 3}
