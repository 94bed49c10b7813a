from __future__ import annotations

from typing import Any

import pytest
from tiny import Project

from dac.study.labels import told_apart


def said(project: Project) -> dict[str, str]:
    """What the labels of the study's variants leave out, by variant."""
    plan = project.plan()
    found = told_apart(plan.params, ["pendulum"])
    return {cell.variant: found[cell.group] for cell in plan.cells}


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ({"diffusion_steps": [2, 5]}, {"2": "diffusion_steps=2", "5": "diffusion_steps=5"}),
        ({"hidden_sizes": [[8], [4, 4]]}, {"[8]": "hidden_sizes=8", "[4, 4]": "hidden_sizes=4-4"}),
        ({"max_backup": [True, False]}, {"true": "max_backup=true", "false": "max_backup=false"}),
        # These the label has.
        ({"ensemble_size": [2, 3]}, {"2": "", "3": ""}),
        ({"lcb_coefficient": [0.5, 1.0]}, {"0.5": "", "1.0": ""}),
    ],
)
def test_the_varied_value(vary: dict[str, Any], expected: dict[str, str], project: Project) -> None:
    project.set("experiments.main", {"title": "Main", "tasks": ["pendulum"], "vary": vary})
    assert said(project.set("studies.tiny.settings.ensemble_size", 2)) == expected


def test_variants_of_one_label(project: Project) -> None:
    variants = {"soft": {}, "slow": {"eta": 0.5, "actor_lr": 1e-4}, "hard": {"guidance": "hard", "eta": 0.5}}
    assert said(project.set("experiments.main.variants", variants)) == {
        "soft": "actor_lr=0.0003,eta=1.0",
        "slow": "actor_lr=0.0001,eta=0.5",
        "hard": "",
    }


def test_experiments_do_not_tell_each_other_apart(project: Project) -> None:
    project.set("experiments.guidance", {**project.settings["experiments"]["main"], "settings": {"eta": 2.0}})
    project.set("studies.tiny.experiments", ["main", "guidance"])
    assert set(said(project).values()) == {""}


def test_a_label_stays_what_it_is(project: Project) -> None:
    project.set("experiments.main", {"title": "Main", "tasks": ["pendulum"], "vary": {"diffusion_steps": [2, 5]}})
    assert {cell.group.label for cell in project.plan().cells} == {"soft-H2-lcb0.5"}
