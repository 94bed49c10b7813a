"""Scores and learning curves that others published, each with its source; none is this project's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from dac.system.errors import UserError

REFERENCE = Path(__file__).resolve().parent.parent / "reference"


NOT_STATED = "not stated"


@dataclass(frozen=True)
class Protocol:
    """How published scores were made, as far as their sources state it.

    Attributes:
        selection: which evaluations a run's score is of, such as `best evaluation`; `not stated` where no source says.
        seeds, episodes: number of runs, and of episodes in an evaluation; None where no source says.
        source: what states it, or what was read for it.
    """

    selection: str
    seeds: int | None
    episodes: int | None
    source: str


@dataclass(frozen=True)
class PublishedScore:
    """A published normalised score; `std` is None where the source gives none."""

    mean: float
    std: float | None
    source: str
    protocol: Protocol


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


@cache
def _scores() -> pd.DataFrame:
    """All published scores with the protocol of their method and suite."""
    protocols = _table("published_protocols.csv").astype({"seeds": "Int64", "episodes": "Int64"})
    protocols = protocols.fillna({"selection": NOT_STATED}).rename(columns={"source": "protocol_source"})
    return _table("published_scores.csv").merge(protocols, on=["method", "suite"], how="left", validate="many_to_one")


@cache
def _by_dataset_and_method() -> dict[tuple[str, str], dict[Any, Any]]:
    return {(row["dataset"], row["method"]): row for row in _scores().to_dict("records")}


@cache
def score(dataset: str, method: str) -> PublishedScore | None:
    """The published score of a method on a dataset (e.g. "hopper-medium-v2"), or None."""
    row = _by_dataset_and_method().get((dataset, method))
    if row is None:
        return None
    seeds, episodes = (None if pd.isna(row[name]) else int(row[name]) for name in ("seeds", "episodes"))
    protocol = Protocol(str(row["selection"]), seeds, episodes, str(row["protocol_source"]))
    std = None if pd.isna(row["std"]) else float(row["std"])
    return PublishedScore(float(row["mean"]), std, str(row["source"]), protocol)


def scores(datasets: Sequence[str]) -> pd.DataFrame:
    """All published scores on some datasets: suite, dataset, method, mean, std, source, and their protocols.

    These are selection, seeds, episodes and protocol_source, see `Protocol`.
    """
    table = _scores()
    return table[table["dataset"].isin(list(datasets))].reset_index(drop=True)


@cache
def curve(dataset: str) -> pd.DataFrame:
    """DAC's published learning curve: step, mean, std (over 8 seeds); empty where none was published."""
    table = _table("dac_curves.csv")
    return table.loc[table["dataset"] == dataset, ["step", "mean", "std"]].sort_values("step")
