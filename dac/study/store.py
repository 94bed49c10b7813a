"""The store: where runs and datasets live, what of them is complete, and how files get there.

    results/runs/<task>/<label>-<fp>/seed-<k>/   run.json curve.csv policy-<step>.safetensors evaluation-<efp>.parquet
    results/datasets/<env>-<level>-<fp>/         dataset.json and a local Minari dataset, collected here
    data/datasets/<source>-<name>-<fp>/          the same of data that can be had again: D4RL's, Minari's, own files
    results/<study>/                             report.json README.md tables/ figures/, see `pages`
    work/<fp>/seed-<k>/                          resumable state of a run in training

`run.json` is written last and lists the run's files with size and sha256, so a run is there whole or not at all.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dac.study.identity import Dataset, Evaluation, Group, Run
from dac.study.records import provenance_record, run_record
from dac.system import locks
from dac.system.errors import UserError
from dac.system.files import atomic_path, file_entry, has_size, read_json, write_json
from dac.system.hashing import sha256_of
from dac.system.paths import JOURNAL, LOCKS, RUNS, WORK


def group_directory(group: Group) -> Path:
    """Folder of a group of runs."""
    return RUNS / group.task / group.name


def run_directory(run: Run) -> Path:
    """Folder of a published run."""
    return group_directory(run.group) / f"seed-{run.seed}"


def work_directory(run: Run) -> Path:
    """Folder of a run's resumable state while it trains."""
    return WORK / run.group.fingerprint / f"seed-{run.seed}"


def _entry_as_meant(path: Path, sha256: str) -> dict[str, Any]:
    """Size and sha256 of a file that was copied into the store.

    Raises:
        UserError: its contents are not what was to be published.
    """
    entry = file_entry(path)
    if entry["sha256"] != sha256:
        raise UserError(
            f"{path}: its contents are not what was to be published (sha256 {entry['sha256'][:12]}…, meant: "
            f"{sha256[:12]}…): they were damaged before or while they were copied. The file does not count; start "
            "again: what is damaged is made again."
        )
    return entry


def journal(event: str, **facts: Any) -> None:
    """Append one line to work/journal.jsonl: what was made, when. For people and tests; nothing depends on it."""
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with JOURNAL.open("a") as stream:
        stream.write(json.dumps({"time": now, "event": event, **facts}) + "\n")


# Runs


def run_problem(run: Run) -> str | None:
    """Why a run is not complete in the store, by a look at sizes alone; None if it is complete."""
    return _problem(run, run_record(run_directory(run)))


def _problem(run: Run, content: Mapping[str, Any] | None) -> str | None:
    """The same, of what its run.json holds."""
    directory = run_directory(run)
    if content is None:
        return "corrupt: run.json is not readable" if os.path.lexists(directory / "run.json") else "missing"
    if content["fingerprint"] != run.group.fingerprint or content["seed"] != run.seed:
        return "corrupt: run.json is of another run"
    for name, entry in sorted(content["files"].items()):
        if not has_size(directory / name, entry):
            state = "has another size" if (directory / name).exists() else "is missing"
            return f"incomplete: {name} {state}"
    return None


def recorded_files(directory: Path) -> dict[str, dict[str, Any]]:
    """The files of a run's folder by name, evaluations included, with what its run.json records: size and sha256."""
    content = run_record(directory)
    if content is None:
        return {}
    return {**content["files"], **{entry["file"]: entry for entry in content["evaluations"].values()}}


def publish_run(
    run: Run,
    files: dict[str, Path],
    facts: dict[str, Any],
    provenance: dict[str, Any],
    sha256: Mapping[str, str] | None = None,
) -> None:
    """Move a finished run into the store; run.json, written last, makes it count.

    Args:
        files: by name in the store, where each file lies now; they are copied.
        facts: status, steps, dataset_sha256 and what else belongs to run.json.
        provenance: versions, machine and times; kept beside, outside of every identity.
        sha256: by name, that of what each file is to hold; None: of what it holds now.

    Raises:
        UserError: what arrived is not what was meant; the run does not count.
    """
    meant = {name: sha256_of(source) for name, source in files.items()} if sha256 is None else sha256
    directory = run_directory(run)
    (directory / "run.json").unlink(missing_ok=True)
    for stale in directory.glob("*"):
        stale.unlink()
    for name, source in files.items():
        with atomic_path(directory / name) as temporary:
            shutil.copyfile(source, temporary)
    entries = {name: _entry_as_meant(directory / name, meant[name]) for name in sorted(files)}
    write_json(directory / "provenance.json", provenance)
    write_json(
        directory / "run.json",
        {
            "task": run.group.task,
            "label": run.group.label,
            "fingerprint": run.group.fingerprint,
            "seed": run.seed,
            "identity": json.loads(run.group.identity),
            "files": entries,
            "evaluations": {},
            **facts,
        },
    )


def read_run(run: Run) -> dict[str, Any]:
    """The run.json of a complete run.

    Raises:
        UserError: the run is not complete.
    """
    content = run_record(run_directory(run))
    problem = _problem(run, content)
    if content is None or problem:
        raise UserError(f"{run_directory(run)}: {problem}. Start snakemake again: it re-makes this run.")
    return content


def verified_file(run: Run, name: str) -> Path:
    """Path of a file of a complete run, its contents compared with run.json.

    Raises:
        UserError: the contents differ.
    """
    path = run_directory(run) / name
    entry = read_run(run)["files"].get(name)
    if entry is None:
        raise UserError(
            f"{path.with_name('run.json')}: it lists no {name}, which every such run has. Delete it and start again: "
            f"this run alone is re-made; or `dvc checkout --force {path.parent}` brings back what was recorded."
        )
    if sha256_of(path) != entry["sha256"]:
        raise UserError(
            f"{path}: its contents are not what run.json records (sha256 {entry['sha256'][:12]}…): the file was "
            f"damaged. Delete {path} and start again: this run alone is re-made; or `dvc checkout --force {path}` "
            "brings back what was recorded."
        )
    return path


# Evaluations


def evaluation_key(run: Run, evaluation: Evaluation, content: Mapping[str, Any]) -> str:
    """Under which key of `evaluations` the contents of a run.json have an evaluation.

    That is its fingerprint; or that of the same episodes, scored by other reference returns when they were made: pages
    score an evaluation's returns by those of params.yaml, so that a change of these evaluates nothing.
    """
    own, recorded = evaluation.fingerprint, content.get("evaluations", {})
    if _is_there(run, recorded.get(own)):
        return own
    alike = (key for key, entry in recorded.items() if evaluation.has_episodes_of(entry["settings"]))
    return next((key for key in alike if _is_there(run, recorded[key])), own)


def _is_there(run: Run, entry: Mapping[str, Any] | None) -> bool:
    return entry is not None and has_size(run_directory(run) / entry["file"], entry)


def verified_evaluation(run: Run, evaluation: Evaluation) -> Path:
    """Path of a recorded evaluation, its contents compared with run.json.

    Raises:
        UserError: it is not recorded, or the contents differ.
    """
    content = read_run(run)
    key = evaluation_key(run, evaluation, content)
    entry = content["evaluations"].get(key)
    path = run_directory(run) / f"evaluation-{key}.parquet"
    if entry is None or not has_size(path, entry) or sha256_of(path) != entry["sha256"]:
        raise UserError(
            f"{path}: missing, or its contents are not what run.json records. Delete it if it is there and start "
            f"again: this evaluation alone is re-made; or `dvc checkout --force {path}` brings back what was recorded."
        )
    return path


def has_evaluation(run: Run, evaluation: Evaluation) -> bool:
    """Whether a run's evaluation is recorded and its file there, by size."""
    content = run_record(run_directory(run)) or {}
    return _is_there(run, content.get("evaluations", {}).get(evaluation_key(run, evaluation, content)))


def publish_evaluation(
    run: Run,
    evaluation: Evaluation,
    source: Path,
    evaluated: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Copy an evaluation's file into the run's folder and record it in run.json.

    Args:
        evaluated: the `files` of run.json when the run's policies were loaded.
        provenance: versions, machine and time; kept in provenance.json.

    Raises:
        UserError: what arrived is not what the file held; or the run was made anew meanwhile, so that the evaluation is
            not of the policies that are there.
    """
    directory = run_directory(run)
    name, meant = f"evaluation-{evaluation.fingerprint}.parquet", sha256_of(source)
    # Two jobs may evaluate one run at different N_a at the same time.
    with locks.lock(LOCKS / f"{run.group.task}-{run.group.name}-{run.seed}", waiting=lambda _: None):
        content = read_run(run)
        if content["files"] != evaluated:
            raise UserError(f"{directory}: the run was made anew while it was evaluated. Start snakemake again.")
        for left in directory.glob(".*.tmp"):  # of a process that was killed: no other writes here now
            left.unlink()
        with atomic_path(directory / name) as temporary:
            shutil.copyfile(source, temporary)
        made = provenance_record(directory)
        if made is None:
            raise UserError(
                f"{directory}/provenance.json: not readable. `dvc checkout --force {directory}/provenance.json` brings "
                "back what was recorded; or delete the run's folder, and it is made anew."
            )
        made.setdefault("evaluations", {})[evaluation.fingerprint] = dict(provenance)
        write_json(directory / "provenance.json", made)
        content["evaluations"][evaluation.fingerprint] = {
            "file": name,
            "settings": evaluation.identity,
            **_entry_as_meant(directory / name, meant),
        }
        write_json(directory / "run.json", content)


# Datasets


def dataset_problem(dataset: Dataset) -> str | None:
    """Why a dataset is not there for training, by a look at sizes alone; None if it is. The trainer checks contents.

    An HDF5 file that is here is enough: what needs the dataset converts it.
    """
    if dataset.kind.made == "drawn":
        return None
    problem = folder_problem(dataset)
    return None if problem and dataset.file and dataset.file.is_file() else problem


def folder_problem(dataset: Dataset) -> str | None:
    """Why a dataset's folder is not complete, by a look at sizes alone; None if it is."""
    content = read_json(dataset.path / "dataset.json")
    if content is None:
        return "missing"
    files = content.get("files")
    if not isinstance(files, dict) or not files or not isinstance(content.get("sha256"), str):
        return "incomplete: dataset.json"
    return next((f"incomplete: {name}" for name in files if not has_size(dataset.path / name, files[name])), None)
