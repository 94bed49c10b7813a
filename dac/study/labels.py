"""What a group's label leaves out: the settings that tell it from others of the same label, for people.

A label is part of the name of a group's folder, which DVC, jobs' markers and resumable work know: of the store of an
earlier version each folder is found by it. So a label stays what it was, and what it leaves out stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dac.study.identity import Group, canonical
from dac.study.params import Params
from dac.study.plan import cells_of_task


def told_apart(params: Params, tasks: Iterable[str]) -> dict[Group, str]:
    """By group of these tasks, in which settings it differs from others of its label in an experiment of params.yaml.

    Such as `diffusion_steps=10`; empty where the label says all.
    """
    alike: dict[tuple[str, str, str], dict[Group, dict[str, Any]]] = {}
    for cell in (cell for task in dict.fromkeys(tasks) for cell in cells_of_task(params, task)):
        settings = json.loads(cell.group.identity)["settings"]
        alike.setdefault((cell.task, cell.experiment, cell.group.label), {})[cell.group] = settings
    found: dict[Group, dict[str, str]] = {}
    for groups in alike.values():
        keys = sorted({key for settings in groups.values() for key in settings})
        differing = [key for key in keys if len({canonical(item.get(key)) for item in groups.values()}) > 1]
        for group in groups:
            values = group.settings.as_json()
            found.setdefault(group, {}).update((key, _spelt(values[key])) for key in differing)
    return {group: ",".join(f"{key}={value}" for key, value in own.items()) for group, own in found.items()}


def _spelt(value: Any) -> str:
    """Without a space: it stands in names of TensorBoard's folders, too."""
    if isinstance(value, list):
        return "-".join(map(str, value))
    return canonical(value).strip('"')
