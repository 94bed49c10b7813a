"""What a table is: numbers, LaTeX, files."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dac.report.data import Experiment, ReportData
from dac.report.scores import scores_table
from dac.report.statistics import summarise
from dac.report.symbols import SYMBOLS
from dac.report.table import Table, Text, escape_latex, mean_std, number, paper_caption
from dac.report.tables import experiment_tables


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


WIDE = ("a_1", "b%2", "c&3", "d{4}", "e#5", "f$6", "[g~7]", "hidden sizes = [64, 64]")


@pytest.mark.parametrize("variants", [("soft", "bc_only"), WIDE])
def test_latex_is_shaped_to_compile(
    variants: tuple[str, ...], build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    table = scores(build([experiment(variants=variants)]))
    source = table.latex()
    body = source.split(r"\midrule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3  # two tasks and their average
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(table.header)}
    assert not any(row.lstrip().startswith("[") for row in rows)  # it would be an argument of the line break before
    bare = re.sub(r"\\[\\{}$%&#_]", "", source)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    whole = table.latex_float()
    assert source.rstrip() in whole
    assert whole.count(r"\begin{") == whole.count(r"\end{")
    assert r"\begin{table*}" in whole


def test_latex_says_published_once(data: ReportData) -> None:
    source = scores(data).latex()
    assert source.count("published") == 1
    assert r"& & & & \multicolumn{2}{c}{published} & \\" in source
    assert r"\cmidrule(lr){5-6}" in source
    assert "Task & Seeds & soft & bc\\_only & DAC & IQL & Data" in source


def test_symbols_and_negative_numbers_are_mathematics() -> None:
    header = ("Task", "H = 2", "N_a = 10", "ρ = 1.5")
    table = Table(
        "t", "Table 6. Target: scores.", header, ((Text("a-1-v2"), Text("-1.5"), *[Text("[-2.0, 3.0]")] * 2),), None
    )  # type: ignore[arg-type]
    source = table.latex()
    assert r"Task & $H$ = 2 & $N_a$ = 10 & $\rho$ = 1.5 \\" in source
    assert r"a-1-v2 & $-$1.5 & {[}$-$2.0, 3.0{]} & {[}$-$2.0, 3.0{]} \\" in source


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Table 1. Scores on D4RL: mean.", "Scores on D4RL (Table 1 of the paper): mean."),
        ("Fig. 3 and Table 2. Guidance type: IQM.", "Guidance type (Fig. 3 and Table 2 of the paper): IQM."),
        ("Behaviour cloning: mean.", "Behaviour cloning: mean."),
    ],
)
def test_a_caption_has_no_number_of_its_own(caption: str, expected: str) -> None:
    assert paper_caption(caption) == expected


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex; none is here")
def test_every_table_compiles_within_its_column(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """A two-column article of narrow, wide and odd tables: no error, and no line too wide."""
    shown = [
        experiment(name="narrow", variants=("soft",)),
        experiment(name="swept", variants=("2", "5", "10"), varied="ensemble_size"),
        experiment(name="odd", variants=WIDE[:5]),
        experiment(name="lists", variants=("[64, 64]", "[256]"), varied="hidden_sizes"),
    ]
    data = build(shown)
    names = []
    for item in shown:
        for table in experiment_tables(data, summarise(data, item)):
            table.write(tmp_path)
            names.append(f"{table.name}-float.tex")
    body = "".join(f"\\input{{{name}}}\\clearpage\n" for name in names)
    head = "\\documentclass[twocolumn]{article}\\usepackage{booktabs}\\usepackage[margin=0.75in]{geometry}\n"
    (tmp_path / "all.tex").write_text(f"{head}\\begin{{document}}\n{body}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    made = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120, check=False
    )
    assert made.returncode == 0, made.stdout[-2000:]
    assert "Overfull \\hbox" not in made.stdout


def test_written_files_hold_the_same_table(data: ReportData, tmp_path: Path) -> None:
    table = scores(data)
    paths = table.write(tmp_path)
    assert [path.name for path in paths] == [
        "guidance-scores.csv", "guidance-scores.md", "guidance-scores.tex", "guidance-scores-float.tex",
    ]  # fmt: skip
    frame = pd.read_csv(io.BytesIO(paths[0].read_bytes()))
    ours = frame[(frame["task"] == "hopper-medium-v2") & (frame["method"] == "soft")]
    assert ours[["mean", "std", "seeds"]].to_numpy().tolist() == [[64.25, 4.0415, 4.0]]
    assert r"**70.2 ± 4.0**" in paths[1].read_text()
    assert r"bc\_only" in paths[1].read_text()
    assert r"\textbf{70.2 $\pm$ 4.0}" in paths[2].read_text()


def test_every_symbol_can_be_set() -> None:
    for symbol in SYMBOLS.values():
        table = Table(
            "t", "A caption.", ("Task", f"{symbol} = 2"), ((Text("a"), Text(f"{symbol} ≤ 3–8 → 1")),), pd.DataFrame()
        )
        assert table.latex_float().isascii()
        assert "3--8" in table.latex()


def test_a_cell_of_markdown_is_one_line_and_escaped() -> None:
    table = Table("t", "", ("Task", "x"), ((Text("a\nb"), Text(r"c\|d <b> [x](y)")),), pd.DataFrame())
    assert len(table.markdown().splitlines()) == 3
    assert r"c\\\|d \<b> [x\](y)" in table.markdown()
