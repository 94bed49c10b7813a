"""The only reader of params.yaml: what must hold between its sections, and how mistakes are told.

A mistake raises one `UserError` that lists each wrong place with its path in the file, the value found and what is
allowed.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.error import YAMLError

from dac.study import safe_yaml, shown
from dac.study.catalog import recorded_policies
from dac.study.mistakes import explained, explained_one, listing
from dac.study.params import (
    Claim,
    CollectRecipe,
    ExperimentSettings,
    Overrides,
    Params,
    PolicySettings,
    SacSettings,
    Study,
    Task,
)
from dac.study.sources import SOURCES
from dac.system.errors import UserError, closest

PARAMS_FILE = Path("params.yaml")

# Rules of the workflow and folders of the store under results/: a study of that name could not be asked for, and its
# page would take the place of the store.
RESERVED_STUDY_NAMES = frozenset({"all", "collect", "fetch", "train", "evaluate", "time", "report", "runs", "datasets"})
RESERVED_STUDY_SUFFIXES = ("_datasets", "_runs")

# What a claim may measure, by what its experiment shows.
MEASURES = {"score": ("score",), "bandit": ("inside", "reward"), "timing": ("step_ms", "actor_ms")}

PUBLISHED_SCORES = Path(__file__).resolve().parents[1] / "reference" / "published_scores.csv"


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing, is not YAML, or holds a wrong key, type, range or name.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file in {Path.cwd()}. Run this from the project's root folder, or another one that has "
            "it. An installed dac has the commands alone: the checkout has params.yaml and the workflow (Snakefile, "
            "workflow/, dvc.yaml)."
        )
    try:
        content = safe_yaml.read(path.read_text())
    except (YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not readable as YAML: {error}") from None
    return validated(content, path)


def validated(content: Any, path: Path = PARAMS_FILE) -> Params:
    """Check the contents of params.yaml.

    Raises:
        UserError: a wrong key, type, range or name; it names `path`.
    """
    try:
        # JSON mode: a list may become a tuple, while "0.5" in quotes stays an error.
        params = Params.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise UserError(explained(path, error)) from None
    problems = list(_cross_check(params))
    if problems:
        raise UserError(listing(path, problems))
    return params


def _cross_check(params: Params) -> Any:
    """What one section says of another: names that must exist, combinations that must make sense."""
    if params.dvc_study not in params.studies:
        yield f"dvc_study: found {params.dvc_study!r}; {closest(params.dvc_study, list(params.studies))}"
    if params.agent.eta_min > params.agent.eta_max:
        yield f"agent.eta_min: found {params.agent.eta_min}; must not exceed eta_max, {params.agent.eta_max}"
    yield from _check_presets(params)
    for name, recipe in params.collect.items():
        yield from _check_recipe(f"collect.{name}", recipe)
    for name, task in params.tasks.items():
        yield from _check_task(f"tasks.{name}", task, params)
    for name, experiment in params.experiments.items():
        yield from _check_experiment(f"experiments.{name}", experiment, params)
    for name, study in params.studies.items():
        yield from _check_study(f"studies.{name}", name, study, params)


def _check_presets(params: Params) -> Any:
    """Presets that are named must exist."""
    for place, settings in _overrides(params):
        name = getattr(settings, "preset", None)
        if name is not None and name not in params.presets:
            known = closest(name, list(params.presets)) if params.presets else "there is no section presets"
            yield f"{place}.preset: no preset {name!r}; {known}"


def _overrides(params: Params) -> Any:
    """Every place of the file that may name a preset, with its settings."""
    for section in ("tasks", "experiments", "studies"):
        for name, item in getattr(params, section).items():
            yield f"{section}.{name}.settings", item.settings
    for name, experiment in params.experiments.items():
        for variant, settings in (experiment.variants or {}).items():
            yield f"experiments.{name}.variants.{variant}", settings


def _check_recipe(where: str, recipe: CollectRecipe) -> Any:
    if (recipe.sac is None) == (recipe.policies is None):
        yield f"{where}: give exactly one of sac (it trains and is recorded) and policies (recorded ones, with noise)"
    elif recipe.sac is not None:
        yield from _check_sac_levels(where, recipe.sac, recipe)
    elif recipe.policies is not None:
        yield from _check_policies(where, recipe.policies, recipe)


def _check_sac_levels(where: str, sac: SacSettings, recipe: CollectRecipe) -> Any:
    for level, settings in recipe.levels.items():
        place = f"{where}.levels.{level}"
        if level == "mixed":
            yield f"{place}: SAC has no such level, recorded policies have; allowed: medium, medium-replay, expert"
            continue
        if (settings.at_step is None) == (settings.at_return is None):
            yield f"{place}: give exactly one of at_step and at_return"
        if settings.at_step is not None and settings.at_step > sac.steps:
            yield f"{place}.at_step: found {settings.at_step}; must not exceed sac.steps, {sac.steps}"
        if (level == "medium-replay") != (settings.transitions is None):
            rule = "has none: it is the replay buffer so far" if level == "medium-replay" else "is required"
            yield f"{place}.transitions: found {settings.transitions}; {rule}"


def _check_policies(where: str, policies: PolicySettings, recipe: CollectRecipe) -> Any:
    low, high = policies.noise
    if low > high:
        yield f"{where}.policies.noise: found {[low, high]}; the first must not exceed the second"
    known = recorded_policies()
    for index, name in enumerate(policies.files):
        if not name.endswith(".safetensors") and name not in known:
            found = f"{where}.policies.files[{index}]: no recorded policy {name!r}"
            yield f"{found}; {closest(name, known)} Or give a file of your own, which ends in .safetensors"
    yield from _duplicates(f"{where}.policies.files", policies.files)
    for level, settings in recipe.levels.items():
        place = f"{where}.levels.{level}"
        if level != "mixed":
            yield f"{place}: recorded policies have no such level; allowed: mixed"
        elif settings.at_step is not None or settings.at_return is not None:
            yield f"{place}: at_step and at_return are SAC's; recorded policies take transitions alone"
        elif settings.transitions is None:
            yield f"{place}.transitions: found None; is required"


def _check_task(where: str, task: Task, params: Params) -> Any:
    source, _, name = task.dataset.partition(":")
    if task.reference_returns and task.reference_returns[0] >= task.reference_returns[1]:
        yield f"{where}.reference_returns: found {list(task.reference_returns)}; the first must be the smaller"
    if source not in SOURCES:
        yield f"{where}.dataset: no source {source!r}; {closest(source, list(SOURCES))}"
    else:
        yield from (f"{where}.{problem}" for problem in SOURCES[source].problems(name, task, params))


def _check_experiment(where: str, experiment: ExperimentSettings, params: Params) -> Any:
    for index, task in enumerate(experiment.tasks):
        if task not in params.tasks:
            yield f"{where}.tasks[{index}]: unknown task {task!r}; {closest(task, list(params.tasks))}"
    yield from _duplicates(f"{where}.tasks", experiment.tasks)
    if experiment.times_steps:
        yield from _check_timing(where, experiment)
    elif (experiment.variants is None) == (experiment.vary is None):
        yield f"{where}: give exactly one of variants (named settings) and vary (one key and its values)"
    if experiment.variants is not None and not experiment.variants:
        yield f"{where}.variants: found none; name at least one, for example `dac: {{}}`"
    if experiment.vary is not None:
        yield from _check_vary(f"{where}.vary", experiment.vary)
        for index, name in enumerate(experiment.vary.get("preset", ())):
            if isinstance(name, str) and name not in params.presets:
                yield f"{where}.vary.preset[{index}]: no preset {name!r}; {closest(name, list(params.presets))}"
    yield from _check_claims(where, experiment)
    for index, item in enumerate(experiment.show):
        if item not in shown.names():
            yield f"{where}.show[{index}]: found {item!r}; {closest(item, list(shown.names()))}"
    for index, method in enumerate(experiment.published):
        if method not in _published_methods():
            yield f"{where}.published[{index}]: found {method!r}; {closest(method, _published_methods())}"


def _check_timing(where: str, experiment: ExperimentSettings) -> Any:
    """What an experiment that times steps must say, and what would be without effect there."""
    if set(experiment.show) != {"timing"}:
        yield f"{where}.show: found {', '.join(experiment.show)}; timing stands alone: nothing is trained for it"
    if experiment.variants is None or experiment.vary is None:
        yield f"{where}: timing needs both variants (whose steps are timed) and vary (one key and its values)"
    for key, values in (experiment.vary or {}).items():
        for index, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int | float):
                yield f"{where}.vary.{key}[{index}]: found {value!r}; timing varies a number"
    for key in ("evaluation", "published"):
        if key in experiment.model_fields_set:
            yield f"{where}.{key}: an experiment that shows timing trains nothing, and has no scores; leave it out"


@cache
def _published_methods() -> list[str]:
    with PUBLISHED_SCORES.open(newline="") as stream:
        return sorted({row["method"] for row in csv.DictReader(stream)})


def _check_claims(where: str, experiment: ExperimentSettings) -> Any:
    """The tasks and variants of a claim must be the experiment's, and what it measures must be shown."""
    variants = list(experiment.variant_names)
    for index, claim in enumerate(experiment.claims):
        place = f"{where}.claims[{index}]"
        for number, task in enumerate(claim.tasks or ()):
            if task not in experiment.tasks:
                allowed = closest(task, list(experiment.tasks))
                yield f"{place}.tasks[{number}]: {task!r} is no task of this experiment; {allowed}"
        yield from _duplicates(f"{place}.tasks", claim.tasks or ())
        for side in ("higher", "lower"):
            found = getattr(claim, side)
            if found != "data" and found.variant not in variants:
                yield f"{place}.{side}.variant: no variant {found.variant!r}; {closest(found.variant, variants)}"
        yield from _check_measure(place, claim, experiment)


def _check_measure(place: str, claim: Claim, experiment: ExperimentSettings) -> Any:
    """What a claim compares must be what the experiment measures."""
    kind = "timing" if experiment.times_steps else "bandit" if set(experiment.show) == {"bandit"} else "score"
    if claim.measure not in MEASURES[kind]:
        rule = (
            "inside and reward are of an experiment that shows a bandit alone, step_ms and actor_ms of one that times "
            "steps, score of any other"
        )
        yield f"{place}.measure: found {claim.measure!r}; {rule}"
        return
    sides = [side for side in (claim.higher, claim.lower) if side != "data"]
    counted = any(side.action_samples for side in sides)
    if kind == "bandit" and (len(sides) < 2 or counted):
        yield f"{place}: a bandit's actions are drawn one by one; compare two variants, without action_samples"
    if kind == "timing":
        values = next(iter((experiment.vary or {}).values()), ())
        if len(sides) < 2 or counted or any(side.value not in values for side in sides):
            allowed = ", ".join(map(str, values))
            yield f"{place}: times are of two variants, each with the value that it has there; allowed: {allowed}"
    elif any(side.value is not None for side in sides):
        yield f"{place}: value is of an experiment that times steps; name a variant"


def _check_vary(where: str, vary: dict[str, tuple[Any, ...]]) -> Any:
    if len(vary) != 1:
        yield f"{where}: found {len(vary)} keys ({', '.join(vary)}); vary exactly one"
    for key, values in vary.items():
        if key == "action_samples":
            yield f"{where}.{key}: N_a needs no training; list its values in the experiment's evaluation.action_samples"
        elif key not in Overrides.model_fields:
            yield f"{where}.{key}: no such setting; {closest(key, sorted(Overrides.model_fields))}"
        else:
            yield from _duplicates(f"{where}.{key}", values)
            for index, value in enumerate(values):
                try:
                    Overrides.model_validate_json(json.dumps({key: value}))
                except ValidationError as error:
                    for detail in error.errors():
                        said = explained_one(detail).removeprefix(key)
                        yield f"{where}.{key}[{index}]{said}"


def _check_study(where: str, name: str, study: Study, params: Params) -> Any:
    if name in RESERVED_STUDY_NAMES or name.endswith(RESERVED_STUDY_SUFFIXES):
        taken = ", ".join([*sorted(RESERVED_STUDY_NAMES), *(f"*{end}" for end in RESERVED_STUDY_SUFFIXES)])
        yield f"{where}: a study may not take the name of a rule or a folder ({taken}); choose another name"
    for index, experiment in enumerate(study.experiments):
        if experiment not in params.experiments:
            names = list(params.experiments)
            yield f"{where}.experiments[{index}]: unknown experiment {experiment!r}; {closest(experiment, names)}"
    yield from _duplicates(f"{where}.experiments", study.experiments)
    yield from _duplicates(f"{where}.seeds", study.seeds)


def _duplicates(where: str, values: tuple[Any, ...]) -> Any:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield f"{where}[{index}]: {value!r} stands twice; each may stand once"
