"""Durations as texts for people."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """As h:mm:ss, without hours m:ss: for what counts down on a screen."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def rounded(seconds: float) -> str:
    """In the unit that suits it, as exact as an estimate is: 40 s, 12 min, 5.5 h, 3.1 d."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 48 * 3600)):
        if seconds < most:
            digits = 1 if unit == "h" and seconds < 10 * size else 0
            return f"{seconds / size:.{digits}f} {unit}"
    days = seconds / 86400
    return f"{days:.1f} d" if days < 10 else f"{days:,.0f} d"
