"""Records of strangers and damaged disks: of runs, data, pages, and what the program remembers of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hostile import damaged, mutated, scalars, stretched, survive
from hypothesis import strategies as st
from tiny import FACTS, Project, publish_evaluation, publish_study

import dac
from dac.agent import Agent
from dac.cost import table
from dac.datasets import describe, load
from dac.report.study_data import report_data
from dac.study import check, dvc, pages, store, why
from dac.study.identity import Evaluation, Run
from dac.study.pending import Pending
from dac.study.plan import StudyPlan
from dac.study.task_data import dataset_of
from dac.system import paths
from dac.system.errors import UserError
from dac.system.files import file_entry
from dac.system.hashing import KnownHashes
from dac.training.policies import agent_config, save_policy
from dac.verify import command

pytestmark = pytest.mark.soak

DATA = {"episodes": 20, "steps": 240, "return": {"mean": 25.0, "std": 2.0, "min": 5.0, "max": 45.0}}
CURVE = "step,episode,return,length\n" + "".join(
    f"{step},{episode},{step + episode}.5,9\n" for step in range(0, 50, 10) for episode in (0, 1)
)


def trained(run: Run) -> None:
    """A run in the store with a policy that can act, although training did not make it."""
    made = Path("made")
    (made / "curve.csv").write_text(CURVE)
    for step in (30, 40):
        state = Agent(agent_config(run.group.settings), [run.seed], 4, 1).policy_state(0)
        save_policy(state, made / f"policy-{step}.safetensors")
    files = {path.name: path for path in made.glob("*-*.safetensors")} | {"curve.csv": made / "curve.csv"}
    store.publish_run(run, files, {**FACTS, "data": DATA}, {"machine": "box", "versions": {"torch": "2"}})


def episodes(run: Run, evaluation: Evaluation) -> pd.DataFrame:
    """What `dac evaluate` records."""
    rows = pd.DataFrame({"step": [30, 30, 40, 40], "episode": [0, 1, 0, 1], "return": [1.0, 2.0, 3.0, 4.0]})
    return rows.assign(
        task=run.group.task, variant=run.group.label, seed=run.seed, action_samples=evaluation.action_samples,
        length=9, score=1.0,
    )  # fmt: skip


@pytest.fixture
def study(project: Project) -> StudyPlan:
    """A study of which everything is there, its page and its data included."""
    plan = project.plan()
    publish_study(plan)
    for run in plan.runs():
        trained(run)
        for evaluation in plan.evaluations()[run.group]:
            episodes(run, evaluation).to_parquet("rows.parquet")
            publish_evaluation(run, evaluation, Path("rows.parquet").read_bytes())
    pages.publish(plan, Path("rendered"), pages.key_of(plan))
    load.fetch(dataset_of(plan.params, "pendulum"), None)
    look(plan)
    report(plan)
    return plan


def look(study: StudyPlan) -> None:
    """What looks at the store and the data before, beside and after a training."""
    params = check.load()
    pending = Pending(params, "5e5510")
    pending.datasets("tiny")
    pending.report("tiny")
    why.explain_study(params, "tiny")
    table.text(params, "tiny")
    _, found = command.verify(params, None)
    known = KnownHashes()
    list(dvc.damaged_runs(known))
    list(dvc.damaged_data(known))
    known.save()
    if remedy := command.remedy(found):
        raise UserError(remedy)


def look_at_data(study: StudyPlan) -> None:
    """What looks at the data alone, rows included."""
    describe.listing(check.load())
    look(study)


def report(study: StudyPlan) -> None:
    """What reads the numbers of runs, and a policy."""
    dac.load_policy(store.run_directory(study.runs()[0]))
    report_data(study)


def path_of(study: StudyPlan, name: str) -> Path:
    """A record's place."""
    places = {
        "report.json": paths.RESULTS / "tiny/report.json",
        "dataset.json": dataset_of(study.params, "pendulum").path / "dataset.json",
        "datasets.lock": Path("datasets.lock"),
        "sha256.json": paths.HASHES,
    }
    return places.get(name, store.run_directory(study.runs()[0]) / name)


def try_record(study: StudyPlan, name: str, read: Callable[[StudyPlan], None], usual: int) -> None:
    """Have a record of JSON hold other values and other bytes."""
    path = path_of(study, name)
    if name == "sha256.json":  # which has no file that was written this moment
        path.write_text(json.dumps({"data/pendulum.hdf5": {"stamp": [1, 2, 3, 4], "sha256": "0" * 64}}))
    whole = path.read_bytes()
    document = json.loads(whole)

    def one(content: bytes) -> None:
        path.write_bytes(content)
        read(study)

    other = (mutated(document) | stretched(document)).map(lambda value: json.dumps(value).encode())
    reader = "a page" if read is report else "dac verify"
    # A memory of files, and a page's remark on where a run was made: what is wrong with them is left out.
    refuses = name != "sha256.json" and (name, reader) != ("provenance.json", "a page")
    survive(f"{name} with other values, names and bytes, read by {reader}", other | damaged(whole), one, usual, refuses)


@pytest.mark.parametrize("name", ["run.json", "provenance.json", "report.json", "sha256.json"])
def test_records_are_looked_at(study: StudyPlan, name: str) -> None:
    try_record(study, name, look, 12)


@pytest.mark.parametrize("name", ["dataset.json", "datasets.lock"])
def test_records_of_data_are_looked_at(study: StudyPlan, name: str) -> None:
    try_record(study, name, look_at_data, 12)


@pytest.mark.parametrize("name", ["run.json", "provenance.json"])
def test_records_are_reported(study: StudyPlan, name: str) -> None:
    try_record(study, name, report, 25)


def sealed(study: StudyPlan, name: str, content: bytes) -> None:
    """Put other contents in a file of a run, and their sha256 into its run.json."""
    folder = store.run_directory(study.runs()[0])
    (folder / name).write_bytes(content)
    record = json.loads((folder / "run.json").read_text())
    entries = [record["files"].get(name), *record["evaluations"].values()]
    for entry in entries:
        if entry is not None and entry.get("file", name) == name:
            entry.update(file_entry(folder / name))
    (folder / "run.json").write_text(json.dumps(record))


def test_curves(study: StudyPlan) -> None:
    rows = st.lists(st.lists(scalars.map(str), min_size=1, max_size=5), max_size=12)
    tables = rows.map(lambda lines: "\n".join(",".join(line) for line in lines).encode(errors="replace"))
    headed = tables.map(lambda text: b"step,episode,return,length\n" + text)

    def read(content: bytes) -> None:
        sealed(study, "curve.csv", content)
        report(study)

    whole = CURVE.encode()
    survive("curve.csv with other cells and bytes", tables | headed | damaged(whole) | st.just(whole), read, 60)


def test_evaluations(study: StudyPlan) -> None:
    run = study.runs()[0]
    evaluation = study.evaluations()[run.group][0]
    whole = episodes(run, evaluation)

    @st.composite
    def frames(draw: st.DrawFn) -> bytes:
        frame, name = whole.copy(), draw(st.sampled_from(list(whole)))
        kind = draw(st.sampled_from(["drop", "value", "column", "rows", "same"]))
        if kind == "drop":
            frame = frame.drop(columns=name)
        elif kind == "rows":
            frame = frame.iloc[draw(st.lists(st.integers(0, 3), max_size=6))]
        elif kind != "same":
            new: Any = draw(st.sampled_from([0, -1, 1.5, float("nan"), float("inf"), 10**18, "x", None, "40", [1], {}]))
            frame[name] = [new] * 4 if kind == "column" else [*frame[name].astype(object)[:3], new]
        try:
            frame.to_parquet("rows.parquet")
        except (ValueError, TypeError, ArithmeticError, OSError, NotImplementedError):  # Arrow takes no column of these
            whole.to_parquet("rows.parquet")
        return Path("rows.parquet").read_bytes()

    def read(content: bytes) -> None:
        sealed(study, f"evaluation-{evaluation.fingerprint}.parquet", content)
        report(study)

    whole.to_parquet("rows.parquet")
    survive("evaluations with other columns and bytes", frames() | damaged(Path("rows.parquet").read_bytes()), read, 60)
