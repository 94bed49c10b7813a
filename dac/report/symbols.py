"""How settings are written where people read them: the paper's symbols, or words."""

from __future__ import annotations

import re

SYMBOLS = {
    "ensemble_size": "H",
    "action_samples": "N_a",
    "eval_action_samples": "N_a",
    "next_action_samples": "N",
    "lcb_coefficient": "ρ",
    "diffusion_steps": "T",
    "bc_threshold": "b",
    "eta": "η",
    "discount": "γ",
}
# Settings whose values say by themselves what they are of.
_TELLING = ("guidance", "q_target", "beta_schedule", "sampler", "preset")


def symbol(setting: str) -> str:
    """A setting's symbol in the paper (arXiv 2405.20555); its name in words where it has none."""
    return SYMBOLS.get(setting, setting.replace("_", " "))


def assigned(setting: str | None, value: str) -> str:
    """A variant as people read it: such as `H = 5` or `hard`; the value alone where no setting is varied."""
    return value if setting is None or setting in _TELLING else f"{symbol(setting)} = {value}"


def named(setting: str) -> str:
    """A setting in words with its symbol: such as `ensemble size H`."""
    words = setting.replace("_", " ")
    return f"{words} {SYMBOLS[setting]}" if setting in SYMBOLS else words


def named_on_axis(setting: str) -> str:
    """As `named`, for Matplotlib, which sets an index below."""
    return re.sub(r"\b([A-Z])_([a-z])\b", r"$\1_\2$", named(setting))
