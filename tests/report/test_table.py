"""What a table is: numbers, LaTeX, files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dac.report.data import Experiment, ReportData
from dac.report.scores import scores_table
from dac.report.statistics import summarise
from dac.report.table import Table, escape_latex, mean_std, number


def scores(data: ReportData) -> Table:
    return scores_table(data, summarise(data, data.experiments[0]))


def test_numbers() -> None:
    assert [number(value) for value in (1.25, -0.04, float("nan"), float("inf"))] == ["1.2", "0.0", "–", "–"]
    assert mean_std(95.77, 3.87) == "95.8 ± 3.9"
    assert mean_std(95.77, float("nan")) == "95.8 ± –"
    assert mean_std(95.77, None) == "95.8"


def test_latex_escapes() -> None:
    assert escape_latex("bc_only 95 % & $x$ #1 {a} ~^\\") == (
        r"bc\_only 95 \% \& \$x\$ \#1 \{a\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escape_latex("1 ± – †") == r"1 $\pm$ -- \dag{}"


@pytest.mark.parametrize("variants", [("soft", "bc_only"), ("a_1", "b%2", "c&3", "d{4}", "e#5", "f$6", "g~7")])
def test_latex_is_shaped_to_compile(
    variants: tuple[str, ...], build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    source = scores(build([experiment(variants=variants)])).latex()
    columns = re.search(r"\\begin\{tabular\}\{(l r*|lr*)\}", source)
    assert columns is not None
    width = len(columns.group(1))
    body = source.split(r"\toprule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {width}
    assert source.count(r"\begin{") == source.count(r"\end{")
    bare = re.sub(r"\\[\\{}$%&#_]", "", source)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[_#&](?![^\n]*\\\\)", re.sub(r"(?m)^%.*$|\\label\{.*\}", "", bare).replace("&", ""))
    assert (r"\resizebox" in source) == (width > 7)
    assert r"\textbf{" in source


def test_written_files_hold_the_same_table(data: ReportData, tmp_path: Path) -> None:
    table = scores(data)
    paths = table.write(tmp_path)
    assert [path.name for path in paths] == [f"guidance-scores.{suffix}" for suffix in ("csv", "md", "tex")]
    frame = pd.read_csv(io.BytesIO(paths[0].read_bytes()))
    ours = frame[(frame["task"] == "hopper-medium-v2") & (frame["method"] == "soft")]
    assert ours[["mean", "std", "seeds"]].to_numpy().tolist() == [[64.25, 4.0415, 4.0]]
    assert r"**70.2 ± 4.0**" in paths[1].read_text()
    assert r"bc\_only" in paths[1].read_text()
    assert r"\textbf{70.2 $\pm$ 4.0}" in paths[2].read_text()
