"""Tell DVC what the store holds, so that the two never disagree and dvc.lock never says more than was looked at.

`dvc.lock` says two things of a stage: which files there are, and which parameters they were made for. The files are
recorded whenever Snakemake has published something, once their contents have been compared with what run.json and
dataset.json record. That they are all that params.yaml asks for is recorded only where it is so at this moment,
whatever params.yaml said when Snakemake planned: otherwise the stage's parameters are left out of dvc.lock, and
`dvc status` shows it as changed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dac import locking, store
from dac.errors import UserError
from dac.hashing import KnownHashes
from dac.jobs import Collect, Evaluate, Fetch, Job, Train, jobs
from dac.params import Params, load
from dac.plan import study_plan

if TYPE_CHECKING:
    from dvc.repo import Repo

LOCK = Path("work/locks/dvc-record")
SHOWN = 3  # of a list in a message


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml as it stands now.

    Attributes:
        lacking: what its study lacks of it, in words; empty where it is complete.
        damaged: its files whose contents are not what is recorded of them.
        there: whether its outputs are there to be recorded.
    """

    lacking: tuple[str, ...] = ()
    damaged: tuple[Path, ...] = ()
    there: bool = True


def record() -> list[str]:
    """Record in dvc.lock what is there and undamaged, and as complete what is complete for params.yaml as it is now.

    Returns:
        what was recorded and what was not, with the reason: a line each. None where DVC is not set up.

    Raises:
        UserError: params.yaml is not readable, or DVC cannot record (its lock is held, the disk is full).
    """
    if not Path(".dvc").is_dir() or not Path("dvc.yaml").is_file():
        return []
    with locking.lock(LOCK, waiting=lambda _: None):
        params = load()
        for folder in (store.RUNS, store.DATASETS):  # DVC takes an empty folder, but not a missing one
            folder.mkdir(parents=True, exist_ok=True)
        stages = look(params)
        done = _record_stages(stages)
    lines = [f"dvc.lock: recorded {' and '.join(done)}."] if done else ["dvc.lock: nothing was recorded."]
    return lines + [line for name, stage in stages.items() for line in _explained(name, stage, params.dvc_study)]


def check(name: str) -> None:
    """At the end of a stage's command, before DVC records it with the parameters of that moment: that it is complete.

    Raises:
        UserError: params.yaml asks for more than was made, since it was edited meanwhile; or a file is damaged.
    """
    params = load()
    stage = look(params)[name]
    if stage.damaged:
        raise UserError("\n".join(_explained(name, stage, params.dvc_study)))
    if stage.lacking:
        raise UserError(
            f"params.yaml (or dac/versions.py) changed while DVC's stage {name} ran: study {params.dvc_study} lacks "
            f"{_some(stage.lacking)}. What was made is kept; DVC records nothing. Run `dvc repro` again."
        )


def look(params: Params) -> dict[str, Stage]:
    """The stages of dvc.yaml: what of them is complete and undamaged for the study of `dvc_study`."""
    plan = study_plan(params, params.dvc_study)
    missing = jobs(plan, plan.runs(), missing=True)
    data = tuple(_words(job) for job in missing if isinstance(job, Collect | Fetch))
    runs = tuple(_words(job) for job in missing if isinstance(job, Train | Evaluate))
    problem = "its runs are not complete" if missing else store.page_problem(plan)
    known = KnownHashes()
    stages = {
        "datasets": Stage(data, tuple(damaged_data(known))),
        "runs": Stage(runs, tuple(damaged_runs(known))),
        "report": Stage((f"its page: {problem}",) if problem else (), there=problem is None),
    }
    known.save()
    return stages


def _words(job: Job) -> str:
    """What a job makes, for people."""
    if isinstance(job, Collect):
        return f"collect {job.env} ({', '.join(job.levels)})"
    if isinstance(job, Fetch):
        return job.name
    step = "train" if isinstance(job, Train) else "evaluate"
    return f"{step} {job.group.task}/{job.group.name} ({job.runs} seed{'s' if job.runs > 1 else ''})"


def damaged_runs(known: KnownHashes) -> Iterator[Path]:
    """Files of the store whose contents differ from the sha256 in their run.json."""
    for path in sorted(store.RUNS.glob("*/*/seed-*/run.json")):
        yield from _damaged(path.parent, store.recorded_files(path.parent), known)


def damaged_data(known: KnownHashes) -> Iterator[Path]:
    """Files of collected data whose contents differ from the sha256 in their dataset.json."""
    for path in sorted(store.DATASETS.glob("*/dataset.json")):
        files = (store.read_json(path) or {}).get("files", {})
        # Data of before files had a sha256 are compared by `dac datasets` and by the trainer, by contents.
        yield from _damaged(path.parent, {name: entry for name, entry in files.items() if "sha256" in entry}, known)


def _damaged(folder: Path, files: Mapping[str, Mapping[str, str]], known: KnownHashes) -> Iterator[Path]:
    for name, entry in sorted(files.items()):
        path = folder / name
        # A missing file is no damage: the store takes the run for incomplete and makes it again.
        if path.is_file() and known.sha256(path) != entry["sha256"]:
            yield path


def _record_stages(stages: Mapping[str, Stage]) -> list[str]:
    """Write dvc.lock; returns what of it, in words."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)  # what was written is said below
    done = []
    try:
        with Repo() as repo:
            for name, stage in stages.items():
                if stage.damaged or not stage.there:
                    continue
                if stage.lacking:
                    _record_files(repo, name)
                    done.append(f"the files of {name}")
                else:
                    repo.commit(name, force=True)
                    done.append(name)
    except DvcException as error:
        raise UserError(
            f"dvc.lock: not recorded: {error}. Nothing is lost; `dac record` does it once that is mended, and every "
            "completed snakemake does."
        ) from None
    return done


def _record_files(repo: Repo, name: str) -> None:
    """Record a stage's outputs alone: neither its parameters, which they are not complete for, nor what it read."""
    from dvc.dependency import ParamsDependency
    from dvc_data.hashfile.hash_info import HashInfo

    stage = repo.stage.load_one(name=name)
    with repo.lock:
        stage.add_outs()
        for dependency in stage.deps:
            if isinstance(dependency, ParamsDependency):
                dependency.hash_info = HashInfo()
        stage.dump(update_pipeline=False)


def _explained(name: str, stage: Stage, study: str) -> Iterator[str]:
    if stage.damaged:
        paths = [str(path) for path in stage.damaged]
        yield (
            f"dvc.lock: {name} was not recorded: the contents of {_some(paths)} are not what "
            f"{'run.json' if name == 'runs' else 'dataset.json'} records; damaged files are never recorded. "
            "`dvc checkout --force <file>` brings back what was recorded before; else delete the file, and snakemake "
            "makes it again."
        )
    elif stage.lacking:
        yield (
            f"dvc.lock: {name} is not recorded as complete: study {study} of dvc_study lacks {_some(stage.lacking)}. "
            f"`snakemake {study}` makes it."
        )


def _some(items: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def in_dvc_stage() -> str | None:
    """The stage of dvc.yaml whose command this process is part of, if any."""
    return os.environ.get("DVC_STAGE")
