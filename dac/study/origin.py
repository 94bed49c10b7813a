"""Where a run's numbers come from: settings that are not the defaults, and the commands that make it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dac.study import seed_names, store
from dac.study.identity import Evaluation, Group, Run
from dac.study.params import Params
from dac.study.switched_off import switched_off


def differing_settings(params: Params, group: Group) -> dict[str, tuple[Any, Any]]:
    """The settings of a group that differ from the defaults of params.yaml, each as (default, value).

    Those that others switch off change no number and are left out.
    """
    defaults = {**vars(params.agent), **vars(params.training)}
    values = group.settings.as_json()
    off = switched_off(values, one_step=group.dataset.kind.one_step)
    pairs = {key: (_plain(defaults[key]), value) for key, value in values.items() if key not in off}
    return {key: (default, value) for key, (default, value) in pairs.items() if value != default}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def remake_commands(group: Group, seeds: Sequence[int], evaluations: Iterable[Evaluation]) -> list[str]:
    """The commands that make some runs of a group and their evaluations, again where they are there.

    Data that are collected, drawn or the user's own have no command here: no fetch makes them.
    """
    folders = [folder for seed in seeds if (folder := store.run_directory(Run(group, seed))).exists()]
    pack = f"{group.task} {group.name} --seeds {seed_names.name(seeds)}"
    wanted = "-".join(evaluation.fingerprint for evaluation in evaluations)
    return [
        *(f"rm -r {folder}" for folder in folders),
        *([f"dac fetch {group.task}"] if group.dataset.kind.made == "fetched" else []),
        f"dac train {pack}",
        f"dac evaluate {pack} --evaluations {wanted}",
    ]
