"""What an experiment can show: a module each, named as `show` names it, whose `ITEM` says what stands on the page.

Another file here is all that a new table or figure takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from dac.report import partial
from dac.report.data import Experiment, ReportData
from dac.report.item import Clip, Item, Picture
from dac.report.scores import scores_table
from dac.report.statistics import Summary
from dac.report.table import Table
from dac.study import shown


@cache
def items() -> Mapping[str, Item]:
    """All items by name, in the order of a page."""
    found: dict[str, Item] = {name: import_module(f"{__name__}.{name}").ITEM for name in shown.names()}
    return dict(sorted(found.items(), key=lambda pair: pair[1].place))


def shown_by(experiment: Experiment) -> dict[str, Item]:
    """The items of an experiment by name, in the order of the page."""
    return {name: item for name, item in items().items() if name in experiment.show}


def tables_of(data: ReportData, summary: Summary) -> list[Table]:
    """The tables of an experiment, those first that stand on the page themselves."""
    makers = dict.fromkeys(make for item in shown_by(summary.experiment).values() for make in item.tables)
    rest = partial.comparable(data, summary)
    # The table of scores alone has every task, whatever is there of it.
    shown = {make: summary if make is scores_table else rest for make in makers}
    made = [table for make, of in shown.items() if of is not None and (table := make(data, of)) is not None]
    return sorted(made, key=lambda table: not table.inline)


def pictures_of(experiment: Experiment) -> dict[str, Picture]:
    """The figures of an experiment by the name of their item, in the order of the page."""
    return {name: item.picture for name, item in shown_by(experiment).items() if item.picture is not None}


def clips_of(experiment: Experiment) -> dict[str, Clip]:
    """The films of an experiment by the name of their item, in the order of the page."""
    return {name: item.clip for name, item in shown_by(experiment).items() if item.clip is not None}
