"""`dac verify`: what is damaged, missing or left over is named, and the end says how it is made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import damage
import numpy as np
import pytest
from tiny import Project, publish_study, write_rows

from dac.agent import Agent
from dac.cli import main
from dac.datasets import load
from dac.study import store
from dac.study.identity import Dataset, Run
from dac.study.plan import StudyPlan
from dac.study.task_data import dataset_of
from dac.system.files import file_entry, write_json
from dac.training import checkpoint
from dac.verify.command import verify


@pytest.fixture
def study(project: Project) -> StudyPlan:
    """A study whose runs, evaluations, page and data are there."""
    found = project.plan()
    publish_study(found)
    load.fetch(dataset_of(found.params, "pendulum"), None)
    return found


def found(study: StudyPlan, name: str | None = None) -> dict[str, str]:
    """The state of all files that `verify` has something to tell of."""
    return {str(item.path): item.state for item in verify(study.params, name)[1]}


def run_file(study: StudyPlan, name: str) -> Path:
    return store.run_directory(study.runs()[0]) / name


def test_a_sound_project_has_nothing_to_tell(study: StudyPlan, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    assert main(["verify", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Two runs of two files and two evaluations, a page, the files of the data, and the HDF5 file that they are from.
    data = len(json.loads((dataset_of(study.params, "pendulum").path / "dataset.json").read_text())["files"])
    assert [line.partition(",")[0] for line in lines] == [f"{2 * 4 + 1 + data + 1} files"] * 2
    assert lines[0].endswith("0 damaged, 0 missing, 0 left over.")


@pytest.mark.parametrize("harm", [damage.flip, damage.truncate, damage.empty, damage.make_unreadable])
@pytest.mark.parametrize("kind", ["policy-40.safetensors", "evaluation-*.parquet"])
def test_a_damaged_file_of_a_run_is_named(study: StudyPlan, kind: str, harm: Callable[[Path], None]) -> None:
    path = next(run_file(study, "").glob(kind))
    harm(path)
    assert found(study) == found(study, "tiny") == {str(path): "damaged"}


@pytest.mark.parametrize("harm", [damage.truncate, damage.empty, damage.make_unreadable])
@pytest.mark.parametrize("name", ["run.json", "provenance.json"])
def test_a_damaged_record_is_named(study: StudyPlan, name: str, harm: Callable[[Path], None]) -> None:
    """Its sha256 is DVC's alone to know: what cannot be read is seen, and settings of another run."""
    harm(run_file(study, name))
    assert found(study) == {str(run_file(study, name)): "damaged"}


def test_a_damaged_timing_is_named(project: Project) -> None:
    one, other, *_ = project.with_timing().plan().timings()
    publish_study(project.plan())
    load.fetch(dataset_of(project.load(), "pendulum"), None)
    assert found(project.plan()) == {}
    shutil.copy(one.directory / "timing.json", other.directory / "timing.json")
    damage.truncate(one.directory / "timing.json")
    expected = {str(timing.directory / "timing.json"): "damaged" for timing in (one, other)}
    assert found(project.plan()) == found(project.plan(), "tiny") == expected
    project.set("studies.tiny.experiments", ["main"])
    assert found(project.plan()).items() >= expected.items()


def test_what_is_missing_and_left_over_is_named(study: StudyPlan) -> None:
    run_file(study, "curve.csv").unlink()
    run_file(study, ".run.json.77.tmp").write_text("{")
    Path("results/tiny/tables").mkdir()
    Path("results/tiny/tables/old.csv").write_text("1")
    Path("data/datasets/.half.77").mkdir()
    Path("results/runs/pendulum/soft-abc/seed-3").mkdir(parents=True)
    Path("results/runs/pendulum/soft-abc/seed-3/curve.csv").write_text("")
    assert found(study) == {
        str(run_file(study, "curve.csv")): "missing",
        str(run_file(study, ".run.json.77.tmp")): "left over",
        "results/tiny/tables/old.csv": "left over",
        "data/datasets/.half.77": "left over",
        "results/runs/pendulum/soft-abc/seed-3/curve.csv": "left over",
    }
    assert "data/datasets/.half.77" not in found(study, "tiny")
    assert main(["verify"]) == 1
    run_file(study, "curve.csv").write_text("step\n0\n")
    assert main(["verify"]) == 0  # what is left over harms nobody


def test_a_record_that_is_of_another_run_is_damaged(study: StudyPlan) -> None:
    first, second = (store.run_directory(run) / "run.json" for run in study.runs())
    shutil.copy(first, second)
    assert found(study) == {str(second): "damaged"}
    record = json.loads(first.read_text())
    record["identity"]["settings"]["eta"] = 7.0
    write_json(first, record)
    assert found(study) == {str(first): "damaged", str(second): "damaged"}


def test_damaged_data_are_named(study: StudyPlan, project: Project) -> None:
    dataset = dataset_of(study.params, "pendulum")
    arrays, note = next(dataset.path.rglob("*.hdf5")), dataset.path / "dataset.json"
    status = arrays.stat()
    damage.flip(arrays)
    os.utime(arrays, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert found(study) == {str(arrays): "damaged"}
    damage.flip(arrays)
    assert found(study) == {}
    (dataset.path / "data/extra").write_text("")
    assert found(study) == {str(dataset.path / "data/extra"): "left over"}
    for text in ("[]", '{"files": {"../../../x": {"size": 1, "sha256": "0"}}}', '{"files": {"data": 1}}'):
        note.write_text(text)
        assert found(study)[str(note)] == "damaged"


def test_data_of_before_files_had_a_sha256_are_compared_by_their_rows(study: StudyPlan) -> None:
    dataset = dataset_of(study.params, "pendulum")
    note = dataset.path / "dataset.json"
    content = json.loads(note.read_text())
    write_json(note, {**content, "files": {name: {"size": entry["size"]} for name, entry in content["files"].items()}})
    assert found(study) == {}
    write_json(note, {**json.loads(note.read_text()), "sha256": "0" * 64})
    assert found(study) == {str(note): "damaged"}
    first, *_ = content["files"]
    for entry in ({"size": 1}, {"size": 1, "sha256": None}):
        write_json(note, {**content, "files": {**content["files"], first: entry}})
        assert found(study) == {str(note): "damaged"}


def test_another_file_of_the_users_is_named_and_not_to_be_deleted(
    study: StudyPlan, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    assert found(study)["data/pendulum.hdf5"] == "damaged"
    assert main(["verify"]) == 1
    told = capsys.readouterr()
    assert "Which runs are of study tiny is not known" in told.out
    assert "data/pendulum.hdf5: It may be the only copy" in told.err
    assert "rm" not in told.err.split()


@pytest.fixture
def trained(study: StudyPlan) -> Path:
    """The newest of two states of a run in training, with a policy that it has kept."""
    run = Run(study.cells[0].group, 0)
    agent = Agent(agent_config_of(run), [0], 4, 1)
    state = checkpoint.begin(run, agent.run_state(0))
    for step in (10, 20):
        state.step = step
        checkpoint.keep_policy(state, step, agent.policy_state(0))
        checkpoint.save(state, "d" * 64)
    return next(store.work_directory(run).glob("state-20-*"))


def agent_config_of(run: Run) -> object:
    from dac.training.policies import agent_config

    return agent_config(run.group.settings)


def test_damaged_states_and_policies_are_named(study: StudyPlan, trained: Path) -> None:
    assert found(study) == found(study, "tiny") == {}
    policy = trained.parent / "policy-10.safetensors"
    damage.flip(policy)
    assert found(study) == {str(policy): "damaged"}
    policy.unlink()
    assert found(study) == {str(policy): "missing"}
    damage.truncate(trained)
    (trained.parent / ".state.77.tmp").write_text("")
    trained.with_name("state-5.damaged").write_text("")
    assert found(study) == {
        str(policy): "missing",
        str(trained): "damaged",
        str(trained.parent / ".state.77.tmp"): "left over",
        str(trained.with_name("state-5.damaged")): "left over",
    }


def test_states_of_sac_are_compared(study: StudyPlan) -> None:
    state = Path("work/collect-abc/expert/new")
    state.mkdir(parents=True)
    np.save(state / "model.npy", np.arange(9))
    write_json(state / "manifest.json", {"files": {"model.npy": file_entry(state / "model.npy")}})
    state = state.rename(state.with_name(f"steps-3-{file_entry(state / 'manifest.json')['sha256'][:16]}"))
    assert found(study) == {}
    damage.flip(state / "model.npy")
    assert found(study) == {str(state / "model.npy"): "damaged"}
    assert found(study, "tiny") == {}  # which collects nothing


def test_a_note_of_dvcs_that_a_kill_tore_is_named(study: StudyPlan, capsys: pytest.CaptureFixture[str]) -> None:
    note = Path(".dvc/tmp/rwlock")
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    assert found(study) == {}
    note.write_text('{"results/runs": {"wri')
    assert found(study) == {str(note): "damaged"}
    assert main(["verify"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{note}: damaged: half a note of who reads and writes, of a DVC that was killed")
    assert said.err.splitlines()[-1] == "  dac record"


def test_the_end_says_how_it_is_made_again(study: StudyPlan, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_file(study, "policy-40.safetensors")
    damage.flip(path)
    assert main(["verify", "tiny"]) == 1
    told = capsys.readouterr()
    assert told.out.startswith(f"{path}: damaged: its sha256 is ")
    assert told.err.splitlines() == [
        "dac: 1 files are not what is recorded of them.",
        "What DVC has of them it brings back:",
        f"  dvc checkout --force {path}",
        "Else this makes them again:",
        f"  rm {path}",
        "  snakemake tiny --cores all",
    ]


def test_a_run_of_no_study_is_compared_and_nothing_promised(
    study: StudyPlan, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_file(study, "policy-40.safetensors")
    damage.flip(path)
    project.set("tasks.pendulum.settings.lcb_coefficient", 0.75).load()
    assert main(["verify"]) == 1
    told = capsys.readouterr().err
    assert f"{path}: No study of params.yaml plans it" in told
    assert "snakemake" not in told
    assert main(["verify", "tiny"]) == 0  # which does not plan it now


def test_a_study_that_is_none_is_refused(study: StudyPlan, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "tinny"]) == 1
    assert "no study 'tinny'" in capsys.readouterr().err


def test_planning_looks_at_sizes_alone(study: StudyPlan) -> None:
    path = run_file(study, "policy-40.safetensors")
    damage.flip(path)
    assert store.run_problem(study.runs()[0]) is None
    assert isinstance(dataset_of(study.params, "pendulum"), Dataset)
