"""The cells of a report's tables as text: means, intervals and seeds, which are bold, and what their marks mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from dac.report.aggregates import Estimate
from dac.report.statistics import MeanScore
from dac.report.table import NONE, mean_std, number

MEAN_STD = "Mean ± sample standard deviation (ddof = 1) over seeds; – where there is none (one seed)."
BOLD = "Bold: the highest mean among this study's variants (equal to one decimal counts as equal)."
ALIKE = (
    "Bold: not to be told from the highest mean of this study's variants (Welch's interval of the difference has 0)."
)


def diverged_notes(cells: Iterable[MeanScore]) -> list[str]:
    """What † means; empty where no run diverged."""
    counts = sorted({cell.diverged for cell in cells} - {0})
    marks = ", ".join(f"†{count}" for count in counts)
    return [f"{marks} diverged: that many of the cell's runs; they count with their recorded scores."] if counts else []


def best_of(means: Sequence[float]) -> list[bool]:
    """Which of some means are the highest as they are shown; none where there is one alone."""
    shown = [number(mean) for mean in means]
    finite = [float(text) for text in shown if text != NONE]
    if len(means) < 2 or not finite:
        return [False] * len(means)
    return [text == number(max(finite)) for text in shown]


def score_text(cell: MeanScore) -> str:
    """Mean ± sample standard deviation over seeds, with the mark of diverged runs."""
    return mean_std(cell.mean, cell.std) + diverged_mark(cell) + there_text(cell)


def there_text(cell: MeanScore) -> str:
    """How many of a cell's seeds are there; empty where all are, and where none is."""
    if cell.planned is None or cell.seeds in (0, cell.planned):
        return ""
    return f" ({cell.seeds} of {cell.planned} seeds)"


def diverged_mark(cell: MeanScore) -> str:
    """† with the number of a cell's runs that diverged; empty where none did."""
    return f" †{cell.diverged}" if cell.diverged else ""


def interval_text(estimate: Estimate) -> str:
    """An estimate with its bootstrap interval, or alone where there is none."""
    if not math.isfinite(estimate.low):
        return number(estimate.point)
    return f"{number(estimate.point)} [{number(estimate.low)}, {number(estimate.high)}]"


def difference_text(difference: float, low: float, high: float, digits: int = 1) -> str:
    """A difference with its sign and its interval; alone where there is none, "–" where it is not finite."""
    if not math.isfinite(difference):
        return NONE
    if math.isnan(low):
        return f"{difference:+.{digits}f}"
    return f"{difference:+.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def seeds_text(cells: Iterable[MeanScore]) -> str:
    """The number of seeds of some cells, or its range."""
    counts = sorted({cell.seeds for cell in cells})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def letter(index: int) -> str:
    """The mark of a note: a, b, ..., z, a2, b2, ..."""
    turn, place = divmod(index, 26)
    return chr(ord("a") + place) + (str(turn + 1) if turn else "")
