"""The page of a study for a browser, `report.html`: one file that asks for no other."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image

from dac.report.cell_runs import HEADER, cell_runs
from dac.report.curve_lines import curve_lines
from dac.report.figures import FILM_FORMAT
from dac.report.page import Page, Shown
from dac.report.statistics import Summary
from dac.report.templating import environment
from dac.report.views import views
from dac.report.writers.html import html

_TYPES = {"png": "image/png", "svg": "image/svg+xml", "gif": "image/gif"}
_CHARTS = "curves"  # the item whose figure charts take the place of


def contents(page: Page, summaries: Sequence[Summary]) -> dict[str, Any]:
    """What `browser_page` puts on the page besides pictures: they may still be drawn meanwhile."""
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
    return {
        "page": page,
        "data": page.data,
        "sections": sections,
        "numbers": {"charts": charts, "cells": list(cells.values()), "columns": HEADER},
        "table": partial(html, cells=numbers),
    }


def browser_page(shown: Mapping[str, Any], figures: Path) -> bytes:
    """The whole page, with style, program, numbers and pictures in it.

    Args:
        shown: see `contents`. figures: the folder of the page's pictures.
    """
    template = environment().get_template("page.html.jinja")
    pictures = {"picture": partial(_picture, figures), "still": partial(_still, figures)}
    return template.render(**shown, **pictures, markdown=_markdown, resource=_resource).encode()


def _markdown(text: str) -> Markup:
    """Sentences of the page, which may have links and emphasis but no HTML of their own."""
    return Markup(MarkdownIt("commonmark", {"html": False}).render(text))


def _picture(folder: Path, figure: Shown) -> str | None:
    """A figure or film as a data address; None where it has no format that a browser shows."""
    if figure.image is None:
        return None
    return _address((folder / figure.image).read_bytes(), figure.image.rpartition(".")[2])


def _still(folder: Path, figure: Shown) -> str | None:
    """The first picture of a film as a data address, for readers whose system asks for less motion."""
    if figure.formats != (FILM_FORMAT,):
        return None
    written = io.BytesIO()
    with Image.open(folder / f"{figure.name}.{FILM_FORMAT}") as film:
        film.convert("RGB").save(written, "PNG")
    return _address(written.getvalue(), "png")


def _address(content: bytes, suffix: str) -> str:
    return f"data:{_TYPES[suffix]};base64,{base64.b64encode(content).decode()}"


def _resource(name: str) -> Markup:
    """A style sheet or program of this package, as it is."""
    return Markup((files("dac.report") / name).read_text(encoding="utf-8"))
