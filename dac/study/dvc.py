"""Tell DVC what the store holds, so that the two never disagree and dvc.lock never says more than was looked at.

`dvc.lock` says two things of a stage: which files there are, and which parameters they were made for. The files are
recorded whenever Snakemake has published something, once their contents have been compared with what run.json and
dataset.json record; of a damaged file, or one that is recorded and not here, the entry of before stays. That they are
all that params.yaml asks for is recorded only where it is so before and after, whatever params.yaml said when Snakemake
planned: otherwise the stage's parameters are left out of dvc.lock, and `dvc status` shows it as changed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dac.study import pages, store
from dac.study.check import load
from dac.study.jobs import Collect, Evaluate, Fetch, Job, Time, Train, jobs, timing_jobs
from dac.study.params import Params
from dac.study.plan import study_plan
from dac.study.records import provenance_record, timing_record
from dac.system import locks, paths
from dac.system.errors import UserError
from dac.system.files import read_json
from dac.system.hashing import KnownHashes

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.tree import Tree

LOCK = paths.LOCKS / "dvc-record"
RWLOCK = Path(".dvc/tmp/rwlock")
FOLDERS = {"datasets": paths.COLLECTED, "runs": paths.RUNS}
SHOWN = 3  # of a list in a message


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml as it stands now.

    Attributes:
        lacking: what its study lacks of it, in words; empty where it is complete.
        damaged: its files whose contents are not what is recorded of them.
        unlisted: the hash of what dvc.lock records of it, where nobody here can say which files these are.
    """

    lacking: tuple[str, ...] = ()
    damaged: tuple[Path, ...] = ()
    unlisted: str = ""


def record() -> list[str]:
    """Record in dvc.lock what is there and undamaged, and as complete what is complete for params.yaml as it is now.

    Returns:
        what was recorded and what was not, with the reason: a line each.

    Raises:
        UserError: params.yaml is not readable, or DVC cannot record (its lock is held, the disk is full).
    """
    if not Path(".dvc").is_dir() or not Path("dvc.yaml").is_file():
        return ["dvc.lock: nothing was recorded; DVC is not set up here."]
    if not any(folder.exists() for folder in FOLDERS.values()):
        return ["dvc.lock: nothing was recorded; nothing is published here."]
    with locks.lock(LOCK, waiting=lambda _: None):
        params = load()
        _make_folders()
        stages = look(params)
        done = _record_stages(stages)
    said = [line for name, stage in stages.items() for line in _explained(name, stage, params.dvc_study)]
    return [f"dvc.lock: recorded {' and '.join(done) or 'nothing'}.", *said]


def check(name: str) -> None:
    """At the end of a stage's command, before DVC records it with the parameters of that moment: that it is complete.

    Raises:
        UserError: params.yaml asks for more than was made, since it was edited meanwhile; or a file is damaged.
    """
    damaged = _damaged(name)
    params = load()  # after the files were read, which may take a while
    lacking = _lacking(params)[name]
    if damaged:
        raise UserError("\n".join(_explained(name, Stage(damaged=damaged), params.dvc_study)))
    if lacking:
        raise UserError(
            f"params.yaml (or dac/study/versions.py) changed while DVC's stage {name} ran: study {params.dvc_study} "
            f"lacks {_some(lacking)}. What was made is kept, but DVC did not record it: run `dvc repro` again, or `dac "
            "record`, before any `dvc pull --force` or `dvc checkout --force`."
        )


def look(params: Params) -> dict[str, Stage]:
    """The stages of dvc.yaml: what of them is complete and undamaged for the study of `dvc_study`."""
    lacking = _lacking(params)
    return {name: Stage(lacking[name], _damaged(name)) for name in lacking}


def _lacking(params: Params) -> dict[str, tuple[str, ...]]:
    """What the study of `dvc_study` lacks, by stage; where it cannot be planned, why."""
    try:
        plan = study_plan(params, params.dvc_study)
    except UserError as error:
        return dict.fromkeys((*FOLDERS, "report"), (f"a plan ({error})",))
    missing = [*jobs(plan, plan.runs(), missing=True), *timing_jobs(plan.timings(), missing=True)]
    problem = "its runs are not complete" if missing else pages.problem(plan)
    return {
        "datasets": tuple(_words(job) for job in missing if isinstance(job, Collect | Fetch)),
        "runs": tuple(_words(job) for job in missing if isinstance(job, Train | Evaluate | Time)),
        "report": (f"its page: {problem}",) if problem else (),
    }


def _words(job: Job) -> str:
    """What a job makes, for people."""
    if isinstance(job, Collect):
        return f"collect {job.env} ({', '.join(job.levels)})"
    if isinstance(job, Fetch | Time):
        return job.name
    step = "train" if isinstance(job, Train) else "evaluate"
    return f"{step} {job.group.task}/{job.group.name} ({job.runs} seed{'s' if job.runs > 1 else ''})"


# Damage


def _damaged(name: str) -> tuple[Path, ...]:
    """A stage's damaged files; the report's are looked at with its page."""
    known = KnownHashes()
    found = {"runs": damaged_runs, "datasets": damaged_data}.get(name, lambda _: iter(()))
    damaged = tuple(found(known))
    known.save()
    return damaged


def damaged_runs(known: KnownHashes) -> Iterator[Path]:
    """Files of the store whose contents differ from the sha256 in their run.json, and records that say nothing."""
    for path in sorted(paths.RUNS.glob("*/*/seed-*/run.json")):
        made = path.parent / "provenance.json"
        if made.exists() and provenance_record(path.parent) is None:
            yield made
        yield from _differing(path, store.recorded_files(path.parent), known)
    for path in sorted(paths.RUNS.glob("*/*/timing.json")):
        if timing_record(path.parent) is None:
            yield path


def damaged_data(known: KnownHashes) -> Iterator[Path]:
    """Files of collected data whose contents differ from the sha256 in their dataset.json."""
    for path in sorted(paths.COLLECTED.glob("*/dataset.json")):
        files = (read_json(path) or {}).get("files")
        # Data of before files had a sha256 are compared by `dac datasets` and by the trainer, by contents.
        without = isinstance(files, dict) and all("sha256" not in entry for entry in files.values())
        yield from () if without else _differing(path, files, known)


def _differing(record: Path, files: Any, known: KnownHashes) -> Iterator[Path]:
    """The files that a record lists, where they are others; the record itself where it lists nothing of use."""
    try:
        wanted = {record.parent / name: str(entry["sha256"]) for name, entry in sorted(files.items())}
    except (AttributeError, KeyError, TypeError):
        wanted = {}
    if not wanted:
        yield record
    for path, sha256 in wanted.items():
        # A missing file is no damage: the store takes the run for incomplete and makes it again.
        if path.is_file() and known.sha256(path) != sha256:
            yield path


# DVC


def _make_folders() -> None:
    """DVC takes an empty folder, but not a missing one."""
    for folder in FOLDERS.values():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: not a folder, or out of reach ({error}). Mount or repair it first.") from None


def _record_stages(stages: dict[str, Stage]) -> list[str]:
    """Write dvc.lock; returns what of it, in words. A stage that is complete no more has what it lacks filled in."""
    try:
        from dvc.exceptions import DvcException
        from dvc.lock import make_lock
        from dvc.repo import Repo
    except ImportError as error:
        raise UserError(f"dvc.lock: nothing was recorded: DVC cannot be imported ({error}).") from None

    logging.getLogger("dvc").setLevel(logging.ERROR)  # what was written is said below
    try:
        with Repo() as repo:
            with make_lock(str(RWLOCK.with_name("rwlock.lock")), tmp_dir=str(RWLOCK.parent)):
                if rwlock_is_torn():
                    RWLOCK.unlink()
            for name in FOLDERS:
                if stages[name].lacking or stages[name].damaged:
                    unlisted = _record_files(repo, name, stages[name].damaged)
                    stages[name] = replace(stages[name], unlisted=unlisted)
                else:
                    repo.commit(name, force=True)
            # The page is of the runs that were recorded.
            if not stages["report"].lacking and not stages["runs"].damaged:
                repo.commit("report", force=True)
            now = _lacking(load())
            for name, lacking in now.items():
                if lacking and not stages[name].lacking:  # edited while DVC read the files, and then params.yaml
                    stages[name] = replace(stages[name], lacking=lacking)
                    _record_files(repo, name, stages[name].damaged) if name in FOLDERS else _forget_params(repo, name)
    except DvcException as error:
        raise UserError(
            f"dvc.lock: not recorded: {str(error).rstrip('.')}. Nothing is lost; `dac record` does it once that is "
            "mended, and so does every snakemake that runs something."
        ) from None
    return _recorded(stages)


def _recorded(stages: dict[str, Stage]) -> list[str]:
    """What of the stages was recorded, in words."""
    done = []
    for name, stage in stages.items():
        if name in FOLDERS and not stage.unlisted:
            done.append(f"the files of {name}" if stage.lacking or stage.damaged else name)
        elif name not in FOLDERS and not stage.lacking and not stages["runs"].damaged:
            done.append(name)
    return done


def rwlock_is_torn() -> bool:
    """Whether a DVC that was killed while it noted who reads and writes left half a note: no other starts with it."""
    return RWLOCK.exists() and read_json(RWLOCK) is None


def _record_files(repo: Repo, name: str, damaged: Collection[Path]) -> str:
    """Record a stage's files alone: neither its parameters, which they are not complete for, nor what it read.

    What dvc.lock records and is not here (it was not pulled, say), or is here and damaged, stays recorded as it was.
    Which files these are says a listing. Where it is not here and the remote that may have it does not give it, nothing
    is written; where there is no remote, nobody has it.

    Returns:
        The hash of the listing that is lacking, else nothing.
    """
    stage = repo.stage.load_one(name=name)
    (out,) = stage.outs
    with repo.lock:
        before = out.get_dir_cache() if out.hash_info else None
        if before is None and out.hash_info and (out.remote or repo.config["core"].get("remote")):
            return str(out.hash_info.value)
        stage.add_outs()
        out.obj = _merged(out.obj, before, {path.relative_to(FOLDERS[name]).parts for path in damaged})
        out.hash_info = out.obj.hash_info
        sizes = [meta.size if meta else None for _, meta, _ in out.obj]  # not known of files that are not here
        out.meta.nfiles, out.meta.size = len(sizes), None if None in sizes else sum(sizes)
        out.cache.add(out.obj.path, out.obj.fs, out.obj.oid)
        _without_params(stage)
        stage.dump(update_pipeline=False)
    return ""


def _merged(here: Tree, before: Tree | None, damaged: Collection[tuple[str, ...]]) -> Tree:
    """The files that are here and whole, and of the others those that were recorded before."""
    from dvc_data.hashfile.tree import Tree

    entries = {key: (meta, oid) for key, meta, oid in before or ()}
    entries |= {key: (meta, oid) for key, meta, oid in here if key not in damaged}
    merged = Tree()  # type: ignore[no-untyped-call]
    for key, (meta, oid) in entries.items():
        merged.add(key, meta, oid)
    merged.digest()
    return merged


def _forget_params(repo: Repo, name: str) -> None:
    stage = repo.stage.load_one(name=name)
    with repo.lock:
        _without_params(stage)
        stage.dump(update_pipeline=False)


def _without_params(stage: Any) -> None:
    from dvc.dependency import ParamsDependency
    from dvc_data.hashfile.hash_info import HashInfo

    for dependency in stage.deps:
        if isinstance(dependency, ParamsDependency):
            dependency.hash_info = HashInfo()


def _explained(name: str, stage: Stage, study: str) -> Iterator[str]:
    if stage.unlisted:
        yield (
            f"dvc.lock: {name} is left as it was recorded, without what was made here: which files these are says "
            f"{stage.unlisted}, which is neither in DVC's cache nor got from its remote. When that is reached again "
            "(`dvc fetch`), `dac record` records both; `dvc commit --force "
            f"{name}` records what is here alone."
        )
    if stage.damaged:
        yield (
            f"dvc.lock: not recorded: the contents of {_some([str(path) for path in stage.damaged])} are not what "
            f"{'run.json' if name == 'runs' else 'dataset.json'} records, or it records nothing. `dvc checkout --force "
            "<file>` brings back what was recorded before, if it was; else delete the file: snakemake makes it again."
        )
    if stage.lacking:
        yield (
            f"dvc.lock: {name} is not recorded as complete: study {study} of dvc_study lacks {_some(stage.lacking)}. "
            f"`snakemake {study}` makes it."
        )


def _some(items: Collection[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(list(items)[:SHOWN]) + more


def in_dvc_stage() -> str | None:
    """The stage of dvc.yaml whose command this process is part of, if any."""
    return os.environ.get("DVC_STAGE")
