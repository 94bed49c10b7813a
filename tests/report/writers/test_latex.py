"""Tables in LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from report_tables import scores_of

from dac.report import writers
from dac.report.data import Experiment, ReportData
from dac.report.items import tables_of
from dac.report.statistics import summarise
from dac.report.symbols import SYMBOLS
from dac.report.table import Table, Text
from dac.report.writers.latex import escape_latex, floating, paper_caption, tabular


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
    table = scores_of(build([experiment(variants=variants)]))
    source = tabular(table)
    body = source.split(r"\midrule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3  # two tasks and their average
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(table.header)}
    assert not any(row.lstrip().startswith("[") for row in rows)  # it would be an argument of the line break before
    bare = re.sub(r"\\[\\{}$%&#_]", "", source)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    whole = floating(table)
    assert source.rstrip() in whole
    assert whole.count(r"\begin{") == whole.count(r"\end{")
    assert r"\begin{table*}" in whole


def test_latex_says_published_once(data: ReportData) -> None:
    source = tabular(scores_of(data))
    assert source.count("published") == 1
    assert r"& & & & \multicolumn{2}{c}{published} & \\" in source
    assert r"\cmidrule(lr){5-6}" in source
    assert "Task & Seeds & soft & bc\\_only & DAC & IQL & Data" in source


def test_symbols_and_negative_numbers_are_mathematics() -> None:
    header = ("Task", "H = 2", "N_a = 10", "ρ = 1.5")
    table = Table(
        "t", "Table 6. Target: scores.", header, ((Text("a-1-v2"), Text("-1.5"), *[Text("[-2.0, 3.0]")] * 2),), None
    )  # type: ignore[arg-type]
    source = tabular(table)
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
        for table in tables_of(data, summarise(data, item)):
            writers.write(table, tmp_path)
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


def test_every_symbol_can_be_set() -> None:
    for symbol in SYMBOLS.values():
        table = Table(
            "t", "A caption.", ("Task", f"{symbol} = 2"), ((Text("a"), Text(f"{symbol} ≤ 3–8 → 1")),), pd.DataFrame()
        )
        assert floating(table).isascii()
        assert "3--8" in tabular(table)
