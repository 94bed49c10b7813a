from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import Project, publish, publish_evaluation

from dac.report.recorded import data_of, read_curve, read_evaluation
from dac.study import store
from dac.study.identity import Run
from dac.system.errors import UserError

CURVE = pd.DataFrame({"step": [s for s in range(0, 50, 10) for _ in (0, 1)], "episode": [0, 1] * 5})
CURVE["return"] = 1.5


@pytest.fixture
def run(project: Project) -> Run:
    return Run(project.group(), 0)


def test_a_whole_curve_is_read(run: Run) -> None:
    publish(run, CURVE.to_csv(index=False))
    assert read_curve(run)["return"].tolist() == [1.5] * 10
    shuffled = CURVE.assign(length=7, **{"return": range(10)}).sample(frac=1, random_state=0)
    publish(run, shuffled.to_csv(index=False))
    assert read_curve(run)["return"].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not readable as a table"),
        ("a\nb\nb,c\n", "not readable as a table"),
        ("step,episode\n0,0\n", "return: found no such column"),
        ("step,episode,return,return\n0,0,1.5,1.5\n", "return: found no such column"),
        (
            CURVE.assign(step=pd.Series([None, *CURVE["step"][1:]], dtype="Int64")).to_csv(index=False),
            "step: found values",
        ),
        (CURVE.assign(step="x").to_csv(index=False), "step: found values of string"),
        (CURVE.assign(step=CURVE["step"] + 0.5).to_csv(index=False), "step: found values of double"),
        (CURVE.assign(**{"return": True}).to_csv(index=False), "return: found values of bool"),
        (CURVE.iloc[1:].to_csv(index=False), r"it has the episodes \[1\] at step 0, expected are \[0, 1\]"),
    ],
)
def test_a_curve_that_is_none_is_refused(run: Run, text: str, said: str) -> None:
    publish(run, text)
    with pytest.raises(UserError, match=rf"curve\.csv: {said}.*delete it and start snakemake again"):
        read_curve(run)


def test_an_evaluation_that_is_no_table_is_refused(run: Run, project: Project) -> None:
    publish(run)
    evaluation = project.plan().cells[0].evaluations[0]
    publish_evaluation(run, evaluation, b"PAR1 and nothing")
    with pytest.raises(UserError, match=r"evaluation-\w+\.parquet: not readable as a table"):
        read_evaluation(run, evaluation)
    CURVE.to_parquet("rows.parquet")
    publish_evaluation(run, evaluation, Path("rows.parquet").read_bytes())
    with pytest.raises(UserError, match="seed: found no such column"):
        read_evaluation(run, evaluation)


@pytest.mark.parametrize(
    "data", [{}, {"episodes": 1, "steps": 2}, {"episodes": 1, "steps": 2, "return": {"mean": "1"}}]
)
def test_a_run_that_does_not_say_its_data_is_refused(run: Run, data: dict[str, Any]) -> None:
    publish(run, data=data)
    with pytest.raises(UserError, match=r"run\.json: it does not say how many data it is of"):
        data_of(run, store.read_run(run))
    whole = {"episodes": 1, "steps": 2, "return": {"mean": 1.0, "std": 0.0, "max": 1.0}}
    publish(run, data=whole)
    assert data_of(run, store.read_run(run)) == whole
