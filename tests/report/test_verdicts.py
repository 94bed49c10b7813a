from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from dac.report import verdicts
from dac.report.writers.csv import csv_bytes

ROWS = pd.DataFrame(
    {
        "claim": ["Soft, and not hard", "One seed"],
        "task": ["a", "b"],
        "measure": ["score", "inside"],
        "higher": ["soft, N_a 10", "soft"],
        "higher_mean": [12.34567, 100.0],
        "lower": ["the data", "hard"],
        "lower_mean": [-1.0, 0.5],
        "seeds": [3, 1],
        "difference": [13.34567, 99.5],
        "low": [1.0, float("nan")],
        "high": [25.0, float("nan")],
        "verdict": ["holds", "undecided"],
    }
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "claims.csv"
    path.write_bytes(csv_bytes(ROWS))
    return path


def test_each_claim_is_a_line(table: Path) -> None:
    assert verdicts.lines(table) == [
        "holds     Soft, and not hard (a): soft, N_a 10 12.35, the data -1, difference +13.35 [1, 25] over 3 seeds",
        "undecided One seed (b): soft 100, hard 0.5, difference +99.5 [nan, nan] over 1 seeds",
    ]


def test_claims_are_printed_without_slow_imports(table: Path) -> None:
    code = (
        "import sys, dac.cli, dac.report.verdicts;"
        "print({'pandas', 'torch', 'scipy', 'matplotlib', 'rich'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
