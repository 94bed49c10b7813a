"""What trainings leave behind: published runs, and the states of those that were interrupted."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from dac.study import store
from dac.study.identity import Run
from dac.training.policies import policy_name


def published(run: Run) -> dict[str, bytes]:
    """The bytes of a complete run's files: the curve and the kept policies."""
    names = store.read_run(run)["files"]
    return {name: (store.run_directory(run) / name).read_bytes() for name in names}


def curve_of(run: Run) -> pd.DataFrame:
    return pd.read_csv(store.run_directory(run) / "curve.csv")


def state_paths(run: Run) -> list[Path]:
    """A run's saved states, the newest first."""
    found = store.work_directory(run).glob("state-*.safetensors")
    return sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True)


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as stream:
        return dict(stream.metadata())


def replace_state(
    run: Run, tensors: dict[str, torch.Tensor], metadata: dict[str, str], step: int | None = None
) -> None:
    """Put another state in the place of a run's newest, as if it had been saved at `step`, or at the metadata's."""
    content = save(tensors, metadata)
    step = int(metadata["step"]) if step is None else step
    name = f"state-{step}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    state_paths(run)[0].unlink()
    (store.work_directory(run) / name).write_bytes(content)


def forget() -> None:
    """Empty the store."""
    for name in ("results", "work"):
        shutil.rmtree(name, ignore_errors=True)


def policy_of(run: Run, step: int) -> dict[str, torch.Tensor]:
    return load_file(store.run_directory(run) / policy_name(step))


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
