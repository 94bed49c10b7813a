"""Where a task's data are from: all that the plan asks about a source of datasets, in one record each.

A task's `dataset` is `<source>:<name>`. Adding a source is a record here and a module of its name in
`dac.datasets.sources`, with the functions that bring its data here and read them. The plan reads the records at every
start: nothing here imports torch or touches a network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dac.study.catalog import (
    BANDIT_ENV,
    BANDIT_REFERENCE,
    BANDIT_SETS,
    d4rl_file,
    environment_of,
    minari_returns,
    policy_file,
    reference_returns,
    usable_returns,
)
from dac.study.datasets_lock import LOCK_FILE, entry, locked_file
from dac.system import paths
from dac.system.errors import UserError, closest
from dac.system.files import expanded
from dac.system.hashing import sha256_of

if TYPE_CHECKING:
    from dac.study.params import CollectRecipe, Params, Task

    Recipes = Mapping[str, CollectRecipe]  # the section `collect` of params.yaml, by environment


def _no_problems(name: str, task: Task, params: Params) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True)
class Source:
    """What the plan asks about the datasets of one source. Functions take a dataset's name, without its source.

    Attributes:
        made: how they come here: `fetched` and `collected` by a job of that kind; `given`, files that the user puts
            there; or `drawn` whenever they are needed, so that nothing is kept.
        identity: what determines the contents, besides source and numerics version: part of the runs' fingerprints.
            Raises UserError where nothing says it yet.
        environment: where policies are evaluated unless the task says it. Raises UserError where the data name none.
        references: returns that are scores 0 and 100, or UserError; left out, those of the environment are taken.
        problems: what is wrong with a task on such data, as `<key of the task>: <what is wrong>`.
        not_by_name: why no dataset of it can be asked for by its name alone, as what follows that name in a sentence;
            empty where one can.
        title: its name for Minari and for its folder; left out, the source and the name.
        folder: what its folder lies in.
        file: the HDF5 file in D4RL's layout that it is converted from.
        rows: how many there are, as far as that is known before they are here; params.yaml has the recipes.
        published: files of others, which are what they are, and whose scores are published. One's own can be mended,
            and are refused where they are doubtful.
        one_step: every transition ends its episode, so that a target is a reward, whatever comes next.
        behaviour_sets: its names are those of `envs.bandit`, which draws them anew for the figure.
        linked: its folder links to data that are kept elsewhere, for others as well, who may add to them.
        recovers: the data say how to make their environment; its id is then the dataset's.
    """

    made: Literal["fetched", "collected", "given", "drawn"]
    identity: Callable[[str, Recipes], dict[str, Any]]
    environment: Callable[[str], str]
    title: Callable[[str], str] | None = None
    references: Callable[[str], tuple[float, float]] | None = None
    problems: Callable[[str, Task, Params], Iterator[str]] = _no_problems
    not_by_name: str = ""
    folder: Path = paths.CONVERTED
    file: Callable[[str], Path] | None = None
    rows: Callable[[str, Recipes], int | None] = lambda name, recipes: None
    published: bool = False
    one_step: bool = False
    behaviour_sets: bool = False
    linked: bool = False
    recovers: bool = False


# d4rl:<id>, one of D4RL's own files


def d4rl_path(name: str) -> Path:
    """Where one of D4RL's files lies here."""
    return paths.D4RL / f"{name}.hdf5"


def _d4rl_identity(name: str, recipes: Recipes) -> dict[str, Any]:
    return {"sha256": d4rl_file(name).sha256 or locked_file(f"d4rl:{name}")["sha256"]}


# minari:<id>-v<n>, one of Minari's


def _minari_references(name: str) -> tuple[float, float]:
    found = minari_returns(name) or entry(f"minari:{name}").get("reference_returns")
    if found is None:
        raise UserError(
            f"No reference returns are known for minari:{name}. `dac fetch minari:{name}` takes them from Minari's "
            "metadata if they are there."
        )
    if (returns := usable_returns(found)) is None:
        raise UserError(
            f"{LOCK_FILE}: the reference_returns of minari:{name} are {found}; allowed are two finite numbers, the "
            f"first the smaller. Restore {LOCK_FILE} from git."
        )
    return returns


def _minari_problems(name: str, task: Task, params: Params) -> Iterator[str]:
    if not re.fullmatch(r"[^:]+-v\d+", name):
        yield f"dataset: found {task.dataset!r}; give the version too, such as minari:D4RL/door/human-v2"


# file:<path>, HDF5 in D4RL's layout


def own_file(name: str) -> Path:
    """The path of a file of the user's, `~` expanded; `file://~/…` is a usual way to write it."""
    return expanded(name.removeprefix("//") if name.startswith("//~") else name)


def _own_identity(name: str, recipes: Recipes) -> dict[str, Any]:
    return {"sha256": locked_file(f"file:{name}", own_file(name))["sha256"]}


def _own_environment(name: str) -> str:
    found = locked_file(f"file:{name}", own_file(name)).get("env")
    if found is None:
        raise UserError(f"{name} has no metadata/env_id; give the task's env.")
    if ":" in str(found):
        raise UserError(
            f"metadata/env_id of {name} is {found!r}. Data may name an environment that installed packages register, "
            "and no module to import. Give the task's env, if you trust that module: `env: module:Id` imports it."
        )
    return str(found)


# collect:<env>/<level>, by a recipe of params.yaml


def _collected_identity(name: str, recipes: Recipes) -> dict[str, Any]:
    env, _, level = name.rpartition("/")
    recipe = recipes[env]
    shared: dict[str, Any] = {"env": env, "seed": recipe.seed, "level": level}
    taken = recipe.levels[level].model_dump(mode="json")  # type: ignore[index]
    if recipe.policies is None:
        assert recipe.sac is not None  # the schema lets one of the two be absent
        return {**shared, "sac": recipe.sac.model_dump(mode="json"), "taken": taken}
    hashes = [_policy_sha256(env, file) for file in recipe.policies.files]
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


def _collected_rows(name: str, recipes: Recipes) -> int | None:
    env, _, level = name.rpartition("/")
    taken, sac = recipes[env].levels[level], recipes[env].sac  # type: ignore[index]
    return taken.transitions or taken.at_step or (sac.steps if sac else None)


def _collected_problems(name: str, task: Task, params: Params) -> Iterator[str]:
    env, _, level = name.rpartition("/")
    if env not in params.collect:
        yield f"dataset: no recipe collect.{env}; {closest(env, list(params.collect))}"
    elif level not in params.collect[env].levels:
        yield f"dataset: no level {level!r} there; {closest(level, list(params.collect[env].levels))}"
    elif task.env not in (None, env):
        yield f"env: found {task.env!r}; data collected in {env} are evaluated there"


# bandit:<set>, a behaviour set of the two-dimensional bandit


def _bandit_problems(name: str, task: Task, params: Params) -> Iterator[str]:
    if name not in BANDIT_SETS:
        yield f"dataset: no behaviour set {name!r}; {closest(name, list(BANDIT_SETS))}"
    if task.env not in (None, BANDIT_ENV):
        yield f"env: found {task.env!r}; a bandit's behaviour sets are evaluated in {BANDIT_ENV}"


SOURCES: dict[str, Source] = {
    "d4rl": Source(
        made="fetched",
        identity=_d4rl_identity,
        environment=environment_of,
        references=reference_returns,
        file=d4rl_path,
        published=True,
    ),
    "minari": Source(
        made="fetched",
        identity=lambda name, recipes: {"id": name},  # which has its version
        environment=lambda name: f"minari:{name}",
        references=_minari_references,
        problems=_minari_problems,
        title=str,
        linked=True,
        recovers=True,
    ),
    "file": Source(
        made="given",
        identity=_own_identity,
        environment=_own_environment,
        not_by_name="is a file of yours, read when a task needs it: give that task's name to have it checked",
        title=lambda name: minari_id("file", Path(name).stem),
        file=own_file,
    ),
    "collect": Source(
        made="collected",
        identity=_collected_identity,
        environment=lambda name: name.rpartition("/")[0],
        problems=_collected_problems,
        not_by_name="is collected, not fetched: `snakemake <study>_datasets` does so",
        title=str,
        folder=paths.COLLECTED,
        rows=_collected_rows,
    ),
    "bandit": Source(
        made="drawn",
        identity=lambda name, recipes: {"set": name},
        environment=lambda name: BANDIT_ENV,
        references=lambda name: BANDIT_REFERENCE,
        problems=_bandit_problems,
        not_by_name="is drawn when it is needed; there is nothing to fetch",
        rows=lambda name, recipes: 1000,
        one_step=True,
        behaviour_sets=True,
    ),
}


def minari_id(source: str, name: str) -> str:
    """A name for Minari, made of the characters that are allowed there."""
    return f"{source}/{re.sub(r'[^A-Za-z0-9_.]+', '-', name).strip('-')}-v0"


def source_of(dataset_id: str) -> tuple[Source, str]:
    """The source of a dataset that is named `<source>:<name>`, and that name."""
    source, _, name = dataset_id.partition(":")
    return SOURCES[source], name
