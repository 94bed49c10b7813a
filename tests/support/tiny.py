"""A tiny project: hand-made data, its params.yaml, and a study that trains in a second."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from dac.study import check, pages, store, timings
from dac.study.identity import Evaluation, Group, Run
from dac.study.params import ComputeSettings, Params
from dac.study.plan import StudyPlan, study_plan
from dac.study.timings import Timing

COMPUTE = ComputeSettings(device="cpu")

PARAMS: dict[str, Any] = {
    "dvc_study": "tiny",
    "agent": {},
    "training": {},
    "evaluation": {"action_samples": [1, 3], "episodes": 2},
    "report": {"window": 2, "bootstrap_samples": 100},
    "compute": {"device": "cpu", "pack_size": 4},
    "presets": {},
    "collect": {
        "InvertedPendulum-v5": {
            "sac": {"steps": 300, "learning_starts": 100},
            "levels": {"medium-replay": {"at_step": 200}, "expert": {"at_return": 9.0, "transitions": 150}},
        }
    },
    "tasks": {
        "pendulum": {
            "dataset": "file:data/pendulum.hdf5",
            "env": "InvertedPendulum-v5",
            "reference_returns": [5.0, 105.0],
            "settings": {"lcb_coefficient": 0.5},
        },
        "replay": {
            "dataset": "collect:InvertedPendulum-v5/medium-replay",
            "env": "InvertedPendulum-v5",
            "reference_returns": [5.0, 105.0],
        },
    },
    "experiments": {
        "main": {"title": "Main", "tasks": ["pendulum"], "variants": {"soft": {}}, "show": ["scores"]},
        "guidance": {"title": "Guidance", "tasks": ["pendulum"], "vary": {"guidance": ["soft", "none"]}},
    },
    "studies": {
        "tiny": {
            "experiments": ["main"],
            "seeds": [0, 1],
            "settings": {
                "steps": 40,
                "batch_size": 16,
                "eval_interval": 10,
                "eval_episodes": 2,
                "eval_action_samples": 2,
                "kept_policies": 2,
                "hidden_sizes": [8, 8],
                "ensemble_size": 2,
                "next_action_samples": 2,
                "diffusion_steps": 2,
                "actor_ema_start": 0,
            },
        }
    },
}


TIMED: dict[str, Any] = {
    "title": "Timed",
    "tasks": ["pendulum"],
    "variants": {"soft": {}, "denoised": {"guidance": "denoised"}},
    "vary": {"diffusion_steps": [1, 2]},
    "timing": {"repeats": 2, "seconds": 0.01},
    "show": ["timing"],
}


class Project:
    """The contents of params.yaml, to change; written and read back when asked for."""

    def __init__(self) -> None:
        self.settings = copy.deepcopy(PARAMS)

    def set(self, place: str, value: Any) -> Project:
        """Set one value by its path, such as `studies.tiny.settings.steps`."""
        *sections, key = place.split(".")
        target = self.settings
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
        return self

    def with_timing(self) -> Project:
        """With an experiment that times steps, `timed`, in the study."""
        return self.set("experiments.timed", copy.deepcopy(TIMED)).set("studies.tiny.experiments", ["main", "timed"])

    def load(self) -> Params:
        Path("params.yaml").write_text(yaml.safe_dump(self.settings, sort_keys=False))
        return check.load()

    def plan(self, study: str = "tiny") -> StudyPlan:
        return study_plan(self.load(), study)

    def group(self) -> Group:
        """The group of the study's first cell."""
        return self.plan().cells[0].group


def write_rows(path: Path, observation_dim: int = 4, episodes: int = 20, seed: int = 0) -> None:
    """A file in D4RL's layout; episode number i ends in a terminal state where i is even, else by a time-out."""
    rows, random = 12 * episodes, np.random.default_rng(seed)
    ends = np.arange(rows) % 12 == 11
    even = np.arange(rows) // 12 % 2 == 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["observations"] = random.normal(size=(rows, observation_dim)).astype(np.float32)
        file["actions"] = random.uniform(-1, 1, size=(rows, 1)).astype(np.float32)
        file["rewards"] = random.uniform(0, 2, size=rows).astype(np.float32)
        file["terminals"] = ends & even
        file["timeouts"] = ends & ~even


# What run.json records of a run that was published by hand.
FACTS: dict[str, Any] = {"status": "complete", "steps": 40, "dataset_sha256": "d" * 64, "data": {}}


def publish(run: Run, curve: str = "step\n0\n", **facts: Any) -> Path:
    """A run in the store with a curve and one policy, not trained; returns its folder."""
    made = Path("made")
    made.mkdir(exist_ok=True)
    (made / "curve.csv").write_text(curve)
    (made / "policy").write_bytes(b"weights")
    files = {"curve.csv": made / "curve.csv", "policy-40.safetensors": made / "policy"}
    store.publish_run(run, files, {**FACTS, **facts}, {"machine": "box"})
    return store.run_directory(run)


def publish_evaluation(run: Run, evaluation: Evaluation, content: bytes = b"rows") -> Path:
    """An evaluation in the store, not made; returns its file."""
    Path("rows").write_bytes(content)
    store.publish_evaluation(run, evaluation, Path("rows"), store.read_run(run)["files"], {"machine": "box"})
    return store.run_directory(run) / f"evaluation-{evaluation.fingerprint}.parquet"


def publish_timing(timing: Timing, *repeats: tuple[float, float], **provenance: Any) -> None:
    """A timing in the store, not measured, with times of a step and of the actor's update in milliseconds."""
    made = {"machine": "box", "device": "cpu", "threads": 1, "versions": {"torch": "0.0"}, **provenance}
    times = repeats or ((2.0, 1.0), (2.2, 1.2))
    timings.publish(timing, [{"step_ms": step, "actor_ms": actor} for step, actor in times], made)


def publish_study(plan: StudyPlan) -> None:
    """All runs, evaluations and timings of a study, and its page."""
    for timing in plan.timings():
        publish_timing(timing)
    for run in plan.runs():
        publish(run)
        for evaluation in plan.evaluations()[run.group]:
            publish_evaluation(run, evaluation)
    page = Path("rendered")
    page.mkdir(exist_ok=True)
    (page / "README.md").write_text("text")
    pages.publish(plan, page, pages.key_of(plan))
