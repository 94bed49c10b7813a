"""Reference returns that recorded data bring with them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from dac.study.catalog import minari_returns, usable_returns

LOG = logging.getLogger(__name__)


def of_minari(dataset_id: str, facts: Mapping[str, Any]) -> list[float] | None:
    """The reference returns in Minari's metadata; says so where they are of no use, or the catalog, which counts, has
    others.
    """
    found, used = [facts.get("ref_min_score"), facts.get("ref_max_score")], minari_returns(dataset_id)
    if None in found:
        return None
    numbers = usable_returns(found)
    if numbers is None:
        LOG.warning(
            "minari:%s: ref_min_score and ref_max_score of its metadata are %r and %r, which cannot be scores 0 and "
            "100: allowed are finite numbers, the first the smaller. They are left out; %s",
            dataset_id, *found, "scores here use D4RL's" if used else "set reference_returns: [min, max] of its tasks",
        )  # fmt: skip
        return None
    if used is not None and not np.allclose(used, numbers, rtol=1e-4):
        LOG.info(
            "minari:%s: its metadata has the references %s; scores here use D4RL's, %s", dataset_id, list(numbers), used
        )
    return list(numbers)
