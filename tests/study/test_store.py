from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import FACTS, Project, publish, publish_evaluation

from dac.study import store, task_data
from dac.study.identity import Dataset, Evaluation, Run
from dac.system.errors import UserError
from dac.system.files import read_json


@pytest.fixture
def run(project: Project) -> Run:
    return Run(project.group(), 0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


ENTRY = {"size": 1, "sha256": "0" * 64}


def edit_record(folder: Path, **facts: Any) -> None:
    """Have a run.json say something else."""
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**content, **facts}))


def evaluations(project: Project) -> tuple[Evaluation, ...]:
    return project.plan().cells[0].evaluations


# Runs


def test_a_published_run_is_complete(run: Run) -> None:
    assert store.run_problem(run) == "missing"
    folder = publish(run)
    assert folder == Path(f"results/runs/pendulum/{run.group.name}/seed-0")
    assert store.run_problem(run) is None
    content = store.read_run(run)
    assert content["identity"] == json.loads(run.group.identity)
    assert (content["fingerprint"], content["seed"], content["task"]) == (run.group.fingerprint, 0, "pendulum")
    assert {name: content[name] for name in FACTS} == FACTS
    assert content["files"]["policy-40.safetensors"] == {
        "size": 7,
        "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
    }
    assert read_json(folder / "provenance.json") == {"machine": "box"}
    assert store.verified_file(run, "curve.csv").read_text() == "step\n0\n"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "run.json").unlink(), "missing"),
        (lambda folder: (folder / "run.json").write_text('{"files": '), "corrupt: run.json is not readable"),
        (lambda folder: (folder / "curve.csv").unlink(), "incomplete: curve.csv is missing"),
        (lambda folder: (folder / "curve.csv").write_text(""), "incomplete: curve.csv has another size"),
        (lambda folder: (folder / "run.json").write_text("{}"), "corrupt: run.json is not readable"),
        (lambda folder: edit_record(folder, files=[]), "corrupt: run.json is not readable"),
        (lambda folder: edit_record(folder, files={}), "corrupt: run.json is not readable"),
        (lambda folder: edit_record(folder, files={"../x": ENTRY}), "corrupt: run.json is not readable"),
        (lambda folder: edit_record(folder, files={"curve.csv": None}), "corrupt: run.json is not readable"),
        (lambda folder: edit_record(folder, evaluations=[]), "corrupt: run.json is not readable"),
        (lambda folder: edit_record(folder, seed=7), "corrupt: run.json is of another run"),
    ],
)
def test_a_damaged_run_is_not_complete(damage: Any, problem: str, run: Run) -> None:
    folder = publish(run)
    damage(folder)
    assert store.run_problem(run) == problem
    with pytest.raises(UserError, match=f"seed-0: {problem}. Start snakemake again: it re-makes this run"):
        store.read_run(run)
    publish(run)
    assert store.run_problem(run) is None


def test_a_run_in_the_folder_of_another_does_not_count(run: Run) -> None:
    other = Run(run.group, 1)
    publish(run).rename(store.run_directory(other))
    assert store.run_problem(other) == "corrupt: run.json is of another run"


def test_damage_that_keeps_the_size_is_found_by_contents(run: Run, project: Project) -> None:
    folder = publish(run)
    path = publish_evaluation(run, evaluations(project)[0])
    (folder / "curve.csv").write_text("step\n1\n")
    path.write_bytes(b"rowz")
    assert store.run_problem(run) is None
    with pytest.raises(
        UserError, match=r"curve.csv: its contents are not what run.json records .* Delete results/runs/"
    ):
        store.verified_file(run, "curve.csv")
    with pytest.raises(UserError, match="this evaluation alone is re-made"):
        store.verified_evaluation(run, evaluations(project)[0])


def test_run_json_is_written_last_and_removed_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """However publishing is interrupted, a run never counts with files that are not its own."""
    publish(run)
    copies: list[str] = []

    def fail_at_the_second(source: Path, target: Path) -> None:
        assert store.run_problem(run) == "missing"
        copies.append(str(target))
        if len(copies) == 2:
            raise OSError("no space left")
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", fail_at_the_second)
        with pytest.raises(OSError, match="no space left"):
            publish(run, curve="step\n5\n")
    assert store.run_problem(run) == "missing"
    publish(run)
    assert store.run_problem(run) is None


def test_publishing_again_removes_what_the_run_no_longer_has(run: Run, project: Project) -> None:
    folder = publish(run)
    publish_evaluation(run, evaluations(project)[0])
    publish(run)
    assert names(folder) == ["curve.csv", "policy-40.safetensors", "provenance.json", "run.json"]
    assert not store.has_evaluation(run, evaluations(project)[0])


# Evaluations


def test_an_evaluation_is_recorded_beside_its_run(run: Run, project: Project) -> None:
    one, other = evaluations(project)
    publish(run)
    assert not store.has_evaluation(run, one)
    path = publish_evaluation(run, one)
    assert store.has_evaluation(run, one)
    assert not store.has_evaluation(run, other)
    assert store.verified_evaluation(run, one) == path
    publish_evaluation(run, other, b"more rows")
    recorded = store.read_run(run)["evaluations"]
    assert recorded.keys() == {one.fingerprint, other.fingerprint}
    assert recorded[one.fingerprint]["settings"] == json.loads(json.dumps(one.identity))
    path.unlink()
    assert not store.has_evaluation(run, one)
    assert store.run_problem(run) is None
    with pytest.raises(UserError, match="missing, or its contents"):
        store.verified_evaluation(run, one)


def test_an_evaluation_of_other_reference_returns_is_of_the_same_episodes(run: Run, project: Project) -> None:
    one, other = evaluations(project)
    publish(run)
    path = publish_evaluation(run, one)
    rescaled = replace(one, reference=(0.0, 1.0))
    assert rescaled.fingerprint != one.fingerprint
    assert store.has_evaluation(run, rescaled)
    assert store.verified_evaluation(run, rescaled) == path
    assert store.evaluation_key(run, rescaled, store.read_run(run)) == one.fingerprint
    for different in (other, replace(rescaled, episodes=3), replace(rescaled, temperature=0.5)):
        assert not store.has_evaluation(run, different)
    path.unlink()
    assert not store.has_evaluation(run, rescaled)
    published = publish_evaluation(run, rescaled, b"new rows")
    assert store.verified_evaluation(run, one) == store.verified_evaluation(run, rescaled) == published


def test_an_evaluation_of_no_run(run: Run, project: Project) -> None:
    with pytest.raises(UserError, match=r"missing\. Start snakemake again"):
        publish_evaluation(run, evaluations(project)[0])
    assert not store.has_evaluation(run, evaluations(project)[0])


# Datasets


def test_datasets(project: Project) -> None:
    params = project.load()
    collected = task_data.dataset_of(params, "replay")
    assert store.dataset_problem(collected) == "missing"
    collected.path.mkdir(parents=True)
    (collected.path / "data.bin").write_bytes(b"1234")
    note = {"files": {"data.bin": {"size": 4}}, "sha256": "a" * 64}
    (collected.path / "dataset.json").write_text(json.dumps(note))
    assert store.dataset_problem(collected) is None
    (collected.path / "data.bin").write_bytes(b"123")
    assert store.dataset_problem(collected) == "incomplete: data.bin"
    own = task_data.dataset_of(params, "pendulum")
    assert store.dataset_problem(own) is None
    Path("data/pendulum.hdf5").unlink()
    assert store.dataset_problem(own) == "missing"
    assert store.dataset_problem(Dataset("d4rl", "hopper-medium-v2", "{}")) == "missing"


# The journal


def test_the_journal(project: Project) -> None:
    store.journal("train", run="a")
    store.journal("report", study="b")
    lines = [json.loads(line) for line in Path("work/journal.jsonl").read_text().splitlines()]
    assert [(line["event"], line.get("run"), line.get("study")) for line in lines] == [
        ("train", "a", None), ("report", None, "b"),
    ]  # fmt: skip


# Damage on the way into the store


@pytest.fixture
def bad_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is copied loses a byte's value."""
    copy = shutil.copyfile

    def copy_badly(source: Path, target: Path) -> None:
        copy(source, target)
        target.write_bytes(b"?" + target.read_bytes()[1:])

    monkeypatch.setattr(shutil, "copyfile", copy_badly)


def test_a_run_that_arrives_otherwise_does_not_count(run: Run, bad_copies: None) -> None:
    with pytest.raises(
        UserError, match=r"curve.csv: its contents are not what was to be published \(sha256 .*, meant: "
    ):
        publish(run)
    assert store.run_problem(run) == "missing"


def test_a_run_whose_files_are_not_what_was_meant_does_not_count(run: Run) -> None:
    Path("curve").write_text("step\n0\n")
    with pytest.raises(UserError, match=r"meant: dddddddddddd…"):
        store.publish_run(run, {"curve.csv": Path("curve")}, FACTS, {}, {"curve.csv": "d" * 64})
    assert store.run_problem(run) == "missing"


def test_an_evaluation_that_arrives_otherwise_does_not_count(
    run: Run, project: Project, request: pytest.FixtureRequest
) -> None:
    publish(run)
    evaluation = evaluations(project)[0]
    request.getfixturevalue("bad_copies")
    with pytest.raises(UserError, match=r"evaluation-\w+\.parquet: its contents are not what was to be published"):
        publish_evaluation(run, evaluation)
    assert not store.has_evaluation(run, evaluation)
    assert store.run_problem(run) is None


@pytest.mark.parametrize(
    "note",
    ["{}", '{"files": []}', '{"files": {}, "sha256": "a"}', '{"files": {"rows.hdf5": {}}, "sha256": "a"}',
     '{"files": {"rows.hdf5": 3}, "sha256": "a"}', '{"files": {"rows.hdf5": {"size": 4}}}'],
)  # fmt: skip
@pytest.mark.parametrize("source", ["file", "minari"])
def test_a_damaged_note_of_a_dataset_is_not_a_complete_dataset(note: str, source: str, project: Project) -> None:
    dataset = Dataset(source, "a/b-v1", '{"source": "x", "sha256": "b"}')
    dataset.path.mkdir(parents=True)
    (dataset.path / "rows.hdf5").write_bytes(b"rows")
    (dataset.path / "dataset.json").write_text(note)
    assert str(store.folder_problem(dataset)).startswith("incomplete: ")
    if source == "minari" and "size" not in note:
        with contextlib.suppress(UserError):  # a file of another size is said, and nothing else
            task_data._refuse_other_size(dataset)
