"""Settings that the others switch off, or the data: they can change no number of a run, and are no part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dac.agent.components import GUIDANCES, Q_TARGETS

OF_LATER_STEPS = frozenset({"discount", "next_action_samples", "max_backup", "q_target", "lcb_coefficient"})
OF_DUAL_ASCENT = frozenset({"bc_threshold", "eta_min", "eta_max"})


def switched_off(settings: Mapping[str, Any], *, one_step: bool) -> set[str]:
    """Names of settings that are without effect beside the others.

    Args:
        settings: by name; those of a recorded run, which lack what was off, do as well.
        one_step: every transition of the data ends its episode.
    """
    off = set(OF_LATER_STEPS) if one_step else set()
    target, guidance = Q_TARGETS.get(settings.get("q_target", "")), GUIDANCES.get(settings.get("guidance", ""))
    if target is not None and not target.has_coefficient:
        off.add("lcb_coefficient")
    moves_eta = guidance is None or guidance.moves_eta
    if not moves_eta:
        off.add("eta_lr")
    if not moves_eta or settings.get("eta_lr") == 0:
        off |= OF_DUAL_ASCENT
    if settings.get("sampler") == "ddpm":
        off.add("sampler_steps")
    return off
