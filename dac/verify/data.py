"""What is recorded of data: of the folders that are trained on, and of the files that they are made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from dac.study.identity import Dataset
from dac.study.params import Params
from dac.study.sources import source_of
from dac.study.task_data import dataset_of
from dac.system import paths
from dac.system.errors import UserError
from dac.system.files import read_json
from dac.verify.findings import Cure, Finding, Looked, Recorded, recorded

_NOTE = "dataset.json"


def folders(known: Mapping[Dataset, str], *, others: bool) -> Iterator[Looked]:
    """The files of datasets' folders.

    Args:
        known: datasets of params.yaml, each with a task on it.
        others: whether folders of other datasets are looked at, too.
    """
    cures = {dataset.path: _cure(dataset, task) for dataset, task in known.items() if dataset.kind.made != "drawn"}
    if others:
        unknown = Cure(advice="No task of params.yaml is on it, so nothing makes it again; its folder may go.")
        for path in sorted(path for place in (paths.COLLECTED, paths.CONVERTED) for path in place.glob("*")):
            if path.name.startswith("."):
                yield Finding(path, "left over", "of a process that was killed while it made a dataset")
            elif path.is_dir():
                cures.setdefault(path, unknown)
    for directory, cure in cures.items():
        if directory.is_dir():
            yield from _folder(directory, cure)


def _cure(dataset: Dataset, task: str) -> Cure:
    if dataset.kind.made == "collected":
        env = dataset.name.rpartition("/")[0]
        return Cure(f"dac collect {env} --datasets {dataset.fingerprint}", delete=True, by_dvc=True)
    if dataset.kind.linked:
        return Cure(f"dac fetch {task}", advice="It is linked to, and may be the only copy: put the earlier one back.")
    return Cure(f"dac fetch {task}", delete=True)


def _folder(directory: Path, cure: Cure) -> Iterator[Looked]:
    note = directory / _NOTE
    entries = _entries(note)
    if entries is None:
        yield Finding(note, "damaged" if note.exists() else "missing", "it lists no files with their sizes", cure)
        return
    linked = (directory / "data").is_symlink()
    if all("sha256" not in entry for entry in entries.values()):  # of before they were recorded
        yield Recorded(note, partial(_other_rows, directory), cure)
    else:
        for name, entry in sorted(entries.items()):
            if not (linked and PurePosixPath(name).name == "metadata.json"):  # Minari's, which it writes again
                yield recorded(directory / name, entry, cure)
    for path in () if linked else sorted(path for path in directory.rglob("*") if path.is_file()):
        name = str(path.relative_to(directory))
        if name not in entries and name != _NOTE:
            yield Finding(path, "left over", f"{_NOTE} does not list it")


def _entries(note: Path) -> dict[str, dict[str, Any]] | None:
    """The files that a note lists; None where it lists none, or one elsewhere, or says nothing of one."""
    found = (read_json(note) or {}).get("files")
    if not isinstance(found, dict) or not found:
        return None
    names = [PurePosixPath(name) for name in found]
    if any(name.is_absolute() or ".." in name.parts for name in names):
        return None
    if not all(isinstance(entry, dict) and isinstance(entry.get("size"), int) for entry in found.values()):
        return None
    hashes = [entry.get("sha256") for entry in found.values()]
    # All files have a sha256 or, in a note of before they were recorded, none.
    return found if all(isinstance(one, str) for one in hashes) or hashes == [None] * len(hashes) else None


def _other_rows(directory: Path) -> str | None:
    from dac.datasets import folder  # Minari: only where rows are read

    try:
        folder.load(directory)
    except UserError as error:
        return str(error)
    return None


def files(params: Params, tasks: Iterable[str]) -> Iterator[Looked]:
    """The HDF5 files, D4RL's and the user's own, that are here and that tasks are on."""
    for task in tasks:
        source, name = source_of(params.tasks[task].dataset)
        path = source.file(name) if source.file else None
        if path is None or not path.exists():
            continue
        own = source.made == "given"
        advice = "It may be the only copy: put the earlier file back, or delete its entry in datasets.lock."
        cure = Cure(advice=advice) if own else Cure(f"dac fetch {task}", delete=True)
        try:
            dataset = dataset_of(params, task)
        except UserError as error:
            yield Finding(path, "damaged", str(error), cure)
        else:
            yield recorded(path, {"sha256": dataset.file_sha256}, cure)
