"""Jinja's templates of pages."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from dac.report.writers.markdown import inert, markdown, without_html


@cache
def environment() -> Environment:
    """The templates of this package, with the writers of tables as filters."""
    made = Environment(
        loader=PackageLoader("dac.report"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    made.filters["table_markdown"] = markdown
    made.filters["inert"] = inert
    made.filters["without_html"] = without_html
    return made
