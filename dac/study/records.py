"""What the records under results/ say, where they are as written here.

They are run.json, provenance.json, timing.json and report.json, and come from other machines, by DVC, and from damaged
disks: one that is not readable, lacks something or names a file elsewhere is no record, and whoever looks says which.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from dac.system.files import read_json

# Of a file within the folder of the record, and nowhere else.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
PagePath = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)?[A-Za-z0-9._-]*[A-Za-z0-9_-]$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _FileEntry(_Record):
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class _EvaluationEntry(_FileEntry):
    file: FileName
    settings: dict[str, Any]


class _Identity(_Record):
    env: str
    dataset: dict[str, Any]
    settings: dict[str, Any]


class _Run(_Record):
    task: str
    fingerprint: str
    seed: int
    identity: _Identity
    files: Annotated[dict[FileName, _FileEntry], Field(min_length=1)]
    evaluations: dict[str, _EvaluationEntry]
    status: str
    steps: int
    dataset_sha256: str
    data: dict[str, Any]


class _Page(_Record):
    key: str
    files: dict[PagePath, _FileEntry]


class _Made(_Record):
    versions: dict[str, str] = {}


class _Provenance(_Made):
    machine: str = ""
    device: str = ""
    finished: str = ""
    device_seconds: float = 0.0
    seconds: float = 0.0
    pack: Annotated[int, Field(ge=1)] = 1
    evaluations: dict[str, _Made] = {}


class _Repeat(_Record):
    step_ms: Annotated[float, Field(gt=0)]
    actor_ms: Annotated[float, Field(gt=0)]


class _TimingProvenance(_Made):
    machine: str
    device: str
    threads: int
    compiled: bool = False  # it was not recorded before networks were compiled at all


class _Timing(_Record):
    identity: dict[str, Any]
    repeats: Annotated[list[_Repeat], Field(min_length=2)]
    provenance: _TimingProvenance


def run_record(directory: Path) -> dict[str, Any] | None:
    """The run.json of a run's folder; None if there is none, or it is not as this program writes it.

    Raises:
        UserError: the disk, or the permissions, do not let it be read.
    """
    return _as(_Run, read_json(directory / "run.json"))


def provenance_record(directory: Path) -> dict[str, Any] | None:
    """The same of its provenance.json."""
    return _as(_Provenance, read_json(directory / "provenance.json"))


def timing_record(directory: Path) -> dict[str, Any] | None:
    """The same of the timing.json of a timing's folder."""
    return _as(_Timing, read_json(directory / "timing.json"))


def page_record(directory: Path) -> dict[str, Any] | None:
    """The same of the report.json of a study's page."""
    return _as(_Page, read_json(directory / "report.json"))


def _as(kind: type[_Record], content: dict[str, Any] | None) -> dict[str, Any] | None:
    try:
        kind.model_validate(content)
        json.dumps(content, allow_nan=False)  # a number that is none is in no record, and has no fingerprint
    except ValueError:
        return None
    return content
