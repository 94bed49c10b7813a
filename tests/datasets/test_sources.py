"""Every source of data has its record and its module, and no module is without a record."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import pytest

from dac.datasets import sources
from dac.study.sources import SOURCES


def test_a_module_for_every_record() -> None:
    assert {module.name for module in pkgutil.iter_modules(sources.__path__)} == SOURCES.keys()


@pytest.mark.parametrize("source", SOURCES)
def test_the_functions_of_a_source(source: str) -> None:
    functions = import_module(f"dac.datasets.sources.{source}")
    assert [*inspect.signature(functions.load).parameters] == ["dataset"]
    assert [*inspect.signature(functions.fetch).parameters] == ["dataset", "mirrors"]
    if hasattr(functions, "identify"):
        assert [*inspect.signature(functions.identify).parameters] == ["name", "mirrors"]
    assert hasattr(functions, "place") == (SOURCES[source].made in ("fetched", "given"))
    if hasattr(functions, "place"):
        assert [*inspect.signature(functions.place).parameters] == ["dataset", "mirrors"]
