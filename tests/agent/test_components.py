"""Records of guidances and Q-targets, and the functions that belong to them."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest
from small import ACTION_DIM, BATCH_SIZE, small_config

from dac.agent import Draws, UpdateNoise, components
from dac.agent.components import GUIDANCES, Q_TARGETS, Guidance
from dac.study.identity import GROUP_NAME, guidance_version, q_target_version
from dac.study.versions import FIRST, GUIDANCE, Q_TARGET


def test_the_records_need_no_torch() -> None:
    code = "import sys, dac.agent.components; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_the_noise_is_what_the_record_says(guidance: str) -> None:
    drawn = UpdateNoise([0], small_config(guidance=guidance), BATCH_SIZE, ACTION_DIM).draws(0)
    of_the_actor = {field.name for field in fields(Draws) if field.name.startswith("actor_")}
    assert {name for name in of_the_actor if getattr(drawn, name) is not None} == set(GUIDANCES[guidance].draws)


def test_a_record_and_its_function_belong_together() -> None:
    functions = {"soft": min, "own": max}
    with pytest.raises(LookupError, match=r"^other: a record in .*, but no function_of it in here$"):
        components.check_complete({"soft": Guidance(), "own": Guidance(), "other": Guidance()}, functions, "here")
    with pytest.raises(LookupError, match=r"^own: a function_of it in here, but no record in "):
        components.check_complete({"soft": Guidance()}, functions, "here")
    components.check_complete({"soft": Guidance(), "own": Guidance()}, functions, "here")


def test_a_numerics_version_is_the_first_until_it_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (guidance_version("own"), q_target_version("own")) == (FIRST, FIRST) == (1, 1)
    monkeypatch.setitem(GUIDANCE, "own", 2)
    monkeypatch.setitem(Q_TARGET, "own", 3)
    assert (guidance_version("own"), q_target_version("own")) == (2, 3)


@pytest.mark.parametrize("guidance", GUIDANCES)
@pytest.mark.parametrize("target", [*Q_TARGETS, "lcb0.5", "convex1e-05", "lcb1e+02"])
def test_every_group_has_a_name_that_the_workflow_knows(guidance: str, target: str) -> None:
    assert re.fullmatch(GROUP_NAME, f"{guidance}-H10-{target}-0123456789ab")
    assert not re.fullmatch(GROUP_NAME, f"other{guidance}-H10-{target}-0123456789ab")
