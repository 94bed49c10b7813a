"""What a run, an evaluation and a dataset are, and the fingerprints of what determines them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dac.agent.components import GUIDANCES, Q_TARGETS
from dac.study import versions
from dac.study.params import Settings
from dac.study.sources import SOURCES, Source, minari_id, source_of

if TYPE_CHECKING:
    from dac.study.sources import Recipes

FINGERPRINT_DIGITS = 12
# What `Group.name` looks like.
GROUP_NAME = (
    f"(?:{'|'.join(map(re.escape, GUIDANCES))})-H[0-9]+-(?:{'|'.join(map(re.escape, Q_TARGETS))})[0-9.e+-]*"
    f"-[0-9a-f]{{{FINGERPRINT_DIGITS}}}"
)


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
        source: name of its source's record in `sources.SOURCES`.
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
    def kind(self) -> Source:
        """What holds for all datasets of its source."""
        return SOURCES[self.source]

    @property
    def path(self) -> Path:
        """Its folder, a Minari dataset with a description (`datasets.folder`); nothing lies there if it is drawn."""
        return self.kind.folder / f"{self.minari_id.replace('/', '-')}-{self.fingerprint}"

    @property
    def minari_id(self) -> str:
        """Its name for Minari."""
        return self.kind.title(self.name) if self.kind.title else minari_id(self.source, self.name)

    @property
    def file(self) -> Path | None:
        """The HDF5 file that it is converted from, of a source of such files."""
        return self.kind.file(self.name) if self.kind.file else None

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
        settings: the agent's and the training's, all of them. Groups that differ in one that is switched off, and so
            is not in their identity, are equal: they are the same runs.
        identity: canonical JSON of what can change the runs' numbers, the seed aside.
    """

    task: str
    env: str
    dataset: Dataset
    reward_scaling: str
    settings: Settings = field(compare=False)
    identity: str

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(json.loads(self.identity))

    @cached_property
    def label(self) -> str:
        """A short name for people, made of settings alone so that renaming a variant moves no run."""
        settings = self.settings
        coefficient = f"{settings.lcb_coefficient:g}" if Q_TARGETS[settings.q_target].has_coefficient else ""
        return f"{settings.guidance}-H{settings.ensemble_size}-{settings.q_target}{coefficient}"

    @property
    def name(self) -> str:
        """Name of the group's folder: `<label>-<fingerprint>`."""
        return f"{self.label}-{self.fingerprint}"


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
        reference: returns that are scores 0 and 100. They are in the fingerprint, and change no episode.
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

    def has_episodes_of(self, settings: Mapping[str, Any]) -> bool:
        """Whether a recorded evaluation's settings give the same episodes, whatever returns its scores refer to."""
        return {**settings, "reference_returns": self.identity["reference_returns"]} == self.identity

    @property
    def draws_one(self) -> bool:
        """Whether its actions are the policy's own, none chosen among several."""
        return self.action_samples == 1


def guidance_version(name: str) -> int:
    """Numerics version of a guidance."""
    return versions.GUIDANCE.get(name, versions.FIRST)


def q_target_version(name: str) -> int:
    """Numerics version of a Q-target."""
    return versions.Q_TARGET.get(name, versions.FIRST)


def precision_version(name: str) -> int:
    """Numerics version of a value of `training.precision`."""
    return versions.PRECISION.get(name, versions.FIRST)


def dataset_named(dataset_id: str, recipes: Recipes) -> Dataset:
    """The dataset of an id as a task has it, `<source>:<name>`.

    Args:
        recipes: `collect` of params.yaml, for sources that have some.

    Raises:
        UserError: an unknown D4RL id, a file that is neither present nor in datasets.lock, or one that is present and
            not the one of its identity.
    """
    kind, name = source_of(dataset_id)
    source = dataset_id.partition(":")[0]
    version = versions.DATASET.get(source, versions.FIRST)
    return Dataset(source, name, canonical({"source": source, "version": version, **kind.identity(name, recipes)}))


def recovered_from(env_id: str) -> Dataset | None:
    """The dataset that an environment is recovered from, `<source>:<name>`; None if it is named in another way."""
    source = SOURCES.get(env_id.partition(":")[0])
    return dataset_named(env_id, {}) if source and source.recovers else None
