"""What is recorded under results/: of runs and their evaluations, and of pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dac.study.identity import fingerprint
from dac.study.records import page_record, provenance_record, run_record, timing_record
from dac.system import paths
from dac.verify.findings import Cure, Finding, Looked, State, recorded

_RECORDS = ("run.json", "provenance.json")
_PROVENANCE = Cure(
    advice="The run counts without it, and its page says `not recorded`; with its folder deleted it is made anew.",
    by_dvc=True,
)
_KEPT = (".gitignore", ".gitkeep")  # notes of DVC and git beside the files that they track


def runs(directories: Mapping[Path, str | None]) -> Iterator[Looked]:
    """The files of runs.

    Args:
        directories: folders of runs, each with a study that plans the run, if one does.
    """
    for directory, study in directories.items():
        if not directory.is_dir():
            continue
        command = f"snakemake {study} --cores all" if study else None
        advice = None if study else "No study of params.yaml plans it, so nothing makes it again; its folder may go."
        yield from _run(directory, Cure(command, delete=True, advice=advice, by_dvc=True))


def _run(directory: Path, cure: Cure) -> Iterator[Looked]:
    present = {path.name for path in directory.iterdir()}
    content = run_record(directory)
    if content is None and "run.json" not in present:
        for name in sorted(present):
            yield Finding(directory / name, "left over", "no run.json beside it: its run was not published to the end")
        return
    if content is None:
        yield Finding(directory / "run.json", "damaged", "it is not a run's record", cure)
        return
    if problem := _misplaced(directory, content):
        yield Finding(directory / "run.json", "damaged", problem, cure)
    if provenance_record(directory) is None:
        state: State = "damaged" if "provenance.json" in present else "missing"
        yield Finding(directory / "provenance.json", state, "no readable provenance of the run", _PROVENANCE)
    entries = {**content["files"], **{entry["file"]: entry for entry in content["evaluations"].values()}}
    for name, entry in sorted(entries.items()):
        yield recorded(directory / name, entry, cure)
    for name in sorted(present - {*entries, *_RECORDS}):
        yield Finding(directory / name, "left over", "run.json does not list it")


def _misplaced(directory: Path, content: dict[str, Any]) -> str | None:
    """What a record says of itself that its place does not; its sha256 is recorded nowhere but in DVC."""
    found = fingerprint(content["identity"])
    if found != content["fingerprint"] or not directory.parent.name.endswith(f"-{found}"):
        return f"its settings have the fingerprint {found}, its folder is {directory.parent.name}"
    if directory.name != f"seed-{content['seed']}" or directory.parent.parent.name != content["task"]:
        return f"it is of {content['task']}, seed {content['seed']}"
    return None


def timings(directories: Mapping[Path, str | None]) -> Iterator[Looked]:
    """The records of timings, which are their only file: whether they are such, and of what their folder says.

    Args:
        directories: folders of timings, each with a study that asks for it, if one does.
    """
    for directory, study in directories.items():
        path = directory / "timing.json"
        command = f"snakemake {study} --cores all" if study else None
        advice = None if study else "No study of params.yaml asks for it; its folder may go."
        cure = Cure(command, delete=True, advice=advice, by_dvc=True)
        content = timing_record(directory)
        if content is None and path.exists():
            yield Finding(path, "damaged", "it is not a timing's record", cure)
        elif content is not None and not directory.name.endswith(f"-{fingerprint(content['identity'])}"):
            yield Finding(path, "damaged", f"it is of another timing than its folder, {directory.name}", cure)


def pages(studies: Mapping[str, bool]) -> Iterator[Looked]:
    """The files of pages.

    Args:
        studies: names of folders under results/, each with whether params.yaml has such a study.
    """
    for study, known in studies.items():
        directory = paths.RESULTS / study
        if not (directory / "report.json").is_file():
            continue
        advice = None if known else f"params.yaml has no study {study}, so nothing renders it again."
        cure = Cure(f"snakemake {study} --cores all" if known else None, advice=advice)
        content = page_record(directory)
        if content is None:
            yield Finding(directory / "report.json", "damaged", "it is not a page's record", cure)
            continue
        for name, entry in sorted(content["files"].items()):
            yield recorded(directory / name, entry, cure)
        for path in sorted(path for folder in ("tables", "figures") for path in (directory / folder).glob("*")):
            if str(path.relative_to(directory)) not in content["files"] and path.name not in _KEPT:
                yield Finding(path, "left over", "report.json does not list it")
