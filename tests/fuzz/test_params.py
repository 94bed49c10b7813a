"""params.yaml of strangers: read and planned with, or refused in a sentence."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hostile import damaged, mutated, stretched, survive
from hypothesis import strategies as st
from tiny import PARAMS, Project

from dac.cost import table
from dac.study import check, why
from dac.study.pending import Pending
from dac.verify import command

pytestmark = pytest.mark.soak

PATH = Path("params.yaml")


def rich() -> dict[str, Any]:
    """The tiny project with something in every section."""
    params = copy.deepcopy(PARAMS)
    params["presets"] = {"small": {"hidden_sizes": [8, 8], "steps": 40}}
    params["experiments"]["guidance"].update(
        description="Text.",
        settings={"preset": "small"},
        published=["DAC"],
        evaluation={"action_samples": [1, 3], "temperature": 0.5},
        claims=[{"says": "It is higher.", "higher": {"variant": "soft"}, "lower": {"variant": "none"}, "within": 5.0}],
    )
    params["studies"]["tiny"]["experiments"] = ["main", "guidance"]
    params["tasks"]["hopper"] = {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4"}
    return params


def plan(content: bytes) -> None:
    """What every command does first, and those that look at the plan."""
    PATH.write_bytes(content)
    params = check.load()
    for study in params.studies:
        pending = Pending(params, "5e5510")
        pending.report(study)
        pending.datasets(study)
        why.explain_study(params, study)
        table.text(params, study)
        command.verify(params, study)


def dumped(document: Any) -> bytes:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode(errors="surrogatepass")


def test_values_names_and_places(project: Project) -> None:
    survive("params.yaml with other values, names and places", mutated(rich()).map(dumped), plan, 100)


def test_sizes(project: Project) -> None:
    survive("params.yaml with values of any size", stretched(rich()).map(dumped), plan, 60)


def test_bytes(project: Project) -> None:
    survive("params.yaml with damaged bytes", damaged(dumped(PARAMS)), plan, 60)


@st.composite
def bombs(draw: st.DrawFn) -> bytes:
    """A small file whose aliases stand for up to billions of values."""
    first = draw(st.sampled_from(["x", "{a: 1, b: 2}", "[1, 2, 3]"]))
    join = draw(st.sampled_from(["[{}]", "{{a: [{}]}}", "{{<<: [{}]}}"]))
    width, lines = draw(st.integers(1, 9)), [f"a0: &a0 {first}"]
    for level in range(1, draw(st.integers(0, 12)) + 1):
        lines.append(f"a{level}: &a{level} {join.format(', '.join([f'*a{level - 1}'] * width))}")
    kept = dumped(PARAMS).decode() if draw(st.booleans()) else ""
    return ("\n".join(lines if draw(st.booleans()) or not kept else []) + "\n" + kept).encode()


def test_aliases(project: Project) -> None:
    survive("params.yaml with aliases of aliases", bombs(), plan, 50)
