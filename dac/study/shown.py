"""What `show` of an experiment may name: the modules of dac/report/items, listed here and imported there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_ITEMS = Path(__file__).resolve().parent.parent / "report" / "items"


@cache
def names() -> tuple[str, ...]:
    """The tables and figures that a page can have, by name."""
    return tuple(sorted(path.stem for path in _ITEMS.glob("*.py") if not path.stem.startswith("_")))
