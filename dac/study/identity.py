"""What a run, an evaluation and a dataset are, and the fingerprints of what determines them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dac.study import versions
from dac.system.files import expanded

FINGERPRINT_DIGITS = 12
D4RL_FOLDER = Path("data/d4rl")


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
        return own_file(self.name) if self.source == "file" else None

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


def own_file(name: str) -> Path:
    """The path of a dataset `file:<name>`, `~` expanded; `file://~/…` is a usual way to write it."""
    return expanded(name.removeprefix("//") if name.startswith("//~") else name)


def minari_dataset(dataset_id: str) -> Dataset:
    """One of Minari's datasets; its id, which has the version, is its identity."""
    return Dataset(
        "minari", dataset_id, canonical({"source": "minari", "version": versions.DATASET["minari"], "id": dataset_id})
    )
