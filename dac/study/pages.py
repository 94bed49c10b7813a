"""A study's page in results/<study>/: what it is made of, whether it still is that, and putting a new one there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from dac.study import store
from dac.study.identity import Run, canonical
from dac.study.plan import StudyPlan
from dac.study.records import page_record, provenance_record, run_record, timing_record
from dac.system import paths
from dac.system.files import atomic_path, file_entry, has_size, write_json
from dac.system.hashing import sha256_of


def folder_of(study: str) -> Path:
    """Folder of a study's tables, figures and page."""
    return paths.RESULTS / study


def _inputs(plan: StudyPlan) -> dict[str, str]:
    """What a study's page is made of: the sha256 of files and data, as run.json records them, and of provenance."""
    inputs = {}
    for group, evaluations in plan.evaluations().items():
        for seed in plan.seeds:
            run = Run(group, seed)
            content = run_record(store.run_directory(run)) or {}
            inputs[f"{run}/curve.csv"] = content.get("files", {}).get("curve.csv", {}).get("sha256", "")
            inputs[f"{run}/dataset"] = content.get("dataset_sha256", "")
            inputs[f"{run}/status"] = content.get("status", "")
            keys = {item: store.evaluation_key(run, item, content) for item in evaluations}
            inputs[f"{run}/provenance.json"] = _provenance_sha256(run, keys.values())
            for evaluation, key in keys.items():
                entry = content.get("evaluations", {}).get(key, {})
                inputs[f"{run}/{evaluation.fingerprint}"] = entry.get("sha256", "")
    for timing in plan.timings():
        record = timing_record(timing.directory)
        inputs[f"{timing}/timing.json"] = hashlib.sha256(canonical(record).encode()).hexdigest() if record else ""
    return inputs


def _provenance_sha256(run: Run, evaluations: Iterable[str]) -> str:
    """Of what a page shows of a run's provenance: of its training, and of some of its evaluations, by key."""
    made = provenance_record(store.run_directory(run)) or {}
    recorded = made.pop("evaluations", {})
    shown = {key: recorded.get(key) for key in evaluations}
    return hashlib.sha256(canonical([made, shown]).encode()).hexdigest()


def key_of(plan: StudyPlan) -> str:
    """sha256 over all that a study's page depends on."""
    text = json.dumps({"plan": plan.identity, "inputs": _inputs(plan)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def problem(plan: StudyPlan) -> str | None:
    """Why a study's page is not what its runs and settings say; None if it is."""
    directory = folder_of(plan.name)
    content = page_record(directory)
    if content is None:
        return "corrupt: report.json is not readable" if (directory / "report.json").exists() else "missing"
    if content["key"] != key_of(plan):
        return "its runs, their results or the report's settings changed"
    for name, entry in sorted(content["files"].items()):
        path = directory / name
        if not has_size(path, entry) or sha256_of(path) != entry["sha256"]:
            return f"{name} {'was changed' if path.exists() else 'is missing'}"
    return None


def publish(plan: StudyPlan, rendered: Path, key: str) -> None:
    """Put a rendered page in the place of the study's present one.

    What the present one has and the new one lacks is removed; other files beside them, a reader's notes
    say, stay; the folders tables and figures are the page's own, and nothing else stays there.

    Args:
        key: `key_of` of what it was rendered from.
    """
    directory = folder_of(plan.name)
    listed = [directory / name for name in (page_record(directory) or {"files": {}})["files"]]
    (directory / "report.json").unlink(missing_ok=True)
    for folder in [path for path in rendered.rglob("*") if path.is_dir() and not any(path.iterdir())]:
        # A page without figures: DVC fails on a folder that is missing, and git keeps no empty one.
        (folder / ".gitkeep").touch()
    files = sorted(path.relative_to(rendered) for path in rendered.rglob("*") if path.is_file())
    for name in files:
        with atomic_path(directory / name) as temporary:
            shutil.copyfile(rendered / name, temporary)
    # The folders are the page's own: an interrupted publication may have left files there that no list has.
    own = [path for folder in ("tables", "figures") for path in (directory / folder).rglob("*") if path.is_file()]
    for stale in {*listed, *own}:
        # DVC and git keep notes of their own beside the files they track.
        if stale.relative_to(directory) not in files and stale.name != ".gitignore":
            stale.unlink(missing_ok=True)
    entries = {str(name): file_entry(directory / name) for name in files}
    write_json(directory / "report.json", {"key": key, "study": plan.name, "files": entries})
