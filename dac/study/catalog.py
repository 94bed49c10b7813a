"""The D4RL datasets known by name: their files, checksums, and the returns that scores refer to."""

from __future__ import annotations

import csv
import difflib
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dac.system.errors import UserError
from dac.system.files import expanded

REFERENCE_FOLDER = Path(__file__).resolve().parent.parent / "reference"
BEHAVIOURS_FOLDER = Path(__file__).resolve().parent.parent / "behaviours"

# Behaviour sets of the two-dimensional bandit (dac.envs.bandit), and its expected rewards that are scores 0 and 100:
# of uniform actions, and of the best action.
BANDIT_ENV = "Bandit2D-v0"
BANDIT_SETS = ("two-gaussians", "three-gaussians", "two-moons", "two-circles")
BANDIT_REFERENCE = (-0.9032, 0.0)

# Gymnasium's name of an environment, without version, and a D4RL dataset id with its reference returns.
_ENVIRONMENT_FAMILIES = {
    "HalfCheetah": "halfcheetah-medium-v2",
    "Hopper": "hopper-medium-v2",
    "Walker2d": "walker2d-medium-v2",
    "Ant": "ant-medium-v2",
    "AdroitHandPen": "pen-human-v1",
    "AdroitHandHammer": "hammer-human-v1",
    "AdroitHandDoor": "door-human-v1",
    "AdroitHandRelocate": "relocate-human-v1",
}


# D4RL's ids begin with a family; the environment that its data are evaluated in. docs/tasks.md says how these differ
# from D4RL's own simulator; those under D4RL/ are made in dac.envs.d4rl_tasks.
_D4RL_ENVIRONMENTS = {
    "halfcheetah-": "HalfCheetah-v4",
    "hopper-": "Hopper-v4",
    "walker2d-": "Walker2d-v4",
    "antmaze-umaze-": "D4RL/AntMaze_UMaze-v2",
    "antmaze-medium-": "D4RL/AntMaze_Medium-v2",
    "antmaze-large-": "D4RL/AntMaze_Large-v2",
    "pen-": "D4RL/AdroitHandPen-v1",
    "door-": "D4RL/AdroitHandDoor-v1",
    "hammer-": "D4RL/AdroitHandHammer-v1",
    "relocate-": "D4RL/AdroitHandRelocate-v1",
    "kitchen-complete-": "D4RL/Kitchen_MicrowaveKettleLightSlider-v0",
    "kitchen-partial-": "D4RL/Kitchen_MicrowaveKettleLightSlider-v0",
    "kitchen-mixed-": "D4RL/Kitchen_MicrowaveKettleBottomBurnerLight-v0",
}

# What follows D4RL/ or mujoco/ in a Minari dataset's id, its name without version or the family, and a D4RL dataset id
# with its reference returns. A PointMaze with sparse rewards is evaluated as an AntMaze is: 1 at the goal.
_MINARI_FAMILIES = {
    "halfcheetah": "halfcheetah-medium-v2",
    "hopper": "hopper-medium-v2",
    "walker2d": "walker2d-medium-v2",
    "ant": "ant-medium-v2",
    "antmaze": "antmaze-umaze-v0",
    "pen": "pen-human-v1",
    "door": "door-human-v1",
    "hammer": "hammer-human-v1",
    "relocate": "relocate-human-v1",
    "kitchen": "kitchen-complete-v0",
    "pointmaze": "antmaze-umaze-v0",
    "pointmaze/open-dense": "maze2d-open-dense-v0",
    "pointmaze/umaze-dense": "maze2d-umaze-dense-v1",
    "pointmaze/medium-dense": "maze2d-medium-dense-v1",
    "pointmaze/large-dense": "maze2d-large-dense-v1",
}


@dataclass(frozen=True)
class Report:
    """What one source alone says of a file: a file that is otherwise is used, and told of.

    Attributes:
        sha256: hex digest of the file. rows, episodes: in it; the last one may be without an end. None where not said.
        source: who says so.
    """

    sha256: str | None
    rows: int | None
    episodes: int | None
    source: str


@dataclass(frozen=True)
class D4RLFile:
    """One of D4RL's HDF5 files.

    Attributes:
        id: D4RL's dataset id, such as `hopper-medium-v2`.
        url: where its authors serve it.
        size: bytes, or None where no source gives it.
        sha256: hex digest of the file, which is its identity, or None where no source gives it, or one alone.
        report: what one source alone says, if there is such.
    """

    id: str
    url: str
    size: int | None
    sha256: str | None
    report: Report | None = None


def d4rl_file(dataset_id: str) -> D4RLFile:
    """The file of a D4RL dataset.

    Raises:
        UserError: the id is not in the catalog; the message offers close matches.
    """
    files = _files()
    if dataset_id not in files:
        hint = suggestions(dataset_id, list(files))
        raise UserError(f"D4RL dataset {dataset_id!r} is not in the catalog. {hint}")
    return files[dataset_id]


def d4rl_ids() -> list[str]:
    """The ids of all files in the catalog, in its order."""
    return list(_files())


@cache
def d4rl_mirrors() -> tuple[str, ...]:
    """Addresses that are known to have D4RL's files in one folder, under D4RL's names."""
    with (REFERENCE_FOLDER / "d4rl_mirrors.csv").open(newline="") as stream:
        return tuple(row["address"] for row in csv.DictReader(stream))


def reference_returns(dataset_or_environment: str) -> tuple[float, float]:
    """Undiscounted episode returns that are scores 0 and 100 by D4RL's convention.

    Args:
        dataset_or_environment: a D4RL dataset id, or an environment id; those under D4RL/ are D4RL's own tasks. All
            versions (-v2 to -v5) of HalfCheetah, Hopper, Walker2d and Ant, and those of the Adroit hand tasks, take
            the returns that D4RL uses for its own version of that task. Their simulations differ in details from
            version to version, so a normalised score in one is not strictly comparable with a score in another.

    Raises:
        UserError: neither a known dataset nor an environment of a known family.
    """
    returns = _returns()
    if dataset_or_environment in returns:
        return returns[dataset_or_environment]
    family = dataset_or_environment.rpartition("-v")[0].removeprefix("D4RL/")
    if family.startswith("AntMaze_"):
        return returns["antmaze-umaze-v0"]
    if family.startswith("Kitchen_"):
        return returns["kitchen-complete-v0"]
    if family in _ENVIRONMENT_FAMILIES:
        return returns[_ENVIRONMENT_FAMILIES[family]]
    known = [*returns, *(f"{name}-v5" for name in _ENVIRONMENT_FAMILIES)]
    hint = suggestions(dataset_or_environment, known)
    raise UserError(f"No reference returns are known for {dataset_or_environment!r}. {hint}")


def minari_returns(dataset_id: str) -> tuple[float, float] | None:
    """As `reference_returns`, for an id of Minari's such as `D4RL/door/human-v2`; None where none are known."""
    namespace, _, rest = dataset_id.partition("/")
    if namespace not in ("D4RL", "mujoco"):
        return None
    alike = _MINARI_FAMILIES.get(rest.rpartition("-v")[0]) or _MINARI_FAMILIES.get(rest.partition("/")[0])
    return _returns()[alike] if alike else None


def known_returns(dataset_or_environment: str | None) -> tuple[float, float] | None:
    """`reference_returns`, or None where none are known."""
    try:
        return reference_returns(dataset_or_environment) if dataset_or_environment else None
    except UserError:
        return None


def usable_returns(found: object) -> tuple[float, float] | None:
    """Two returns that can be scores 0 and 100: finite numbers, the first the smaller. None where they are not."""
    if not isinstance(found, list | tuple) or len(found) != 2:
        return None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in found):
        return None
    try:
        low, high = float(found[0]), float(found[1])
    except OverflowError:
        return None
    return (low, high) if math.isfinite(high - low) and low < high else None


def environment_of(dataset_id: str) -> str:
    """The environment in which policies trained on one of D4RL's datasets are evaluated.

    Raises:
        UserError: the id is not in the catalog.
    """
    family = d4rl_file(dataset_id).id
    return next(env for prefix, env in _D4RL_ENVIRONMENTS.items() if family.startswith(prefix))


def suggestions(name: str, known: list[str]) -> str:
    """A sentence with the known names that are like `name`, or with some of them."""
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.6)
    if close:
        return f"Close matches: {', '.join(close)}."
    return f"Known ones are, for example: {', '.join(known[:5])}."


@cache
def _files() -> dict[str, D4RLFile]:
    with (REFERENCE_FOLDER / "d4rl_files.csv").open(newline="") as stream:
        return {row["d4rl_id"]: _file(row) for row in csv.DictReader(stream)}


def _file(row: dict[str, str]) -> D4RLFile:
    size = int(float(row["size_bytes"])) if row["size_bytes"] else None
    return D4RLFile(row["d4rl_id"], row["url"], size, row["sha256"] or None, _reports().get(row["d4rl_id"]))


@cache
def _reports() -> dict[str, Report]:
    with (REFERENCE_FOLDER / "d4rl_reports.csv").open(newline="") as stream:
        return {row["d4rl_id"]: _report(row) for row in csv.DictReader(stream)}


def _report(row: dict[str, str]) -> Report:
    rows, episodes = (int(row[key]) if row[key] else None for key in ("rows", "episodes"))
    return Report(row["sha256"] or None, rows, episodes, row["source"])


@cache
def _returns() -> dict[str, tuple[float, float]]:
    with (REFERENCE_FOLDER / "ref_scores.csv").open(newline="") as stream:
        return {
            row["d4rl_id"]: (float(row["ref_min_score"]), float(row["ref_max_score"])) for row in csv.DictReader(stream)
        }


def recorded_policies() -> list[str]:
    """Names of the recorded policies that come with the program (`dac.datasets.behaviours`)."""
    return sorted(path.stem for path in BEHAVIOURS_FOLDER.glob("*.safetensors"))


def policy_file(name: str) -> Path:
    """The file of a recorded policy: one that comes with the program, or a path, relative to params.yaml's folder."""
    return expanded(name) if name.endswith(".safetensors") else BEHAVIOURS_FOLDER / f"{name}.safetensors"
