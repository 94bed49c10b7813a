"""A film that was not drawn: pictures of noise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from dac.report.data import Film
from dac.training import films


def noise(said: Mapping[str, Any], seed: int = 0) -> bytes:
    """Three pictures of 24 × 18 pixels that say of themselves what they are told to."""
    frames = np.random.default_rng(seed).integers(0, 255, (3, 18, 24, 3), np.uint8)
    return films._gif(list(frames), 10.0, json.dumps(said))


def invented_film(**changes: Any) -> Film:
    """The film of an experiment, with some of its facts changed."""
    facts: dict[str, Any] = {
        "task": "own_hopper",
        "variant": "soft",
        "seed": 3,
        "step": 3000,
        "action_samples": 10,
        "gif": noise({}),
        "episode_seed": 0,
        "steps": 80,
        "shown": 80,
        "returned": -12.34,
        "score": float("nan"),
    }
    return Film(**{**facts, **changes})
