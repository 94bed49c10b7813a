"""What tests of faults tell of themselves, for the table in docs/reliability.md (`python tests/support/soak.py`).

A test that injects a fault and sees it survived calls `record`; outside of `make soak` that does nothing. Such tests
have the mark `soak`, and go on for as long as `minutes` says, or for as many inputs as `examples` says.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

FOLDER = "DAC_SOAK_RECORDS"  # the folder of the records; none are kept where it is not set
MINUTES = "DAC_SOAK_MINUTES"
EXAMPLES = "DAC_SOAK_EXAMPLES"

USUAL_EXAMPLES = 900  # of all tests of random inputs together, about

NOTHING = "nothing"
Kind = Literal["kill", "fault", "input"]


@dataclass(frozen=True)
class Record:
    """A fault that was injected, and what came of it.

    Attributes:
        kind: `kill`, a process was killed; `fault`, another one; `input`, a hostile or damaged file was read.
        fault: in a few words. Records of one fault are added up.
        what: happened then, in a sentence.
        lost: by it; `nothing` where nothing was.
        recovery_s: seconds from the fault, or the restart, until the work had gone on; None where nothing had to.
        count: how many times it was injected.
    """

    kind: Kind
    fault: str
    what: str
    lost: str = NOTHING
    recovery_s: float | None = None
    count: int = 1


def record(
    kind: Kind, fault: str, what: str, *, lost: str = NOTHING, recovery_s: float | None = None, count: int = 1
) -> None:
    """Keep what a test has seen; call it last, when all has held."""
    if folder := os.environ.get(FOLDER):
        line = json.dumps(asdict(Record(kind, fault, what, lost, recovery_s, count)))
        with (Path(folder) / f"{platform.node()}-{os.getpid()}.jsonl").open("a") as stream:
            stream.write(line + "\n")


def minutes(usual: float) -> float:
    """How long a test of random faults goes on: as long as `make soak` was asked for, else the usual minutes."""
    return float(os.environ.get(MINUTES, usual))


def examples(usual: int) -> int:
    """How many inputs a test of random ones tries: its share of those that `make soak` is to try, or the usual."""
    asked = os.environ.get(EXAMPLES)
    return usual if asked is None else max(1, round(int(asked) * usual / USUAL_EXAMPLES))


def read(folder: Path) -> list[Record]:
    """The records of a folder, one for each fault: counts added up, the longest recovery, all losses."""
    found: dict[tuple[Kind, str], list[Record]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            one = Record(**json.loads(line))
            found.setdefault((one.kind, one.fault), []).append(one)
    return [_together(records) for records in found.values()]


def _together(records: list[Record]) -> Record:
    waits = [one.recovery_s for one in records if one.recovery_s is not None]
    losses = [one.lost for one in records if one.lost != NOTHING]
    return Record(
        records[0].kind,
        records[0].fault,
        _distinct(one.what for one in records),
        _distinct(losses) if losses else NOTHING,
        max(waits, default=None),
        sum(one.count for one in records),
    )


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
