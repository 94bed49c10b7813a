"""What a study was made with: the settings that differ from the paper's defaults, and what else is not the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dac.report.comparable import PAPER_SCALING
from dac.report.data import ReportData
from dac.report.suites import ANTMAZE, suite_of
from dac.report.symbols import symbol
from dac.report.table import NONE, Table, Text
from dac.study.params import Settings

Values = Mapping[str, Any]

WHOLE = "whole study"


def settings_table(data: ReportData) -> Table:
    """Where settings differ from the defaults, which are the paper's: in the whole study, by task, by variant."""
    rows = settings_rows(data)
    return Table(
        name="settings",
        caption="What it was made with: settings that differ from the paper's defaults.",
        header=("Where", "Settings"),
        rows=tuple((Text(place), Text(described(found))) for place, found in rows.items()),
        frame=pd.DataFrame(
            [(place, key, str(value)) for place, found in rows.items() for key, value in found.items()],
            columns=["where", "setting", "value"],
        ),
        notes=(
            "The defaults: `agent` and `training` of dac's schema, the paper's where it gives them.",
            "A later row counts more.",
        ),
    )


def settings_rows(data: ReportData) -> dict[str, dict[str, Any]]:
    """Settings by place, the general first. A later place counts more: together they say all that differs of every run.

    A place is `whole study`, a task, `<title>: <variant>`, or that with `, <task>`.
    """
    default = _defaults()
    varied = {experiment.name: experiment.varied for experiment in data.experiments}
    said = {key: dict(default) for key in data.made_with}
    rows = {WHOLE: _shared(list(data.made_with.values()), default)}
    for key in said:
        said[key] |= rows[WHOLE]
    for task in dict.fromkeys(task for _, task, _ in data.made_with):
        keys = [key for key in data.made_with if key[1] == task]
        # What an experiment varies says nothing of its task.
        fixed = [{k: v for k, v in data.made_with[key].items() if k != varied.get(key[0])} for key in keys]
        rows[task] = {name: value for name, value in _agreed(fixed).items() if said[keys[0]].get(name) != value}
        for key in keys:
            said[key] |= rows[task]
    for experiment in data.experiments:
        for variant in experiment.variants:
            keys = [key for key in data.made_with if (key[0], key[2]) == (experiment.name, variant)]
            rows |= _of_variant(f"{experiment.title}: {variant}", keys, data.made_with, said)
    return {place: found for place, found in rows.items() if found or place == WHOLE}


def _of_variant(
    place: str,
    keys: Sequence[tuple[str, str, str]],
    made_with: Mapping[tuple[str, str, str], Values],
    said: Mapping[tuple[str, str, str], Values],
) -> dict[str, dict[str, Any]]:
    """What is not said yet of a variant's runs: of all of its tasks, then of some."""
    agreed = _agreed([made_with[key] for key in keys])
    shared = {name: value for name, value in agreed.items() if any(said[key].get(name) != value for key in keys)}
    rows = {place: shared}
    for key in keys:
        known = {**said[key], **shared}
        rows[f"{place}, {key[1]}"] = {name: value for name, value in made_with[key].items() if known.get(name) != value}
    return rows


def differing(values: Values) -> dict[str, Any]:
    """Which settings of some runs differ from the defaults, which are the paper's."""
    default = _defaults()
    return {key: value for key, value in values.items() if default.get(key) != value}


def _defaults() -> dict[str, Any]:
    return {**Settings().as_json(), "reward_scaling": PAPER_SCALING}


def described(values: Values) -> str:
    """Such as `T = 2, η = 0.05`."""
    return ", ".join(f"{symbol(key)} = {_text(value)}" for key, value in values.items()) or NONE


def not_the_papers(data: ReportData) -> list[str]:
    """What is not the paper's for all tasks alike, whatever the settings: items of a Markdown list."""
    simulators = sorted({name for names in data.runs["simulator"] for name in str(names).split("; ")})
    precisions = sorted({str(values["precision"]) for values in data.made_with.values()})
    return [
        *(
            [
                f"**Simulator.** {'; '.join(simulators)}."
                + (" Published scores were evaluated with an older one (docs/tasks.md)." if data.candidates else "")
            ]
            if simulators
            else []
        ),
        f"**Precision** of the matrix products: {', '.join(precisions)}.",
        *(
            [
                "**AntMaze.** A score is the success rate in per cent. The goal is drawn for each episode, in D4RL's "
                "v0 tasks once for all of them."
            ]
            if any(suite_of(data, task) == ANTMAZE for task in data.task_rows)
            else []
        ),
    ]


def _shared(settings: Sequence[Values], default: Values) -> dict[str, Any]:
    """What all of some settings agree in and the defaults do not."""
    return {key: value for key, value in _agreed(settings).items() if default.get(key) != value}


def _agreed(settings: Sequence[Values]) -> dict[str, Any]:
    """What those of some settings that have it agree in."""
    keys = dict.fromkeys(key for values in settings for key in values)
    found = {key: [values[key] for values in settings if key in values] for key in keys}
    return {key: values[0] for key, values in found.items() if all(value == values[0] for value in values)}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
