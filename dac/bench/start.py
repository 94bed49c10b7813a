"""How long a training job takes until its first gradient step: a real `dac train` in a project of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Nothing is imported here that the job itself does not wait for: this module is the first thing that its process loads.

ENVIRONMENT = "InvertedPendulum-v5"  # simulated by MuJoCo, as the paper's tasks are; untrained, it falls at once
OBSERVATION_DIM, ACTION_DIM, ROWS = 4, 1, 2000
CHILD = "from dac.bench.start import main; main()"


@contextlib.contextmanager
def job() -> Iterator[Callable[[], dict[str, float]]]:
    """A training job that can be started again and again while the block lasts; its data are converted before.

    It is one of the preset `small` of params.yaml on random data, with one episode as the evaluation at step 0, which
    is over after some environment steps.

    Returns:
        Starts it and waits for its first gradient step: `wall` seconds of the caller, and `cpu` seconds of its process.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = _prepared(Path(folder))

        def start() -> dict[str, float]:
            before = time.perf_counter()
            with subprocess.Popen(command, cwd=folder, env=_environment(), stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                lines = child.stdout.read().splitlines()
                wall = time.perf_counter() - before
            if child.returncode or not lines:
                raise RuntimeError(f"a training job ended with {child.returncode} before its first step: {lines[-1:]}")
            return {"wall": wall, "cpu": float(lines[-1])}

        yield start


def _environment() -> dict[str, str]:
    """This process's, with its code's folder in front: the job must not take another installed `dac`."""
    places = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def main() -> None:
    """The job's process: the command line's `train`, ended at the line that the log has of its first gradient step."""
    logging.getLogger("dac.training.pack").addHandler(_FirstStep())
    runpy.run_module("dac", run_name="__main__")


class _FirstStep(logging.Handler):
    """Prints the CPU seconds of this process when the first step is logged, and ends it."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("step 1 of "):
            print(time.process_time(), flush=True)
            os._exit(0)


def _prepared(folder: Path) -> list[str]:
    """Write the project and convert its data; returns the command that trains in it."""
    import h5py
    import numpy as np

    from dac.datasets.load import fetch
    from dac.study import check
    from dac.study.plan import study_plan

    random, data = np.random.default_rng(0), folder / "data.hdf5"
    with h5py.File(data, "w") as file:
        file["observations"] = random.normal(size=(ROWS, OBSERVATION_DIM)).astype(np.float32)
        file["actions"] = random.uniform(-1, 1, size=(ROWS, ACTION_DIM)).astype(np.float32)
        file["rewards"] = random.uniform(0, 2, size=ROWS).astype(np.float32)
        file["terminals"], file["timeouts"] = np.zeros(ROWS, bool), np.arange(ROWS) % 100 == 99
    with contextlib.chdir(folder):
        Path("params.yaml").write_text(json.dumps(_params(data)))
        group = study_plan(check.load(), "start").cells[0].group
        fetch(group.dataset, None)
    return [sys.executable, "-c", CHILD, "train", group.task, group.name, "--seeds", "0"]


def _params(data: Path) -> dict[str, object]:
    small = {"hidden_sizes": [64, 64, 64], "ensemble_size": 2, "next_action_samples": 1}
    # A line in the log for every step, since half of the interval is one.
    short = {"steps": 2, "eval_interval": 2, "eval_episodes": 1, "eval_action_samples": 1, "kept_policies": 1}
    task = {"dataset": f"file:{data}", "env": ENVIRONMENT, "reference_returns": [0.0, 100.0]}
    return {
        "dvc_study": "start",
        "agent": {},
        "training": {},
        "evaluation": {},
        "report": {"window": 1},
        "compute": {"device": "cpu", "evaluation_workers": 0},
        "collect": {},
        "presets": {},
        "tasks": {"start": task},
        "experiments": {"start": {"title": "Start", "tasks": ["start"], "variants": {"soft": {}}}},
        "studies": {"start": {"experiments": ["start"], "seeds": [0], "settings": {**small, **short}}},
    }
