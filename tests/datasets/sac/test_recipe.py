from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dac.datasets.sac.recipe import sac_recipe, wanted_level
from dac.system.errors import UserError

RECIPE: dict[str, Any] = {
    "sac": {"steps": 300, "hidden_sizes": [16]},
    "levels": {
        "medium-replay": {"at_step": 250, "at_return": None, "transitions": None},
        "medium": {"at_return": 200.0, "transitions": 120},
    },
}


def test_what_a_recipe_leaves_out_is_stable_baselines_own() -> None:
    recipe = sac_recipe(RECIPE["sac"])
    assert (recipe.steps, recipe.hidden_sizes, recipe.batch_size) == (300, (16,), 256)


def test_a_level_is_taken_at_a_step_or_at_a_return(tmp_path: Path) -> None:
    replay, medium = (wanted_level(name, tmp_path, RECIPE) for name in RECIPE["levels"])
    assert (replay.threshold, replay.transitions) == ("at_step 250", None)
    assert (medium.threshold, medium.transitions) == ("at_return 200", 120)


@pytest.mark.parametrize(
    ("level", "settings", "message"),
    [
        ("easy", {"at_step": 5}, r"'easy' is not in the recipe; allowed: medium"),
        ("medium", {"transitions": 5}, r"give one of at_step and at_return"),
        ("medium", {"at_step": 5, "at_return": 5.0, "transitions": 5}, r"give one of at_step and at_return"),
        ("medium", {"at_step": 5}, r"transitions None; it is required"),
        ("medium-replay", {"at_step": 5, "transitions": 5}, r"transitions 5; it has none, it is all experience"),
    ],
)
def test_wrong_levels(level: str, settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    known = "medium" if level == "easy" else level
    with pytest.raises(UserError, match=message):
        wanted_level(level, tmp_path, {**RECIPE, "levels": {known: settings}})


@pytest.mark.parametrize(
    ("settings", "message"), [({"step": 5}, r"unknown key 'step'; allowed: steps,"), ({}, r"'steps' is missing")]
)
def test_wrong_settings_of_sac(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sac_recipe(settings)
