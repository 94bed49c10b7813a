"""What benchmarks/README.md says of exactness, from the recorded results of `dac bench --accuracy`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]
Table = Callable[[Iterable[tuple[Any, ...]], tuple[str, ...]], str]

# A precision counts as exact if no error is larger: its rms by the ensemble's spread, and its mean by the values' size.
LARGEST_RMS, LARGEST_BIAS = 0.02, 1e-3

TARGETS = f"""\
Difference of the targets (the combined values of the next states) from those of the same networks in float64, in a
thousand states of the data: its root mean square as a share of the ensemble's own spread (the standard deviation over
H of the values averaged over N actions), and its mean as a share of |Q|. The networks are trained: `trained` as the
study `quick` trains, `regression` by fitting discounted returns at the paper's sizes, a path is a run of the store. A
precision is exact here if no share is above {LARGEST_RMS} and {LARGEST_BIAS:g}. A CPU multiplies in float32 where
`tf32` is asked for; `tf32, imitated` rounds all factors as a GPU does.
"""
LAYERS = """\
The same of `bf16` at every layer's output before its activation, each as a share of that output's root mean square; of
the averages over a state's N rows in brackets. Layers between the first and the last are rounded. A kernel's rounding
falls out of the average; what is left there is that of the rows, each row's its own.
"""
DRIFT = """\
Whether errors add up: mean value of some states after trainings on the same batches, less that of float32, as a share
of |Q|, with its standard error over the seeds. `nudged` is float32 from initial parameters that differ in the last
bits: two trainings part that far for no reason. `injected` is what bf16 adds to the values of its own networks.
"""


def sections(records: Iterable[Record], machine: Callable[[Record], str], table: Table) -> list[str]:
    """The sections of all results.

    Args:
        machine: words for where a record was measured. table: makes a table of rows and headers.
    """
    found: list[str] = []
    for record in records:
        found += [f"## Exactness with trained networks: {machine(record)}\n", _targets(record, table), TARGETS]
        found += [_verdict(record)]
        found += [_layers(record, table), LAYERS]
        if "drift" in record:
            found += [_drift(record["drift"], table), DRIFT]
    return found


def _shares(row: Mapping[str, Any]) -> tuple[float, float]:
    """A row's error by the spread, infinite where there is none, and its bias by the size."""
    return row["rms"] / row["spread"] if row["spread"] else float("inf"), row["mean"] / row["size"]


def _targets(record: Record, table: Table) -> str:
    rows = []
    for row in record["accuracy"]:
        rms, bias = _shares(row)
        rows.append(
            (
                row["subject"],
                row["samples"],
                row["precision"],
                f"{row['size']:.1f}",
                f"{row['spread']:.3f}",
                f"{rms:.1e}",
                f"{bias:+.1e}",
            )
        )
    return table(rows, ("networks", "N", "precision", "mean of \\|Q\\|", "spread", "rms ÷ spread", "bias ÷ \\|Q\\|"))


def _verdict(record: Record) -> str:
    """A sentence on each precision's worst shares."""
    sentences = []
    for precision in dict.fromkeys(row["precision"] for row in record["accuracy"]):
        shares = [_shares(row) for row in record["accuracy"] if row["precision"] == precision]
        rms, bias = max(share for share, _ in shares), max(abs(share) for _, share in shares)
        exact = "exact" if rms <= LARGEST_RMS and bias <= LARGEST_BIAS else "**not exact**"
        sentences.append(f"- `{precision}` is {exact}: at most {rms:.1e} of the spread and {bias:.1e} of |Q|.")
    return "\n".join(sentences) + "\n"


def _layers(record: Record, table: Table) -> str:
    rows, width = [], 0
    for row in record["accuracy"]:
        if row["precision"] != "bf16" or row["samples"] == 1:
            continue
        for network in dict.fromkeys(layer["network"] for layer in row["layers"]):
            cells = [
                f"{layer['rms']:.1e} ({layer['rms_of_means']:.1e})"
                for layer in row["layers"]
                if layer["network"] == network
            ]
            width = max(width, len(cells))
            rows.append((row["subject"], network, *cells))
    return table(rows, ("networks", "", *(f"layer {number}" for number in range(width))))


def _drift(drift: Mapping[str, Any], table: Table) -> str:
    size = drift["size"]
    rows = [
        (
            bf16["step"],
            *(f"{reading['mean'] / size:+.1e} ± {reading['error'] / size:.1e}" for reading in (nudged, bf16)),
            f"{bf16['injected'] / size:+.1e}",
        )
        for nudged, bf16 in zip(drift["nudged"], drift["bf16"], strict=True)
    ]
    what = f"{drift['subject']}, gamma = {drift['discount']:g}, {drift['seeds']} seeds: step"
    return table(rows, (what, "nudged − fp32", "bf16 − fp32", "injected by bf16"))
