from __future__ import annotations

from typing import Any

import pytest

from dac.study.switched_off import OF_DUAL_ASCENT, OF_LATER_STEPS, switched_off

ON: dict[str, Any] = {
    "guidance": "soft", "q_target": "lcb", "sampler": "ddim", "sampler_steps": 2, "eta_lr": 1e-3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "value", "off"),
    [
        ("guidance", "soft", set()),
        ("guidance", "none", {"eta_lr", *OF_DUAL_ASCENT}),
        ("eta_lr", 0.0, OF_DUAL_ASCENT),
        ("q_target", "min", {"lcb_coefficient"}),
        ("sampler", "ddpm", {"sampler_steps"}),
        ("guidance", "of an extension", set()),
    ],
)
def test_settings_that_others_switch_off(setting: str, value: Any, off: set[str]) -> None:
    assert switched_off({**ON, setting: value}, one_step=False) == off


def test_what_episodes_of_one_step_leave() -> None:
    recorded = {key: value for key, value in ON.items() if key not in OF_LATER_STEPS}
    assert switched_off(recorded, one_step=True) == OF_LATER_STEPS
