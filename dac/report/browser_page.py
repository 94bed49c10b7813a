"""The page of a study for a browser, `report.html`: one file that asks for no other."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from dac.report.cell_runs import HEADER, cell_runs
from dac.report.curve_lines import curve_lines
from dac.report.page import Page, Shown
from dac.report.statistics import Summary
from dac.report.templating import environment
from dac.report.views import views
from dac.report.writers.html import html

_TYPES = {"png": "image/png", "svg": "image/svg+xml"}
_CHARTS = "curves"  # the item whose figure charts take the place of


def browser_page(page: Page, summaries: Sequence[Summary], figures: Path) -> bytes:
    """The whole page, with style, program, numbers and pictures in it.

    Args:
        figures: the folder of the page's pictures.
    """
    cells = cell_runs(page.data, summaries)
    numbers = {key: index for index, key in enumerate(cells)}
    charts = curve_lines(page.data, summaries)
    sections = [
        {
            "experiment": section.experiment,
            "anchor": section.anchor,
            "views": views(page.data, summary, section.tables),
            "charts": charts.get(section.experiment.name, []),
            "figures": [figure for figure in section.figures if figure.item != _CHARTS],
        }
        for section, summary in zip(page.sections, summaries, strict=True)
    ]
    text = (
        environment()
        .get_template("page.html.jinja")
        .render(
            page=page,
            data=page.data,
            sections=sections,
            numbers={"charts": charts, "cells": list(cells.values()), "columns": HEADER},
            table=partial(html, cells=numbers),
            markdown=_markdown,
            picture=partial(_picture, figures),
            resource=_resource,
        )
    )
    return text.encode()


def _markdown(text: str) -> Markup:
    """Sentences of the page, which may have links and emphasis but no HTML of their own."""
    return Markup(MarkdownIt("commonmark", {"html": False}).render(text))


def _picture(folder: Path, figure: Shown) -> str | None:
    """A figure as a data address; None where it has no format that a browser shows."""
    if figure.image is None:
        return None
    content = base64.b64encode((folder / figure.image).read_bytes()).decode()
    return f"data:{_TYPES[figure.image.rpartition('.')[2]]};base64,{content}"


def _resource(name: str) -> Markup:
    """A style sheet or program of this package, as it is."""
    return Markup((files("dac.report") / name).read_text(encoding="utf-8"))
