"""What processes leave for the next: states of trainings and of SAC that collects data under work/, and DVC's note."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from dac.study import dvc
from dac.study.states import STATE_NAME
from dac.system import paths
from dac.system.files import read_json
from dac.verify.findings import Cure, Finding, Looked, recorded

# A name that says what its contents must be, by the first digits of a sha256: `datasets.sac.checkpoint`.
_SAC_STATE = re.compile(r"steps-\d+-([0-9a-f]{16})")
_ASIDE = "it was damaged, and is not used"
_KILLED = "of a process that was killed"
_SAC_CURE = Cure(advice="Whoever collects next sets it aside and goes on from the state before.")


def of_runs(folders: Mapping[Path, str | None]) -> Iterator[Looked]:
    """The states and kept policies of runs in training.

    Args:
        folders: their folders under work/, each with a study that plans the run, if one does.
    """
    for folder, study in folders.items():
        advice = "Training sets it aside by itself and goes on from the state before, or anew."
        yield from _run(folder, Cure(f"snakemake {study} --cores all" if study else None, advice=advice))


def _run(folder: Path, cure: Cure) -> Iterator[Looked]:
    policies: dict[str, str] = {}
    for path in sorted(folder.glob("*")):
        if match := STATE_NAME.fullmatch(path.name):
            policies |= _policies(path)
            yield recorded(path, {"sha256": match[2]}, cure)
        elif path.suffix == ".damaged":
            yield Finding(path, "left over", _ASIDE)
        elif path.suffix == ".tmp":
            yield Finding(path, "left over", _KILLED)
    for step, digest in sorted(policies.items()):
        path = folder / f"policy-{step}.safetensors"
        if re.fullmatch(r"\d+", step):
            yield recorded(path, {"sha256": digest}, cure)


def _policies(state: Path) -> dict[str, str]:
    """The sha256 of the kept policies by their steps, as a state has them; none where it is not readable."""
    try:
        with safe_open(state, framework="numpy") as content:
            found = json.loads((content.metadata() or {})["policies"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return {}
    return {str(step): str(digest) for step, digest in found.items()} if isinstance(found, dict) else {}


def of_sac() -> Iterator[Looked]:
    """The states of SAC trainings that collect data."""
    for path in sorted(paths.WORK.glob("collect-*/*/*")):
        if match := _SAC_STATE.fullmatch(path.name):
            manifest = path / "manifest.json"
            yield recorded(manifest, {"sha256": match[1]}, _SAC_CURE)
            files = (read_json(manifest) or {}).get("files")
            for name, entry in sorted(files.items()) if isinstance(files, dict) else ():
                if Path(name).name == name and isinstance(entry, dict) and "sha256" in entry:
                    yield recorded(path / name, entry, _SAC_CURE)
        elif path.suffix == ".damaged":
            yield Finding(path, "left over", _ASIDE)


def of_dvc() -> Iterator[Finding]:
    """DVC's note of who reads and writes, if it is half a note: no `dvc` starts then, and none of its stages."""
    if dvc.rwlock_is_torn():
        said = "half a note of who reads and writes, of a DVC that was killed; no other DVC starts with it"
        yield Finding(dvc.RWLOCK, "damaged", said, Cure("dac record"))
