"""From params.yaml to runs: which runs, evaluations and datasets a study consists of, and their fingerprints.

A *run* is (task, settings, seed). Everything that can change its numbers is in its fingerprint, and the fingerprint
is in its path, so that two experiments or studies share the runs they have in common, and a changed setting is a
different folder. This module imports no torch and touches no network: the Snakefile imports it at every start.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dac.study import versions
from dac.study.catalog import (
    BANDIT_ENV,
    BANDIT_REFERENCE,
    d4rl_file,
    environment_of,
    minari_returns,
    policy_file,
    reference_returns,
)
from dac.study.datasets_lock import compare_if_here, locked_file
from dac.study.datasets_lock import entry as locked_entry
from dac.study.params import AgentSettings, EvaluationSettings, Experiment, Params, Task, TrainingSettings
from dac.system.errors import UserError, closest
from dac.system.hashing import sha256_of

FINGERPRINT_DIGITS = 12
D4RL_FOLDER = Path("data/d4rl")

# Settings added after runs were published: left out of the fingerprint while at this neutral value, at which the
# numbers are the same as before the setting existed, so that older runs stay valid.
NEUTRAL_SETTINGS: dict[str, Any] = {"sampler_steps": None, "eval_temperature": 0.0, "precision": "fp32"}


def canonical(value: Any) -> str:
    """JSON with sorted keys and one spelling for every value: equal settings give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any) -> str:
    """The first 12 hex digits of the sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:FINGERPRINT_DIGITS]


@dataclass(frozen=True)
class Dataset:
    """A dataset of transitions, named by what determines its contents.

    Attributes:
        source: `d4rl`, `minari`, `file`, `collect` or `bandit`.
        name: the rest of its id in params.yaml: D4RL's id, Minari's, a path, `<env>/<level>`, or a behaviour set.
        identity: canonical JSON of what determines the contents: a file's sha256, Minari's id with its version, the
            recipe of a collection, or a set's name.
    """

    source: str
    name: str
    identity: str

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(json.loads(self.identity))

    @property
    def id(self) -> str:
        return f"{self.source}:{self.name}"

    @property
    def path(self) -> Path:
        """Its folder, a Minari dataset with a description (`datasets.folder`); nothing lies there for `bandit`."""
        if self.source == "collect":
            return Path("results/datasets") / f"{self.name.replace('/', '-')}-{self.fingerprint}"
        return Path("data/datasets") / f"{self.minari_id.replace('/', '-')}-{self.fingerprint}"

    @property
    def minari_id(self) -> str:
        """Its name for Minari, made of the characters that are allowed there."""
        if self.source == "minari":
            return self.name
        name = Path(self.name).stem if self.source == "file" else self.name
        return f"{self.source}/{re.sub(r'[^A-Za-z0-9_.]+', '-', name).strip('-')}-v0"

    @property
    def file(self) -> Path | None:
        """The HDF5 file that it is converted from, for `d4rl` and `file`."""
        if self.source == "d4rl":
            return D4RL_FOLDER / f"{self.name}.hdf5"
        return Path(self.name) if self.source == "file" else None

    @property
    def file_sha256(self) -> str:
        """The sha256 of that file."""
        return str(json.loads(self.identity)["sha256"])

    @property
    def collection(self) -> str:
        """Fingerprint of the SAC training or the policies that it is from; datasets that share it are made together."""
        recipe = json.loads(self.identity)
        return fingerprint({key: value for key, value in recipe.items() if key not in ("source", "level", "taken")})


@dataclass(frozen=True)
class Group:
    """The runs of one task at one setting of the agent: they differ in their seeds alone, and are trained in packs.

    Attributes:
        task: name of the task in params.yaml.
        settings: canonical JSON of the resolved agent and training settings, all of them. Groups that differ in a
            setting that is switched off, and so is not in their identity, are equal: they are the same runs.
        identity: canonical JSON of what can change the runs' numbers, the seed aside.
    """

    task: str
    env: str
    dataset: Dataset
    reward_scaling: str
    settings: str = field(compare=False)
    identity: str

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(json.loads(self.identity))

    @cached_property
    def label(self) -> str:
        """A short name for people, made of settings alone so that renaming a variant moves no run."""
        values = json.loads(self.settings)
        target = f"{values['q_target']}{values['lcb_coefficient']:g}" if values["q_target"] != "min" else "min"
        return f"{values['guidance']}-H{values['ensemble_size']}-{target}"

    @property
    def name(self) -> str:
        """Name of the group's folder: `<label>-<fingerprint>`."""
        return f"{self.label}-{self.fingerprint}"

    @property
    def values(self) -> dict[str, Any]:
        """The resolved agent and training settings."""
        result: dict[str, Any] = json.loads(self.settings)
        return result


@dataclass(frozen=True)
class Run:
    """One training of the agent: a group and a seed."""

    group: Group
    seed: int

    def __str__(self) -> str:
        return f"{self.group.task}/{self.group.name}/seed-{self.seed}"


@dataclass(frozen=True)
class Evaluation:
    """Roll-outs of a run's kept policies with N_a action samples.

    Attributes:
        action_samples: N_a, candidate actions per state.
        episodes: episodes per kept policy.
        reference: returns that are scores 0 and 100.
        temperature: of the draw among the candidates; 0 takes the best.
    """

    action_samples: int
    episodes: int
    reference: tuple[float, float]
    temperature: float = 0.0

    @cached_property
    def identity(self) -> dict[str, Any]:
        identity = {
            "action_samples": self.action_samples,
            "episodes": self.episodes,
            "reference_returns": list(self.reference),
            "version": versions.EVALUATION,
        }
        # Left out while neutral, like a run's NEUTRAL_SETTINGS.
        return identity | ({"temperature": self.temperature} if self.temperature > 0 else {})

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.identity)

    @property
    def draws_one(self) -> bool:
        """Whether its actions are the policy's own, none chosen among several."""
        return self.action_samples == 1


@dataclass(frozen=True)
class Cell:
    """One task × variant of an experiment: the unit of its tables."""

    experiment: str
    task: str
    variant: str
    group: Group
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True)
class StudyPlan:
    """All that a study consists of, in the order of params.yaml."""

    name: str
    params: Params
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]

    def runs(self) -> list[Run]:
        """Every run of the study, each once."""
        groups = dict.fromkeys(cell.group for cell in self.cells)
        return [Run(group, seed) for group in groups for seed in self.seeds]

    def evaluations(self) -> dict[Group, tuple[Evaluation, ...]]:
        """The evaluations that the study asks of each group, over all its experiments."""
        wanted: dict[Group, dict[Evaluation, None]] = {}
        for cell in self.cells:
            wanted.setdefault(cell.group, {}).update(dict.fromkeys(cell.evaluations))
        return {group: tuple(evaluations) for group, evaluations in wanted.items()}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the study's page is made of, contents of the inputs aside."""
        study = self.params.studies[self.name]
        experiments = {name: self.params.experiments[name] for name in study.experiments}
        shown = {"title", "description", "vary", "show", "published"}
        return {
            "version": versions.REPORT,
            "study": {"name": self.name, "description": study.description, "seeds": list(self.seeds)},
            "report": self.params.report.model_dump(mode="json"),
            "experiments": {
                name: item.model_dump(mode="json", include=shown | ({"claims"} if item.claims else set()))
                for name, item in experiments.items()
            },
            "cells": [
                [cell.experiment, cell.task, cell.variant, cell.group.name]
                + [evaluation.fingerprint for evaluation in cell.evaluations]
                for cell in self.cells
            ],
            "datasets": {cell.task: cell.group.dataset.id for cell in self.cells},
            "references": {cell.task: list(references(self.params.tasks[cell.task], cell.task)) for cell in self.cells},
        }

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.identity)


def evaluation_steps(steps: int, interval: int) -> list[int]:
    """Steps at which policies are evaluated: 0, every multiple of the interval, and the end."""
    return sorted({*range(0, steps, interval), steps})


def kept_steps(values: Mapping[str, Any]) -> list[int]:
    """Steps whose policies are kept, the last evaluations', from the resolved settings of a group."""
    return evaluation_steps(values["steps"], values["eval_interval"])[-values["kept_policies"] :]


def study_plan(params: Params, name: str) -> StudyPlan:
    """Resolve a study into its cells.

    Raises:
        UserError: no study of that name, or settings that do not go together.
    """
    if name not in params.studies:
        raise UserError(f"params.yaml: no study {name!r}; {closest(name, list(params.studies))}")
    study = params.studies[name]
    cells = tuple(
        cell
        for experiment in study.experiments
        for cell in _cells(params, name, experiment, params.experiments[experiment].tasks)
    )
    _check_window(params, name, cells)
    _check_bandits(params, name, cells)
    _check_claims(params, name, cells)
    return StudyPlan(name, params, cells, study.seeds)


def references(task: Task, name: str) -> tuple[float, float]:
    """Returns that are scores 0 and 100: the task's own, or D4RL's for its dataset or its environment."""
    if task.reference_returns is not None:
        return task.reference_returns
    source, _, rest = task.dataset.partition(":")
    if source == "bandit":
        return BANDIT_REFERENCE
    if source == "minari":
        found = minari_returns(rest) or locked_entry(task.dataset).get("reference_returns")
        if found is None:
            raise UserError(
                f"params.yaml: tasks.{name}: no reference returns are known for {task.dataset}. Set reference_returns: "
                f"[min, max]; or run `dac fetch {name}`, which takes them from Minari's metadata if they are there."
            )
        return found[0], found[1]
    try:
        return reference_returns(rest if source == "d4rl" else environment(task, name))
    except UserError as error:
        raise UserError(f"params.yaml: tasks.{name}: {error} Or set reference_returns: [min, max].") from None


def environment(task: Task, name: str) -> str:
    """The environment that a task's policies are evaluated in: its own `env`, or the one that its data name.

    Raises:
        UserError: the data name none.
    """
    source, _, rest = task.dataset.partition(":")
    if task.env is not None:
        return task.env
    if source == "d4rl":
        return environment_of(rest)
    if source == "minari":
        return task.dataset  # what that dataset recovers
    if source == "collect":
        return rest.rpartition("/")[0]
    if source == "bandit":
        return BANDIT_ENV
    found = locked_file(task.dataset, Path(rest)).get("env")
    if found is None:
        raise UserError(f"params.yaml: tasks.{name}: {rest} has no metadata/env_id; give the task's env.")
    if ":" in str(found):
        raise UserError(
            f"params.yaml: tasks.{name}: metadata/env_id of {rest} is {found!r}. Data may name an environment that "
            "installed packages register, and no module to import. Give the task's env, if you trust that module: "
            "`env: module:Id` imports it."
        )
    return str(found)


def _check_window(params: Params, study: str, cells: tuple[Cell, ...]) -> None:
    for cell in cells:
        if set(params.experiments[cell.experiment].show) == {"bandit"}:
            continue  # measured by drawn actions, not by the last evaluations
        values = cell.group.values
        evaluations = len(evaluation_steps(values["steps"], values["eval_interval"]))
        asked = {"report.window": params.report.window, "kept_policies": values["kept_policies"]}
        more = " and ".join(f"{name} ({count})" for name, count in asked.items() if count > evaluations)
        if more:
            raise UserError(
                f"params.yaml: studies.{study}: {cell.task} is evaluated {evaluations} times in {values['steps']} "
                f"steps, fewer than {more}; lower eval_interval or that."
            )


def _check_bandits(params: Params, study: str, cells: tuple[Cell, ...]) -> None:
    for cell in cells:
        if "bandit" not in params.experiments[cell.experiment].show:
            continue
        where = f"params.yaml: experiments.{cell.experiment} shows bandit"
        if cell.group.dataset.source != "bandit":
            raise UserError(
                f"{where}, but its task {cell.task} has the dataset {cell.group.dataset.id}; allowed: bandit:"
            )
        if not any(evaluation.draws_one for evaluation in cell.evaluations):
            raise UserError(
                f"{where}, which draws one action sample; in studies.{study} its evaluation.action_samples lacks 1. "
                "Add it."
            )


def _check_claims(params: Params, study: str, cells: tuple[Cell, ...]) -> None:
    evaluated = {cell.experiment: [item.action_samples for item in cell.evaluations] for cell in cells}
    for name, counts in evaluated.items():
        for index, claim in enumerate(params.experiments[name].claims):
            for side in (claim.higher, claim.lower):
                asked = None if side == "data" else side.action_samples
                if asked is not None and asked not in counts:
                    raise UserError(
                        f"params.yaml: experiments.{name}.claims[{index}]: {asked} action samples, but studies.{study} "
                        f"evaluates {', '.join(map(str, counts))}. Add {asked} to evaluation.action_samples there, or "
                        "change the claim."
                    )


def _cells(params: Params, study: str, name: str, tasks: Iterable[str]) -> Iterator[Cell]:
    """The cells of some of an experiment's tasks."""
    experiment = params.experiments[name]
    for task_name in tasks:
        task = params.tasks[task_name]
        dataset = dataset_of(params, task_name)
        evaluations = _evaluations(params, study, experiment, references(task, task_name))
        for variant, overrides in _variants(experiment).items():
            group = _group(params, study, name, task_name, dataset, overrides)
            yield Cell(name, task_name, variant, group, evaluations)


def _variants(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Variants by display name, with the settings in which they differ from the task's."""
    if experiment.variants is not None:
        return {name: overrides.model_dump(exclude_unset=True) for name, overrides in experiment.variants.items()}
    assert experiment.vary is not None  # the schema lets one of the two be absent
    ((key, values),) = experiment.vary.items()
    return {name: {key: value} for name, value in zip(experiment.variant_names, values, strict=True)}


def _evaluations(
    params: Params, study: str, experiment: Experiment, reference: tuple[float, float]
) -> tuple[Evaluation, ...]:
    chosen = params.evaluation.model_dump()
    for layer in (params.studies[study].evaluation, experiment.evaluation):
        chosen.update(layer.model_dump(exclude_none=True))
    settings = EvaluationSettings(**chosen)
    counts = dict.fromkeys(settings.action_samples)
    return tuple(Evaluation(count, settings.episodes, reference, settings.temperature) for count in counts)


def _group(
    params: Params, study: str, experiment: str, task_name: str, dataset: Dataset, overrides: dict[str, Any]
) -> Group:
    """A task at one variant: defaults, overridden by the task, by the study, by the experiment, by the variant."""
    task = params.tasks[task_name]
    values: dict[str, Any] = {**params.agent.model_dump(mode="json"), **params.training.model_dump(mode="json")}
    for layer in layers(params, study, experiment, task_name).values():
        values.update(layer)
    values.update(_expanded(params, overrides))
    agent = AgentSettings.model_validate_json(canonical(_subset(values, AgentSettings)))
    training = TrainingSettings.model_validate_json(canonical(_subset(values, TrainingSettings)))
    if agent.eta_min > agent.eta_max:
        raise UserError(
            f"params.yaml: {task_name} in studies.{study}: eta_min is {agent.eta_min}, more than eta_max, "
            f"{agent.eta_max}. Lower eta_min or raise eta_max where they are set."
        )
    if agent.sampler_steps is not None and agent.sampler_steps > agent.diffusion_steps:
        raise UserError(
            f"params.yaml: {task_name} in studies.{study}: sampler_steps is {agent.sampler_steps}, more than "
            f"diffusion_steps, {agent.diffusion_steps}. Lower it, or leave it out: the sampler then takes every step."
        )
    # Through the models once more, so that 2 and 2.0 of a float setting are one spelling.
    values = {**agent.model_dump(mode="json"), **training.model_dump(mode="json")}
    env = environment(task, task_name)
    identity = {
        "env": env,
        "dataset": json.loads(dataset.identity),
        "reward_scaling": task.reward_scaling,
        "settings": _that_matter(values, dataset),
        "versions": {
            "common": versions.COMMON,
            "guidance": versions.GUIDANCE[agent.guidance],
            **({} if dataset.source == "bandit" else {"q_target": versions.Q_TARGET[agent.q_target]}),
        },
    }
    return Group(task_name, env, dataset, task.reward_scaling, canonical(values), canonical(identity))


def layers(params: Params, study: str, experiment: str, task: str) -> dict[str, dict[str, Any]]:
    """What overrides the defaults for all variants, by its place in params.yaml: the later counts more."""
    places = {
        f"tasks.{task}.settings": params.tasks[task].settings,
        f"studies.{study}.settings": params.studies[study].settings,
        f"experiments.{experiment}.settings": params.experiments[experiment].settings,
    }
    return {
        place: _expanded(params, settings.model_dump(mode="json", exclude_unset=True))
        for place, settings in places.items()
    }


def setting_place(params: Params, study: str, cell: Cell, key: str) -> str:
    """Where params.yaml sets what a cell has of a setting of the agent or the training."""
    found = f"{'agent' if key in AgentSettings.model_fields else 'training'}.{key}"
    for place, settings in layers(params, study, cell.experiment, cell.task).items():
        found = f"{place}.{key}" if key in settings else found
    experiment = params.experiments[cell.experiment]
    if key in _expanded(params, _variants(experiment)[cell.variant]):
        variant = "vary" if experiment.vary else f"variants.{cell.variant}"
        found = f"experiments.{cell.experiment}.{variant}.{key}"
    return found


def _expanded(params: Params, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of the preset that they name, if any; what they set themselves counts more."""
    name = overrides.get("preset")
    base = {} if name is None else params.presets[name].model_dump(mode="json", exclude_unset=True)
    return {**base, **{key: value for key, value in overrides.items() if key != "preset"}}


def _subset(values: dict[str, Any], section: type[AgentSettings] | type[TrainingSettings]) -> dict[str, Any]:
    return {key: values[key] for key in section.model_fields}


def _that_matter(values: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    """The settings that can change this run's numbers: one that its others, or its data, switch off is left out."""
    unused: set[str] = set()
    if dataset.source == "bandit":
        # Every transition ends its episode: a target is a reward, whatever comes next.
        unused |= {"discount", "next_action_samples", "max_backup", "q_target", "lcb_coefficient"}
    if values["q_target"] == "min":
        unused.add("lcb_coefficient")
    if values["guidance"] == "none":
        unused |= {"eta_lr"}
    if values["sampler"] == "ddpm":
        unused.add("sampler_steps")
    if values["eta_lr"] == 0 or values["guidance"] == "none":
        unused |= {"bc_threshold", "eta_min", "eta_max"}
    neutral = {key for key, value in NEUTRAL_SETTINGS.items() if values.get(key) == value}
    return {key: value for key, value in values.items() if key not in unused | neutral}


def dataset_of(params: Params, task_name: str) -> Dataset:
    """The dataset of a task, with its identity.

    Raises:
        UserError: an unknown D4RL id, a file that is neither present nor in datasets.lock, or one that is present and
            not the one of its identity.
    """
    try:
        dataset = dataset_named(params, params.tasks[task_name].dataset)
        if dataset.source == "d4rl" and dataset.file:
            compare_if_here(dataset.id, dataset.file, dataset.file_sha256)
        if dataset.source == "minari":
            _refuse_other_size(dataset)
    except UserError as error:
        raise UserError(f"params.yaml: tasks.{task_name}.dataset: {error}") from None
    return dataset


def _refuse_other_size(dataset: Dataset) -> None:
    """Stop where episodes were added to a Minari dataset, or taken away, since it was fetched.

    Its rows are hashed by whoever reads them; here is a look at the sizes of files alone.
    """
    try:
        noted = json.loads((dataset.path / "dataset.json").read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # it is not here, or has to be fetched again, which compares it
    for name, entry in noted.items():
        path = dataset.path / name
        try:
            size = path.stat().st_size
        except OSError:
            continue  # a clone, or a disk that is not mounted
        if path.name != "metadata.json" and size != entry["size"]:
            raise UserError(
                f"{path.resolve()} has another size than when it was fetched, and runs were trained on that. "
                f"`dac fetch {dataset.id}` compares it with datasets.lock and says how to go on."
            )


def dataset_named(params: Params, dataset_id: str) -> Dataset:
    """The dataset of an id as a task has it, `<source>:<name>`; errors as of `dataset_of`, but for D4RL's files."""
    source, _, name = dataset_id.partition(":")
    if source == "collect":
        identity = _collected_identity(params, *name.rpartition("/")[::2])
    elif source == "bandit":
        identity = {"set": name}
    elif source == "minari":
        return minari_dataset(name)
    elif source == "d4rl":
        identity = {"sha256": d4rl_file(name).sha256 or locked_file(dataset_id)["sha256"]}
    else:
        identity = {"sha256": locked_file(dataset_id, Path(name))["sha256"]}
    return Dataset(source, name, canonical({"source": source, "version": versions.DATASET[source], **identity}))


def _collected_identity(params: Params, env: str, level: str) -> dict[str, Any]:
    recipe = params.collect[env]
    shared: dict[str, Any] = {"env": env, "seed": recipe.seed, "level": level}
    taken = recipe.levels[level].model_dump(mode="json")  # type: ignore[index]
    if recipe.policies is None:
        assert recipe.sac is not None  # the schema lets one of the two be absent
        return {**shared, "sac": recipe.sac.model_dump(mode="json"), "taken": taken}
    hashes = [_policy_sha256(env, name) for name in recipe.policies.files]
    policies = {**recipe.policies.model_dump(mode="json", exclude={"files"}), "sha256": hashes}
    return {**shared, "policies": policies, "taken": {"transitions": taken["transitions"]}}


def _policy_sha256(env: str, name: str) -> str:
    path = policy_file(name)
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(
            f"collect.{env}.policies.files: {path} is not readable ({error.strerror}). Put it there or correct the "
            "path, which counts from params.yaml's folder; `dac behaviours ENV` records such files."
        ) from None


def minari_dataset(dataset_id: str) -> Dataset:
    """One of Minari's datasets; its id, which has the version, is its identity."""
    return Dataset(
        "minari", dataset_id, canonical({"source": "minari", "version": versions.DATASET["minari"], "id": dataset_id})
    )


def find_group(params: Params, task: str, name: str) -> Group:
    """The group that a job was started for, looked up in params.yaml as it is now.

    Raises:
        UserError: params.yaml no longer describes it, so it was edited after the job was planned.
    """
    for cell in _cells_of_task(params, task):
        if cell.group.name == name:
            return cell.group
    raise UserError(
        f"params.yaml (or dac/study/versions.py) changed since this job was planned: it no longer describes "
        f"{task}/{name}. Nothing was written. Let the other jobs end, then start again: the new plan is used."
    )


def runs_of_task(params: Params, task: str) -> Iterator[Run]:
    """The runs of one task in every study, whatever is wrong with other tasks' data."""
    for name, study in params.studies.items():
        for experiment in study.experiments:
            if task in params.experiments[experiment].tasks:
                for cell in _cells(params, name, experiment, [task]):
                    yield from (Run(cell.group, seed) for seed in study.seeds)


def find_evaluations(params: Params, group: Group, wanted: list[str]) -> list[Evaluation]:
    """The evaluations of a group by fingerprint, looked up like `find_group`."""
    cells = (cell for cell in _cells_of_task(params, group.task) if cell.group == group)
    known = {evaluation.fingerprint: evaluation for cell in cells for evaluation in cell.evaluations}
    gone = [name for name in wanted if name not in known]
    if gone:
        raise UserError(
            f"params.yaml changed since this job was planned: it no longer asks for evaluation {', '.join(gone)} of "
            f"{group.task}/{group.name}. Nothing was written. Start again: the new plan is used."
        )
    return [known[name] for name in wanted]


def _cells_of_task(params: Params, task: str) -> Iterator[Cell]:
    """The cells of one task in every study: a job depends on no other task, whose data may be missing, say."""
    for name, study in params.studies.items():
        for experiment in study.experiments:
            tasks = [other for other in params.experiments[experiment].tasks if other == task]
            yield from _cells(params, name, experiment, tasks)
