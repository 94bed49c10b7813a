from __future__ import annotations

import time

import pytest
from tiny import Project

from dac.system.errors import UserError


def told(project: Project) -> list[str]:
    with pytest.raises(UserError) as refused:
        project.load()
    return str(refused.value).splitlines()


def test_of_very_many_mistakes_the_first_are_told_at_once(project: Project) -> None:
    project.settings["agent"] = {f"eta_{number}": 1 for number in range(3000)}
    started = time.process_time()
    lines = told(project)
    assert time.process_time() - started < 10
    assert len(lines) == 1 + 50 + 1
    assert lines[0] == "params.yaml: 3000 problems; nothing was run."
    assert lines[1].startswith("  - agent.eta_0: unknown key; allowed: ")
    assert lines[-1] == "  … and 2950 more"


def test_long_texts_are_cut_off(project: Project) -> None:
    project.set("training.steps", ["x" * 5000])
    project.settings["k" * 5000] = 1
    assert max(map(len, told(project))) < 900


def test_as_many_as_are_told_are_all(project: Project) -> None:
    project.settings["agent"] = {f"eta_{number}": 1 for number in range(50)}
    assert len(told(project)) == 1 + 50
