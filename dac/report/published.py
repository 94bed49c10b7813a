"""Scores and learning curves that others published, each with its source; none is this project's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from dac.system.errors import UserError

REFERENCE = Path(__file__).resolve().parent.parent / "reference"


@dataclass(frozen=True)
class PublishedScore:
    """A published normalised score; `std` is None where the source gives none."""

    mean: float
    std: float | None
    source: str


@cache
def _table(name: str) -> pd.DataFrame:
    return pd.read_csv(REFERENCE / name)


def check_methods(methods: Sequence[str]) -> None:
    """Raise a UserError that names a method `published_scores.csv` does not know, and those it does."""
    known = sorted(_table("published_scores.csv")["method"].unique())
    for method in methods:
        if method not in known:
            raise UserError(
                f"published method {method!r} is not in {REFERENCE / 'published_scores.csv'}; "
                f"known: {', '.join(known)}. Correct the experiment's `published` list."
            )


def score(dataset: str, method: str) -> PublishedScore | None:
    """The published score of a method on a dataset (e.g. "hopper-medium-v2"), or None."""
    table = _table("published_scores.csv")
    rows = table[(table["dataset"] == dataset) & (table["method"] == method)]
    if rows.empty:
        return None
    row = rows.iloc[0]
    return PublishedScore(float(row["mean"]), None if pd.isna(row["std"]) else float(row["std"]), str(row["source"]))


def scores(datasets: Sequence[str]) -> pd.DataFrame:
    """All published scores on some datasets: suite, dataset, method, mean, std, source."""
    table = _table("published_scores.csv")
    return table[table["dataset"].isin(list(datasets))].reset_index(drop=True)


def curve(dataset: str) -> pd.DataFrame:
    """DAC's published learning curve: step, mean, std (over 8 seeds); empty where none was published."""
    table = _table("dac_curves.csv")
    return table.loc[table["dataset"] == dataset, ["step", "mean", "std"]].sort_values("step")
