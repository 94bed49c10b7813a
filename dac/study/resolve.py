"""From the layers of params.yaml to a group of runs: its settings, and which of them can change its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dac.study import versions
from dac.study.identity import Dataset, Group, canonical, guidance_version, precision_version, q_target_version
from dac.study.params import SETTINGS, ExperimentSettings, Params, Settings
from dac.study.switched_off import switched_off
from dac.study.task_data import environment
from dac.system.errors import UserError

# Settings added after runs were published: left out of the fingerprint while at this neutral value, at which the
# numbers are the same as before the setting existed, so that older runs stay valid.
NEUTRAL_SETTINGS: dict[str, Any] = {"sampler_steps": None, "eval_temperature": 0.0, "precision": "fp32"}

MOST_EVALUATIONS = 100_000  # during one training: a curve is a table in memory


def variants(experiment: ExperimentSettings) -> dict[str, dict[str, Any]]:
    """Variants by display name, with the settings in which they differ from the task's."""
    if experiment.variants is not None:
        return {name: overrides.model_dump(exclude_unset=True) for name, overrides in experiment.variants.items()}
    assert experiment.vary is not None  # the schema lets one of the two be absent
    ((key, values),) = experiment.vary.items()
    return {name: {key: value} for name, value in zip(experiment.variant_names, values, strict=True)}


def group(
    params: Params, study: str, experiment: str, task_name: str, dataset: Dataset, overrides: dict[str, Any]
) -> Group:
    """A task at one variant: defaults, overridden by the task, by the study, by the experiment, by the variant."""
    task = params.tasks[task_name]
    values = {**vars(params.agent), **vars(params.training)}
    for layer in layers(params, study, experiment, task_name).values():
        values.update(layer)
    values.update(expanded(params, overrides))
    settings = SETTINGS.validate_json(canonical(values))
    if settings.eta_min > settings.eta_max:
        raise UserError(
            f"params.yaml: {task_name} in studies.{study}: eta_min is {settings.eta_min}, more than eta_max, "
            f"{settings.eta_max}. Lower eta_min or raise eta_max where they are set."
        )
    if settings.sampler_steps is not None and settings.sampler_steps > settings.diffusion_steps:
        raise UserError(
            f"params.yaml: {task_name} in studies.{study}: sampler_steps is {settings.sampler_steps}, more than "
            f"diffusion_steps, {settings.diffusion_steps}. Lower it, or leave it out: the sampler then takes every "
            "step."
        )
    if settings.steps > MOST_EVALUATIONS * settings.eval_interval:
        raise UserError(
            f"params.yaml: {task_name} in studies.{study}: in {settings.steps} steps it is evaluated every "
            f"{settings.eval_interval}, more than {MOST_EVALUATIONS} times. Raise eval_interval or lower steps."
        )
    env = environment(task, task_name)
    identity = {
        "env": env,
        "dataset": json.loads(dataset.identity),
        "reward_scaling": task.reward_scaling,
        "settings": _that_matter(settings, dataset),
        "versions": _versions(settings, dataset),
    }
    return Group(task_name, env, dataset, task.reward_scaling, settings, canonical(identity))


def _versions(settings: Settings, dataset: Dataset) -> dict[str, int]:
    """The numerics versions of the components of a run; a precision's where it is not the first."""
    precision = precision_version(settings.precision)
    return {
        "common": versions.COMMON,
        "guidance": guidance_version(settings.guidance),
        **({} if dataset.kind.one_step else {"q_target": q_target_version(settings.q_target)}),
        **({} if precision == versions.FIRST else {"precision": precision}),
    }


def layers(params: Params, study: str, experiment: str, task: str) -> dict[str, dict[str, Any]]:
    """What overrides the defaults for all variants, by its place in params.yaml: the later counts more."""
    places = {
        f"tasks.{task}.settings": params.tasks[task].settings,
        f"studies.{study}.settings": params.studies[study].settings,
        f"experiments.{experiment}.settings": params.experiments[experiment].settings,
    }
    return {
        place: expanded(params, settings.model_dump(mode="json", exclude_unset=True))
        for place, settings in places.items()
    }


def expanded(params: Params, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of the preset that they name, if any; what they set themselves counts more."""
    name = overrides.get("preset")
    base = {} if name is None else params.presets[name].model_dump(mode="json", exclude_unset=True)
    return {**base, **{key: value for key, value in overrides.items() if key != "preset"}}


def _that_matter(settings: Settings, dataset: Dataset) -> dict[str, Any]:
    """The settings that can change this run's numbers: one that its others, or its data, switch off is left out."""
    values = settings.as_json()
    unused = switched_off(values, one_step=dataset.kind.one_step)
    neutral = {key for key, value in NEUTRAL_SETTINGS.items() if getattr(settings, key) == value}
    return {key: value for key, value in values.items() if key not in unused | neutral}
