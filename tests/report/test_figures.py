"""What drawing a page costs, and that it makes no difference who draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from dac.report import figures
from dac.report.data import ReportData
from dac.report.items import pictures_of
from dac.report.statistics import summarise


@pytest.fixture
def wanted(data: ReportData) -> list[figures.Drawing]:
    return [one for experiment in data.experiments for one in figures.drawings(data, summarise(data, experiment))]


def counting(monkeypatch: pytest.MonkeyPatch, kind: object, name: str, calls: Counter[str]) -> None:
    method: Callable[..., Any] = getattr(kind, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        calls[name] += 1
        return method(*arguments, **named)

    monkeypatch.setattr(kind, name, counted)


def drawn(wanted: list[figures.Drawing], folder: Path, *, apart: bool) -> dict[str, bytes]:
    folder.mkdir()
    with figures.Studio(folder, apart=apart) as studio:
        studio.begin(wanted)
        studio.finish()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_figure_is_laid_out_once_at_each_width_and_drawn_once_for_each_file(
    data: ReportData, wanted: list[figures.Drawing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    counting(monkeypatch, Figure, "draw", calls)
    counting(monkeypatch, figures, "lay_out", calls)
    files = drawn(wanted, tmp_path / "figures", apart=False)
    count = len(pictures_of(data.experiments[0]))
    assert calls == {"lay_out": 2 * count, "draw": 3 * count}  # PNG and PDF, and a PDF as wide as a column
    assert len(files) == 3 * count > 0


def test_two_processes_draw_what_one_does(wanted: list[figures.Drawing], tmp_path: Path) -> None:
    alone = drawn(wanted, tmp_path / "alone", apart=False)
    assert drawn(wanted, tmp_path / "apart", apart=True) == alone


def test_what_fails_in_the_other_process_is_raised_here(wanted: list[figures.Drawing], tmp_path: Path) -> None:
    impossible = [replace(drawing, formats=("nonsense",)) for drawing in wanted]
    with figures.Studio(tmp_path, apart=True) as studio:
        studio.begin(impossible)
        assert studio._thread is not None
        studio._thread.join()
        with pytest.raises(RuntimeError, match=r"in a child process:(.|\n)*nonsense"):
            studio.finish()


def test_only_a_large_page_is_drawn_by_two(data: ReportData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures.speeds, "cores", lambda: 2)
    (small,) = data.experiments
    large = replace(small, tasks=tuple(f"task-{number}" for number in range(figures.MANY_PANELS)))
    assert not figures.two_processes_pay([small])
    assert figures.two_processes_pay([large])
    monkeypatch.setattr(figures.speeds, "cores", lambda: 1)
    assert not figures.two_processes_pay([large])
