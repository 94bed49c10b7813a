from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from tiny import Project, publish

from dac.study import store
from dac.study.identity import Run
from dac.watch import show

ROWS = "".join(f"{step},{episode},{step + 4 + 2 * episode},9\n" for step in (0, 30, 40) for episode in (0, 1))
CURVE = f"step,episode,return,length\n{ROWS}"


def parts(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        title = line[: show.INDENT].strip() or title
        found.setdefault(title, []).append(line[show.INDENT :])
    return found


def test_a_run_of_the_store(project: Project) -> None:
    project.set("report.window", 2)
    run = Run(project.group(), 1)
    publish(run, CURVE, dataset_sha256="d" * 64)
    evaluation = project.plan().cells[0].evaluations[1]
    rows = pd.DataFrame({"return": [45.0, 65.0], "seed": 1})
    rows.to_parquet("episodes.parquet")
    store.publish_evaluation(run, evaluation, Path("episodes.parquet"), store.read_run(run)["files"], {})
    log = Path("logs/train/pendulum") / run.group.name / "0-1.log"
    log.parent.mkdir(parents=True)
    log.touch()
    found = parts(show.text(project.load(), run))
    assert found["run"] == [str(run), "trained, 40 of 40 steps"]  # one of two evaluations is missing
    assert found["used by"] == ["study tiny: main (soft)"]
    # Reference returns 5 and 105: of the last two evaluations the returns are 35 and 45.
    assert found["score"] == [
        "35.0  mean of the last 2 evaluations in training",
        "50.0  N_a 3, 2 episodes after training, standard deviation 14.1",
    ]
    assert "lcb_coefficient 0.5 (default 1.0)" in " ".join(found["settings"])
    assert "hidden_sizes [8, 8] (default [256, 256, 256])" in " ".join(found["settings"])
    assert found["data"] == [f"file:data/pendulum.hdf5, sha256 {'d' * 64}", "evaluated in InvertedPendulum-v5"]
    assert found["log"] == [str(log)]
    assert found["curve"] == ["▁▆█", "lowest score 0.0, highest 40.0, steps 0 to 40"]
    assert found["again"][0] == f"rm -r {store.run_directory(run)}"
    assert found["again"][1] == f"dac train pendulum {run.group.name} --seeds 1"


def test_a_run_in_training(project: Project) -> None:
    """What is saved of it is shown."""
    run = Run(project.group(), 0)
    assert parts(show.text(project.load(), run))["run"][1] == "waiting, 0 of 40 steps"
    folder = store.work_directory(run)
    folder.mkdir(parents=True)
    metadata = {"curve": json.dumps([[0, 0, 5.0, 9], [10, 0, 105.0, 9]])}
    safetensors.numpy.save_file({"x": np.zeros(1)}, folder / f"state-10-{'0' * 16}.safetensors", metadata)
    found = parts(show.text(project.load(), run))
    assert found["run"][1] == "interrupted, 10 of 40 steps"
    assert found["score"] == ["50.0  mean of the last 2 evaluations in training"]
    assert found["curve"] == ["▁█", "lowest score 0.0, highest 100.0, steps 0 to 10"]
    assert found["again"][0].startswith("dac train pendulum")


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [([0, 1, 2, 3], 8, "▁▃▆█"), ([0, 2, 4, 8, 8, 8], 3, "▁▆█"), ([1, 1], 8, "▁▁")],
    ids=["one each", "means", "level"],
)
def test_sparkline(values: list[float], width: int, line: str) -> None:
    assert show.sparkline(values, width) == line
