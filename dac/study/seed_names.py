"""The seeds of a job's pack, written shortly: `0..31`, or `0-2-5..9`. Part of the names of its marker and its logs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dac.system.errors import UserError

PATTERN = r"\d+(\.\.\d+)?(-\d+(\.\.\d+)?)*"


def name(seeds: Iterable[int]) -> str:
    """The seeds in their order, joined by '-'; three or more that follow each other are `<first>..<last>`."""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and seed == spans[-1][-1] + 1:
            spans[-1].append(seed)
        else:
            spans.append([seed])
    return "-".join(f"{span[0]}..{span[-1]}" if len(span) > 2 else "-".join(map(str, span)) for span in spans)


def parse(text: str) -> list[int]:
    """The seeds that a text names.

    Raises:
        UserError: it is not of that form, a range runs down, or a seed stands twice.
    """
    spans = [span.partition("..") for span in text.split("-")] if re.fullmatch(PATTERN, text, re.ASCII) else []
    ranges = [range(int(first), int(last or first) + 1) for first, _, last in spans]
    seeds = [seed for span in ranges for seed in span]
    if not ranges or not all(ranges) or len(set(seeds)) < len(seeds):
        raise UserError(
            f"--seeds: found {text!r}; allowed are different numbers joined by '-', and ranges of them, for example "
            "0-2-5..9"
        )
    return seeds
