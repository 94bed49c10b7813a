"""Timings of gradient steps: what an experiment measures that shows `timing`, under which name, and what is recorded.

    results/runs/<task>/timing-<label>-T<T>-<fp>/timing.json

The fingerprint is of what a step computes and of how it is timed: settings and numerics versions. The machine is in
what is recorded, and shown with it: a clone has nothing to measure, and who wants the times of another machine deletes
the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dac.study import resolve, versions
from dac.study.identity import FINGERPRINT_DIGITS, Group, canonical, fingerprint
from dac.study.params import Params, TimingSettings
from dac.study.records import timing_record
from dac.study.task_data import dataset_of
from dac.system.errors import UserError
from dac.system.files import write_json
from dac.system.paths import RUNS

# Settings that change what a gradient step computes; others change its numbers alone, or what happens between steps.
TIMED_SETTINGS = (
    "guidance", "q_target", "max_backup", "next_action_samples", "ensemble_size", "hidden_sizes", "diffusion_steps",
    "sampler", "sampler_steps", "clip_denoised", "batch_size", "precision",
)  # fmt: skip
# What `Timing.name` looks like.
TIMING_NAME = f"timing-[A-Za-z0-9_]+-H[0-9]+-T[0-9]+-[0-9a-f]{{{FINGERPRINT_DIGITS}}}"


@dataclass(frozen=True)
class Timing:
    """Gradient steps of one run, to be timed.

    Attributes:
        task: of params.yaml; its environment's observations and actions give the networks' sizes.
        group: of runs with these settings.
        how: how often and how long they are timed.
        identity: canonical JSON of what is timed. Timings that are equal in it are one.
    """

    task: str
    group: Group = field(compare=False)
    how: TimingSettings = field(compare=False)
    identity: str

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(json.loads(self.identity))

    @property
    def name(self) -> str:
        """Name of its folder."""
        settings = self.group.settings
        label = f"{settings.guidance}-H{settings.ensemble_size}-T{settings.diffusion_steps}"
        return f"timing-{label}-{self.fingerprint}"

    @property
    def directory(self) -> Path:
        return RUNS / self.task / self.name

    def __str__(self) -> str:
        return f"{self.task}/{self.name}"


def timing(group: Group, how: TimingSettings) -> Timing:
    """The timing of a group's gradient steps."""
    identity = json.loads(group.identity)
    timed = {
        "env": group.env,
        "settings": {key: value for key, value in identity["settings"].items() if key in TIMED_SETTINGS},
        "versions": {**identity["versions"], "timing": versions.TIMING},
        "how": how.model_dump(mode="json"),
    }
    return Timing(group.task, group, how, canonical(timed))


@dataclass(frozen=True)
class TimingCell:
    """One task × variant × value of an experiment that times steps: a row of its table."""

    experiment: str
    task: str
    variant: str
    value: float
    timing: Timing


def cells(params: Params, study: str, name: str) -> Iterator[TimingCell]:
    """What an experiment times; nothing, if it trains runs."""
    experiment = params.experiments[name]
    if not experiment.times_steps:
        return
    assert experiment.vary is not None  # the check of params.yaml demands both
    ((key, values),) = experiment.vary.items()
    for task in experiment.tasks:
        dataset = dataset_of(params, task)
        for variant, overrides in resolve.variants(experiment).items():
            for value in values:
                group = resolve.group(params, study, name, task, dataset, {**overrides, key: value})
                yield TimingCell(name, task, variant, value, timing(group, experiment.timing))


def find(params: Params, task: str, name: str) -> Timing:
    """The timing that a job was started for, looked up in params.yaml as it is now.

    Raises:
        UserError: params.yaml no longer describes it, so it was edited after the job was planned.
    """
    for study, settings in params.studies.items():
        for experiment in settings.experiments:
            if task in params.experiments[experiment].tasks:
                for cell in cells(params, study, experiment):
                    if (cell.task, cell.timing.name) == (task, name):
                        return cell.timing
    raise UserError(
        f"params.yaml (or dac/study/versions.py) changed since this job was planned: it no longer describes "
        f"{task}/{name}. Nothing was written. Start again: the new plan is used."
    )


# What is recorded


def problem(timing: Timing) -> str | None:
    """Why a timing is not in the store; None if it is."""
    content = timing_record(timing.directory)
    if content is None:
        return "corrupt: timing.json" if (timing.directory / "timing.json").exists() else "missing"
    found = fingerprint(content["identity"])
    return None if found == timing.fingerprint else "corrupt: timing.json is of another timing"


def publish(timing: Timing, repeats: Sequence[Mapping[str, float]], provenance: Mapping[str, Any]) -> None:
    """Record what was measured, and with what.

    Args:
        repeats: `step_ms`, milliseconds of a whole gradient step, and `actor_ms`, of the actor's update alone.
        provenance: versions, machine, device, threads, whether networks were compiled, and time.
    """
    write_json(
        timing.directory / "timing.json",
        {
            "task": timing.task,
            "identity": json.loads(timing.identity),
            "repeats": [dict(repeat) for repeat in repeats],
            "provenance": dict(provenance),
        },
    )


def recorded(timing: Timing) -> dict[str, Any]:
    """The contents of its record.

    Raises:
        UserError: it is not in the store.
    """
    if said := problem(timing):
        raise UserError(f"{timing.directory}: {said}. Start snakemake again: it measures this anew.")
    content = timing_record(timing.directory)
    assert content is not None  # `problem` has just read it
    return content
