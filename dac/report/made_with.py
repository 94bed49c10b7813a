"""What a study was made with: the settings that differ from the paper's defaults, and what else is not the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dac.report.data import ReportData
from dac.report.symbols import symbol
from dac.report.table import NONE, Table, Text
from dac.study.params import Settings

Values = Mapping[str, Any]


def settings_table(data: ReportData) -> Table:
    """Where settings differ from the defaults, which are the paper's: in the whole study, by task, by variant."""
    default = Settings().as_json()
    everywhere = _shared(list(data.made_with.values()), default)
    rows = [("whole study", everywhere)]
    for task in dict.fromkeys(task for _, task, _ in data.made_with):
        found = _shared([values for key, values in data.made_with.items() if key[1] == task], default)
        rows.append((task, _without(found, everywhere)))
    of_tasks = dict(rows)
    for experiment in data.experiments:
        for variant in experiment.variants:
            of_variant = {
                task: _without(values, everywhere | of_tasks[task])
                for (name, task, other), values in data.made_with.items()
                if (name, other) == (experiment.name, variant)
            }
            found = _shared(list(of_variant.values()), default)
            rows.append((f"{experiment.title}: {variant}", found))
    shown = [(place, found) for place, found in rows if found or place == "whole study"]
    return Table(
        name="settings",
        caption="What it was made with: settings that differ from the paper's defaults.",
        header=("Where", "Settings"),
        rows=tuple((Text(place), Text(described(found))) for place, found in shown),
        frame=pd.DataFrame(
            [(place, key, str(value)) for place, found in shown for key, value in found.items()],
            columns=["where", "setting", "value"],
        ),
        notes=("The defaults: `agent` and `training` of dac's schema, the paper's where it gives them.",),
    )


def described(values: Values) -> str:
    """Such as `T = 2, η = 0.05`."""
    return ", ".join(f"{symbol(key)} = {_text(value)}" for key, value in values.items()) or NONE


def not_the_papers(data: ReportData) -> list[str]:
    """What is not the paper's for all tasks alike, whatever the settings, in sentences."""
    simulators = sorted({name for names in data.runs["simulator"] for name in str(names).split("; ")})
    precisions = sorted({str(values["precision"]) for values in data.made_with.values()})
    return [
        f"- **Simulator.** {'; '.join(simulators)}. Published scores were evaluated with an older one (docs/tasks.md).",
        f"- **Precision** of the matrix products: {', '.join(precisions)}.",
        *(
            [
                "- **AntMaze.** A score is the success rate in per cent. The goal is drawn for each episode, in D4RL's "
                "v0 tasks once for all of them."
            ]
            if any(task.startswith("antmaze") for _, task, _ in data.made_with)
            else []
        ),
    ]


def _shared(settings: Sequence[Values], default: Values) -> dict[str, Any]:
    """What all of some settings agree in and the defaults do not."""
    if not settings:
        return {}
    first, *others = settings
    return {
        key: value
        for key, value in first.items()
        if value != default.get(key) and all(key in other and other[key] == value for other in others)
    }


def _without(values: Values, said: Values) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in said or said[key] != value}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
