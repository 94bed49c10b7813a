"""HDF5 files and Minari datasets of strangers: read, or refused in a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hostile import TEXTS, damaged, mutated, stretched, survive
from hypothesis import strategies as st
from tiny import Project, write_rows

from dac.datasets import load, minari
from dac.envs import minari_spec
from dac.rows import checks, layout
from dac.study.datasets_lock import locked_file
from dac.study.task_data import dataset_of
from dac.system.errors import UserError

pytestmark = pytest.mark.soak

PATH = Path("hostile.hdf5")
LOCK = Path("datasets.lock")
ROWS = 36


def read_file() -> None:
    """All that is asked of a user's own file."""
    LOCK.unlink(missing_ok=True)
    checks.read(PATH)
    layout.env_id(PATH)
    locked_file("file:hostile.hdf5", PATH)


def arrays() -> dict[str, Any]:
    """The arrays of a file in which nothing is wrong."""
    random, ends = np.random.default_rng(0), np.arange(ROWS) % 12 == 11
    return {
        "observations": random.normal(size=(ROWS, 3)).astype(np.float32),
        "actions": random.uniform(-1, 1, size=(ROWS, 1)).astype(np.float32),
        "rewards": random.uniform(size=ROWS).astype(np.float32),
        "terminals": ends,
        "timeouts": np.zeros(ROWS, np.bool_),
    }


DTYPES = [
    "f4", "f2", "f8", "i8", "u1", "?", "c8", "S3", "V5", "<f4", ">f4", [("x", "f4"), ("y", "i4")],
    h5py.string_dtype(), h5py.vlen_dtype(np.float32), h5py.ref_dtype, h5py.enum_dtype({"a": 0, "b": 1}),
]  # fmt: skip
SIZES = [0, 1, 2, ROWS - 1, ROWS, ROWS + 1, 10**3, 10**5, 10**10]
PLACES = [*arrays(), "next_observations", "metadata/env_id", "metadata", "infos/x"]


@st.composite
def objects(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """Something to put into a file: where, what, and how."""
    kind = draw(st.sampled_from(["declared", "declared", "values", "values", "text", "link", "empty", "group", "none"]))
    shape = tuple(draw(st.lists(st.sampled_from(SIZES), max_size=3)))
    settings: dict[str, Any] = {"shape": shape, "dtype": draw(st.sampled_from(DTYPES))}
    if kind == "declared" and shape and draw(st.booleans()):
        settings["chunks"] = tuple(draw(st.integers(1, 50)) for _ in shape)
        settings["maxshape"] = tuple(None for _ in shape)
        settings["compression"] = draw(st.sampled_from([None, "gzip", "lzf"]))
    settings["value"] = draw(st.sampled_from([0, 1, -1, 2, np.nan, np.inf, 1e300, 0.5]))
    settings["text"] = draw(st.sampled_from([*TEXTS, "Hopper-v4", "os:system"]))
    return draw(st.sampled_from(PLACES)), kind, settings


def put(file: h5py.File, place: str, kind: str, settings: dict[str, Any]) -> None:
    if place in file:
        del file[place]
    if kind == "declared":
        made = {
            key: settings[key] for key in ("shape", "dtype", "chunks", "maxshape", "compression") if key in settings
        }
        file.create_dataset(place, **made)
    elif kind == "values":
        small = tuple(min(size, ROWS + 1) for size in settings["shape"])
        file[place] = np.full(small or (ROWS,), settings["value"])
    elif kind == "text":
        file[place] = settings["text"].encode(errors="replace").replace(b"\x00", b"") or b"-"
    elif kind == "link":
        elsewhere = h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink(f"/{place}"), h5py.SoftLink("/actions")
        file[place] = elsewhere[len(settings["text"]) % 3]
    elif kind == "empty":
        file[place] = h5py.Empty("f4")
    elif kind == "group":
        file.create_group(place)


def write(items: list[tuple[str, str, dict[str, Any]]]) -> None:
    with h5py.File(PATH, "w") as file:
        for name, array in arrays().items():
            file[name] = array
        for place, kind, settings in items:
            try:
                put(file, place, kind, settings)
            except (ValueError, TypeError, OSError, KeyError, RuntimeError):
                continue  # h5py makes no such thing
    read_file()


def test_arrays_of_other_types_and_sizes(project: Project) -> None:
    survive("HDF5 with other types, sizes and links", st.lists(objects(), min_size=1, max_size=3), write, 120)


def test_bytes_of_a_file(project: Project) -> None:
    write([])
    content = PATH.read_bytes()
    assert len(content) < 20_000

    def read(changed: bytes) -> None:
        PATH.write_bytes(changed)
        read_file()

    survive("HDF5 with damaged bytes", damaged(content), read, 120)


@pytest.fixture
def recorded(project: Project) -> Path:
    """The folder of a small Minari dataset."""
    write_rows(Path("data/pendulum.hdf5"), episodes=2)
    with h5py.File("data/pendulum.hdf5", "a") as file:
        file["metadata/env_id"] = "InvertedPendulum-v5"
    dataset = dataset_of(project.load(), "pendulum")
    load.fetch(dataset, None)
    return Path(shutil.copytree(dataset.path, "minari"))


def read_minari(folder: Path) -> None:
    """All that is asked of a Minari dataset: rows, and the environment to evaluate in, by its id alone."""
    minari_spec.evaluation_digest(folder / "data")
    minari_spec.recorded_env(folder / "data")
    try:
        minari_spec.evaluation_spec(folder / "data")
    finally:
        minari.read(folder)


def test_metadata_of_minari(recorded: Path) -> None:
    path = recorded / "data/metadata.json"
    facts = json.loads(path.read_text())
    for key in ("observation_space", "action_space", "env_spec"):
        if isinstance(facts.get(key), str):
            facts[key] = json.loads(facts[key])

    def read(document: Any) -> None:
        if isinstance(document, dict):
            document = {
                key: json.dumps(value) if key in facts and isinstance(facts[key], dict) else value
                for key, value in document.items()
            }
        path.write_text(json.dumps(document))
        read_minari(recorded)

    either = mutated(facts) | stretched(facts) | st.just(facts)
    survive("Minari's metadata with other values, names and places", either, read, 100)


def test_bytes_of_minari(recorded: Path) -> None:
    def read(name_and_content: tuple[str, bytes]) -> None:
        name, content = name_and_content
        for file, whole in before.items():
            (recorded / "data" / file).write_bytes(content if file == name else whole)
        read_minari(recorded)

    before = {name: (recorded / "data" / name).read_bytes() for name in ("metadata.json", "main_data.hdf5")}
    whole = st.sampled_from(sorted(before.items()))
    pairs = st.sampled_from(sorted(before)).flatmap(lambda name: st.tuples(st.just(name), damaged(before[name])))
    # Few bytes of either can be others without harm, so that at times all would be refused.
    survive("Minari's files with damaged bytes", pairs | whole, read, 60)


def test_what_is_hostile_is_hostile(project: Project) -> None:
    """The inputs above would show little if none of them were."""
    with pytest.raises(UserError, match="declares an array of shape"):
        write([("rewards", "declared", {"shape": (10**10, 10), "dtype": "f4"})])
    with pytest.raises(UserError, match="external link"):
        write([("rewards", "link", {"text": ""})])
