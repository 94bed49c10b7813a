"""The page for a browser, as a file; tests/report/test_in_browser.py opens it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import dac.report
from dac.report.data import Experiment, PageSettings, ReportData
from dac.report.render import render

Build = Callable[..., ReportData]
SMALL = PageSettings(window=2, bootstrap_samples=100, dpi=40)
VENDOR = Path(dac.report.__file__).parent / "vendor"


@pytest.fixture
def page(build: Build, tmp_path: Path) -> str:
    render(build(settings=SMALL), tmp_path)
    return (tmp_path / "report.html").read_text()


def test_it_asks_for_no_other_file(page: str) -> None:
    assert re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"(?!data:)", page) == []
    assert "@import" not in page and re.findall(r"url\((?!data:)", page) == []
    assert "default-src 'none'" in page


def test_every_link_resolves(page: str, tmp_path: Path) -> None:
    links = set(re.findall(r'<a href="([^"]+)"', page))
    files = {link for link in links if not link.startswith("#")}
    assert len(files) > 10
    assert [link for link in files if not (tmp_path / link).is_file()] == []
    assert [link for link in links - files if f'id="{link[1:]}"' not in page] == []


def test_every_cell_leads_to_its_runs(page: str) -> None:
    (text,) = re.findall(r'id="numbers">(.*?)</script>', page, re.DOTALL)
    numbers = json.loads(text)
    used = {int(number) for number in re.findall(r'data-cell="(\d+)"', page)}
    assert used == set(range(len(numbers["cells"]))) == {0, 1, 2, 3}
    assert len(numbers["charts"]["guidance"]) == 2


def test_what_a_user_writes_is_text(build: Build, experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    """A title, a description, a variant's name: none is markup or ends the program."""
    odd = "</script><script>alert(1)</script>"
    shown = experiment(title=odd, description=f"{odd} *stressed*", variants=("soft", odd))
    render(replace(build([shown], settings=SMALL), description=odd), tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in text
    assert "<em>stressed</em>" in text


def test_pictures_are_in_it_and_without_png_linked(page: str, build: Build, tmp_path: Path) -> None:
    assert page.count('src="data:image/png;base64,') == 2  # comparison and action samples; curves are charts
    render(build(settings=SMALL.model_copy(update={"figure_formats": ("pdf",)})), tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<img" not in text and 'href="figures/guidance-comparison.pdf"' in text


def test_files_of_others_are_as_recorded() -> None:
    recorded = dict(re.findall(r"\| (uPlot\S+) \| ([0-9a-f]{64}) \|", (VENDOR / "README.md").read_text()))
    assert set(recorded) == {"uPlot.iife.min.js", "uPlot.min.css"}
    assert {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in recorded} == recorded
    assert "(v1.6.32)" in (VENDOR / "uPlot.iife.min.js").read_text()[:80]
    assert "MIT" in (VENDOR / "LICENSE").read_text()
