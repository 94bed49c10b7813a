from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import Project, publish_study
from zc.lockfile import LockFile

from dac import record, store
from dac.errors import UserError

ROOT = Path(__file__).parents[1]
COMPLETE = ["dvc.lock: recorded datasets and runs and report."]


def lock() -> dict[str, Any]:
    """The stages of dvc.lock."""
    stages: dict[str, Any] = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    return stages


def status() -> dict[str, Any]:
    """What `dvc status` says, by stage."""
    from dvc.repo import Repo

    with Repo() as repo:
        found: dict[str, Any] = repo.status()
    return found


@pytest.fixture
def complete(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project with DVC, its study complete."""
    monkeypatch.delenv("DVC_STAGE", raising=False)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    for name in ("dvc.yaml", "dac/versions.py"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, name)
    project.set("dvc_study", "tiny")
    plan = project.plan()
    publish_study(plan)
    for name in ("tables", "figures"):
        (store.page_directory("tiny") / name).mkdir()
    for name in ("metrics.json", "curves.csv"):
        (store.page_directory("tiny") / name).write_text("{}")
    return project


def damage(name: str) -> Path:
    """Flip a bit of a file in the first run's folder."""
    (path, *_) = sorted(store.RUNS.glob(f"*/*/seed-0/{name}"))
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    return path


def test_a_complete_study_is_recorded(complete: Project) -> None:
    assert record.record() == COMPLETE
    files = ["params.yaml", "dac/versions.py"]
    assert {name: list(stage["params"]) for name, stage in lock().items()} == {
        "datasets": files,
        "runs": files,
        "report": files,
    }
    assert status() == {}


def test_without_collected_data_too(complete: Project) -> None:
    """The folder of collected data, which DVC asks for, is made."""
    assert not store.DATASETS.exists()
    assert record.record() == COMPLETE
    assert lock()["datasets"]["outs"][0]["nfiles"] == 0


def test_of_an_incomplete_study_the_files_are_recorded_and_no_parameters(complete: Project) -> None:
    """As after a `snakemake` of another study, or of this one when params.yaml was edited meanwhile."""
    record.record()
    name = complete.group().name
    complete.set("studies.tiny.seeds", [0, 1, 2]).load()
    assert record.record() == [
        "dvc.lock: recorded datasets and the files of runs.",
        f"dvc.lock: runs is not recorded as complete: study tiny of dvc_study lacks train pendulum/{name} (1 seed), "
        f"evaluate pendulum/{name} (1 seed). `snakemake tiny` makes it.",
        "dvc.lock: report is not recorded as complete: study tiny of dvc_study lacks its page: its runs are not "
        "complete. `snakemake tiny` makes it.",
    ]
    assert "params" not in lock()["runs"]
    assert lock()["runs"]["outs"][0]["nfiles"] == sum(path.is_file() for path in store.RUNS.rglob("*"))
    assert {"runs", "report"} <= set(status())


def test_back_to_what_is_complete_it_is_recorded_again(complete: Project) -> None:
    record.record()
    before = Path("dvc.lock").read_text()
    complete.set("studies.tiny.seeds", [0, 1, 2]).load()
    record.record()
    complete.set("studies.tiny.seeds", [0, 1]).load()
    assert record.record() == COMPLETE
    assert Path("dvc.lock").read_text() == before


@pytest.mark.parametrize("name", ["policy-40.safetensors", "curve.csv", "evaluation-*.parquet"])
def test_a_damaged_file_is_not_recorded(name: str, complete: Project) -> None:
    record.record()
    before = lock()["runs"]
    path = damage(name)
    first, said = record.record()
    assert first == "dvc.lock: recorded datasets and report."
    assert said.startswith(f"dvc.lock: runs was not recorded: the contents of {path} are not what run.json records")
    assert lock()["runs"] == before


def test_what_was_recorded_before_the_damage_comes_back(complete: Project) -> None:
    """By the command that the message names, which leaves what is not recorded alone."""
    from dvc.repo import Repo

    record.record()
    path = damage("policy-40.safetensors")
    good = store.read_json(path.parent / "run.json")
    other = Path("results/runs/pendulum/other/seed-0/run.json")
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    with Repo() as repo:
        repo.checkout([str(path)], force=True)
    assert good is not None and store.file_entry(path) == good["files"][path.name]
    assert other.exists()
    assert record.record() == COMPLETE


def test_damaged_data_are_not_recorded(complete: Project) -> None:
    folder = store.DATASETS / "some"
    folder.mkdir(parents=True)
    (folder / "rows").write_bytes(b"rows")
    store.write_json(folder / "dataset.json", {"files": {"rows": store.file_entry(folder / "rows")}})
    assert record.record() == COMPLETE
    (folder / "rows").write_bytes(b"Rows")
    first, said = record.record()
    assert first == "dvc.lock: recorded runs and report."
    assert said.startswith(f"dvc.lock: datasets was not recorded: the contents of {folder}/rows are not what dataset.")


def test_params_that_are_wrong_now_record_nothing(complete: Project) -> None:
    record.record()
    before = Path("dvc.lock").read_text()
    Path("params.yaml").write_text("agent: [")
    with pytest.raises(UserError, match=r"params.yaml: not readable as YAML"):
        record.record()
    assert Path("dvc.lock").read_text() == before


def test_another_dvc_is_told(complete: Project) -> None:
    Path(".dvc/tmp").mkdir()
    held = LockFile(".dvc/tmp/lock")
    try:
        with pytest.raises(UserError, match=r"dvc.lock: not recorded: Unable to acquire lock.*`dac record` does it"):
            record.record()
    finally:
        held.close()


@pytest.mark.parametrize("without", [".dvc", "dvc.yaml"])
def test_nothing_is_recorded_without_dvc(without: str, complete: Project) -> None:
    shutil.rmtree(without) if Path(without).is_dir() else Path(without).unlink()
    assert record.record() == []
    assert not Path("dvc.lock").exists()


def test_a_stage_of_dvc_ends_well_where_it_is_complete(complete: Project) -> None:
    for name in ("datasets", "runs", "report"):
        record.check(name)


def test_a_stage_of_dvc_fails_where_params_changed_meanwhile(complete: Project) -> None:
    complete.set("studies.tiny.seeds", [0, 1, 2]).load()
    record.check("datasets")
    with pytest.raises(UserError, match=r"changed while DVC's stage runs ran: study tiny lacks train pendulum/soft-H2"):
        record.check("runs")
    with pytest.raises(UserError, match=r"changed while DVC's stage report ran: study tiny lacks its page"):
        record.check("report")


def test_a_stage_of_dvc_fails_on_a_damaged_file(complete: Project) -> None:
    damage("policy-40.safetensors")
    with pytest.raises(UserError, match=r"runs was not recorded: the contents of .*policy-40.safetensors are not"):
        record.check("runs")
