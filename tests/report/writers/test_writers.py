"""The files of a table."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from report_tables import scores_of

from dac.report import writers
from dac.report.data import ReportData


def test_written_files_hold_the_same_table(data: ReportData, tmp_path: Path) -> None:
    table = scores_of(data)
    paths = writers.write(table, tmp_path)
    assert [path.name for path in paths] == [
        "guidance-scores.csv", "guidance-scores.md", "guidance-scores.tex", "guidance-scores-float.tex",
    ]  # fmt: skip
    frame = pd.read_csv(io.BytesIO(paths[0].read_bytes()))
    ours = frame[(frame["task"] == "hopper-medium-v2") & (frame["method"] == "soft")]
    assert ours[["mean", "std", "seeds"]].to_numpy().tolist() == [[64.25, 4.0415, 4.0]]
    assert r"**70.2 ± 4.0**" in paths[1].read_text()
    assert r"bc\_only" in paths[1].read_text()
    assert r"\textbf{70.2 $\pm$ 4.0}" in paths[2].read_text()
