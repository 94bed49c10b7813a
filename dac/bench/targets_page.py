"""What benchmarks/README.md says of the speeds that are aimed at, from the results of `dac bench --targets`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]
Table = Callable[[Iterable[tuple[Any, ...]], tuple[str, ...]], str]

NAMES = {
    "fp32": "the paper's sizes, one run, float32 step",
    "products": "its products alone, by PyTorch (torch.bmm), at the speed of the critics' largest",
    "bf16": "the paper's sizes, one run, bf16 step",
    "small": "small networks, one run, step",
    "small_pack": "small networks, a pack of 8, step, per run",
    "start": "a training job until its first step",
}

TEXT = """\
Small networks are of 64-64-64, with H = 3, N = 2 and batch 128, on data of HalfCheetah's sizes. Measured in turns by
`dac bench --targets`: medians over rounds, with the tenth and the ninetieth percentile, in seconds of the clock; a
ratio is of times of one round. CPU seconds of this process (of the job's, for its start) are beside them: on one
thread, what they lack of the clock's went to others on the machine. The job is a real `dac train` on data that are
there, in a process of its own, from its start to the end of its first gradient step; the evaluation at step 0 is one
episode of a few steps.
"""


def sections(records: Iterable[Record], machine: Callable[[Record], str], table: Table) -> list[str]:
    """The section of each result.

    Args:
        machine: words for where a record was measured. table: makes a table of rows and headers.
    """
    found: list[str] = []
    for record in records:
        before, after = record["load"]
        found += [
            f"## Speeds that are aimed at: {machine(record)}\n",
            table([_target(target) for target in record["targets"]], ("what", "wanted", "measured", "p10–p90", "")),
            table(
                [_subject(NAMES[name], subject) for name, subject in record["subjects"].items()],
                ("what", "threads", "ms", "p10–p90", "ms of CPU", "p10–p90"),
            ),
            f"{record['rounds']} rounds. The load average was {before:.2f} before and {after:.2f} after, of which this "
            f"measurement itself is 1 to {record['threads']}.{_without_bf16(record)}\n",
            TEXT,
        ]
    return found


def _target(target: Mapping[str, Any]) -> tuple[str, ...]:
    low, median, high = (_amount(value, target["unit"]) for value in target["measured"])
    reached = "reached" if target["measured"][1] <= target["wanted"] else "**not reached**"
    return target["says"], f"≤ {_amount(target['wanted'], target['unit'])}", median, f"{low}–{high}", reached


def _amount(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{value:.2f}"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.2f} ms"


def _subject(name: str, subject: Mapping[str, Any]) -> tuple[str, ...]:
    cells = [name, str(subject["threads"])]
    for clock in ("wall", "cpu"):
        low, median, high = (f"{1000 * value:.{2 if value < 0.1 else 0}f}" for value in subject[clock])
        cells += [median, f"{low}–{high}"]
    return tuple(cells)


def _without_bf16(record: Record) -> str:
    said = " This processor has no bfloat16 instructions: bf16 multiplies float32 numbers."
    return "" if record["multiplies_bf16"] else said
