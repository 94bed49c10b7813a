from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import Project, publish, publish_study
from zc.lockfile import LockFile

from dac.study import dvc, pages, store
from dac.system.errors import UserError
from dac.system.files import file_entry, read_json, write_json
from dac.system.hashing import KnownHashes
from dac.system.paths import COLLECTED, RUNS

ROOT = Path(__file__).parents[2]
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
    for name in ("dvc.yaml", "dac/study/versions.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, name)
    project.set("dvc_study", "tiny")
    plan = project.plan()
    publish_study(plan)
    for name in ("tables", "figures"):
        (pages.folder_of("tiny") / name).mkdir()
    for name in ("metrics.json", "curves.csv"):
        (pages.folder_of("tiny") / name).write_text("{}")
    return project


def damage(name: str) -> Path:
    """Flip a bit of a file in the first run's folder."""
    (path, *_) = sorted(RUNS.glob(f"*/*/seed-0/{name}"))
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    return path


def test_a_complete_study_is_recorded(complete: Project) -> None:
    assert dvc.record() == COMPLETE
    files = ["params.yaml", "dac/study/versions.py"]
    assert {name: list(stage["params"]) for name, stage in lock().items()} == {
        "datasets": files,
        "runs": files,
        "report": files,
    }
    assert status() == {}


def test_without_collected_data_too(complete: Project) -> None:
    """The folder of collected data, which DVC asks for, is made."""
    assert not COLLECTED.exists()
    assert dvc.record() == COMPLETE
    assert lock()["datasets"]["outs"][0]["nfiles"] == 0


def test_of_an_incomplete_study_the_files_are_recorded_and_no_parameters(complete: Project) -> None:
    """As after a `snakemake` of another study, or of this one when params.yaml was edited meanwhile."""
    dvc.record()
    name = complete.group().name
    complete.set("studies.tiny.seeds", [0, 1, 2]).load()
    assert dvc.record() == [
        "dvc.lock: recorded datasets and the files of runs.",
        f"dvc.lock: runs is not recorded as complete: study tiny of dvc_study lacks train pendulum/{name} (1 seed), "
        f"evaluate pendulum/{name} (1 seed). `snakemake tiny` makes it.",
        "dvc.lock: report is not recorded as complete: study tiny of dvc_study lacks its page: its runs are not "
        "complete. `snakemake tiny` makes it.",
    ]
    assert "params" not in lock()["runs"]
    assert lock()["runs"]["outs"][0]["nfiles"] == sum(path.is_file() for path in RUNS.rglob("*"))
    assert {"runs", "report"} <= set(status())


def test_back_to_what_is_complete_it_is_recorded_again(complete: Project) -> None:
    dvc.record()
    before = Path("dvc.lock").read_text()
    complete.set("studies.tiny.seeds", [0, 1, 2]).load()
    dvc.record()
    complete.set("studies.tiny.seeds", [0, 1]).load()
    assert dvc.record() == COMPLETE
    assert Path("dvc.lock").read_text() == before


@pytest.mark.parametrize("name", ["policy-40.safetensors", "curve.csv", "evaluation-*.parquet"])
def test_a_damaged_file_is_not_recorded(name: str, complete: Project) -> None:
    dvc.record()
    before = lock()["runs"]
    path = damage(name)
    first, said = dvc.record()
    assert first == "dvc.lock: recorded datasets and the files of runs."
    assert said.startswith(f"dvc.lock: not recorded: the contents of {path} are not what run.json records")
    assert lock()["runs"]["outs"][0]["md5"] == before["outs"][0]["md5"]  # the file as it was before
    assert "params" not in lock()["runs"]


def test_what_was_recorded_before_the_damage_comes_back(complete: Project) -> None:
    """By the command that the message names, which leaves what is not recorded alone."""
    from dvc.repo import Repo

    dvc.record()
    path = damage("policy-40.safetensors")
    good = read_json(path.parent / "run.json")
    other = publish(complete.set("studies.tiny.seeds", [0, 1, 2]).plan().runs()[2]) / "run.json"
    complete.set("studies.tiny.seeds", [0, 1]).load()
    with Repo() as repo:
        repo.checkout([str(path)], force=True)
    assert good is not None and file_entry(path) == good["files"][path.name]
    assert other.exists()
    assert dvc.record() == COMPLETE


def test_damaged_data_are_not_recorded(complete: Project) -> None:
    folder = COLLECTED / "some"
    folder.mkdir(parents=True)
    (folder / "rows").write_bytes(b"rows")
    write_json(folder / "dataset.json", {"files": {"rows": file_entry(folder / "rows")}, "sha256": "a" * 64})
    assert dvc.record() == COMPLETE
    (folder / "rows").write_bytes(b"Rows")
    first, said = dvc.record()
    assert first == "dvc.lock: recorded the files of datasets and runs and report."
    assert said.startswith(f"dvc.lock: not recorded: the contents of {folder}/rows are not what dataset.json records")


def test_params_that_are_wrong_now_record_nothing(complete: Project) -> None:
    dvc.record()
    before = Path("dvc.lock").read_text()
    Path("params.yaml").write_text("agent: [")
    with pytest.raises(UserError, match=r"params.yaml: not readable as YAML"):
        dvc.record()
    assert Path("dvc.lock").read_text() == before


def test_another_dvc_is_told(complete: Project) -> None:
    Path(".dvc/tmp").mkdir()
    held = LockFile(".dvc/tmp/lock")
    try:
        with pytest.raises(
            UserError, match=r"(?s)dvc.lock: not recorded: Unable to acquire lock.*`dac record` does it"
        ):
            dvc.record()
    finally:
        held.close()


@pytest.mark.parametrize("without", [".dvc", "dvc.yaml"])
def test_nothing_is_recorded_without_dvc(without: str, complete: Project) -> None:
    shutil.rmtree(without) if Path(without).is_dir() else Path(without).unlink()
    assert dvc.record() == ["dvc.lock: nothing was recorded; DVC is not set up here."]
    assert not Path("dvc.lock").exists()


def test_where_nothing_is_published_nothing_is_recorded(complete: Project) -> None:
    """As in a clone before `dvc pull`: what dvc.lock records of others' runs stays."""
    dvc.record()
    before = Path("dvc.lock").read_text()
    shutil.rmtree(RUNS)
    shutil.rmtree(COLLECTED)
    assert dvc.record() == ["dvc.lock: nothing was recorded; nothing is published here."]
    assert Path("dvc.lock").read_text() == before


def test_what_is_recorded_and_not_here_stays_recorded(complete: Project) -> None:
    """As in a clone that made a run before `dvc pull`."""
    from dvc.repo import Repo

    dvc.record()
    gone = store.run_directory(complete.plan().runs()[1])
    shutil.rmtree(gone)
    new = publish(complete.set("studies.tiny.seeds", [0, 1, 2]).plan().runs()[2])
    first, *_ = dvc.record()
    assert first == "dvc.lock: recorded datasets and the files of runs."
    with Repo() as repo:
        repo.checkout(force=True)
    assert read_json(gone / "run.json") is not None
    assert read_json(new / "run.json") is not None


def test_what_is_recorded_stays_where_the_remote_is_not_reached(complete: Project, tmp_path: Path) -> None:
    """As in a clone without network that made a run before `dvc pull`."""
    remote = tmp_path / "remote"
    config = Path(".dvc/config")
    config.write_text(f"{config.read_text()}    remote = lab\n['remote \"lab\"']\n    url = {remote}\n")
    dvc.record()
    shutil.copytree(".dvc/cache/files", remote / "files")
    before = lock()
    shutil.rmtree(".dvc/cache")
    gone = store.run_directory(complete.plan().runs()[1])
    shutil.rmtree(gone)
    new = publish(complete.set("studies.tiny.seeds", [0, 1, 2]).plan().runs()[2])
    remote.rename(tmp_path / "away")
    listing = before["runs"]["outs"][0]["md5"]
    first, *others = dvc.record()
    assert first == "dvc.lock: recorded datasets."
    assert others[0].startswith("dvc.lock: runs is left as it was recorded, without what was made here: which files")
    assert listing in others[0]
    assert lock()["runs"] == before["runs"]
    (tmp_path / "away").rename(remote)
    assert dvc.record()[0] == "dvc.lock: recorded datasets and the files of runs."
    from dvc.repo import Repo

    with Repo() as repo:
        repo.pull(force=True)
    assert read_json(gone / "run.json") is not None
    assert read_json(new / "run.json") is not None


@pytest.mark.parametrize("content", ["{", '{"files": null}', '{"files": {}}', '{"files": {"curve.csv": {"size": 1}}}'])
def test_a_record_that_says_nothing_is_damage(content: str, complete: Project) -> None:
    dvc.record()
    before = lock()["runs"]["outs"][0]["md5"]
    path = store.run_directory(complete.plan().runs()[0]) / "run.json"
    path.write_text(content)
    assert any(f"the contents of {path} are not what run.json records" in line for line in dvc.record())
    assert lock()["runs"]["outs"][0]["md5"] == before


def test_a_damaged_provenance_is_damage(complete: Project) -> None:
    path = store.run_directory(complete.plan().runs()[0]) / "provenance.json"
    path.write_text("{")
    assert any(f"the contents of {path}" in line for line in dvc.record())


def test_a_study_that_cannot_be_planned_is_no_reason_to_record_no_files(complete: Project) -> None:
    complete.set("tasks.pendulum.dataset", "file:nowhere.hdf5").load()
    first, *said = dvc.record()
    assert first == "dvc.lock: recorded the files of datasets and the files of runs."
    assert "there is no file nowhere.hdf5" in said[0]
    assert lock()["runs"]["outs"][0]["nfiles"] > 0


def test_an_edit_while_dvc_reads_the_files_is_not_recorded(complete: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC reads params.yaml itself, after it was looked at."""

    def damaged_runs_slowly(known: KnownHashes) -> Iterator[Path]:
        complete.set("studies.tiny.seeds", [0, 1, 2]).load()
        yield from damaged_runs(known)

    damaged_runs = dvc.damaged_runs
    monkeypatch.setattr(dvc, "damaged_runs", damaged_runs_slowly)
    first, *said = dvc.record()
    assert first == "dvc.lock: recorded datasets and the files of runs."
    assert said[0].startswith("dvc.lock: runs is not recorded as complete: study tiny of dvc_study lacks train")
    assert {"runs", "report"} <= set(status())


def test_a_store_out_of_reach(complete: Project) -> None:
    shutil.move(RUNS, "elsewhere")
    RUNS.symlink_to("unmounted")
    COLLECTED.mkdir()
    with pytest.raises(UserError, match=r"results/runs: not a folder, or out of reach"):
        dvc.record()


def test_a_stage_of_dvc_ends_well_where_it_is_complete(complete: Project) -> None:
    for name in ("datasets", "runs", "report"):
        dvc.check(name)


def test_a_stage_of_dvc_fails_where_params_changed_meanwhile(complete: Project) -> None:
    complete.set("studies.tiny.seeds", [0, 1, 2]).load()
    dvc.check("datasets")
    with pytest.raises(UserError, match=r"changed while DVC's stage runs ran: study tiny lacks train pendulum/soft-H2"):
        dvc.check("runs")
    with pytest.raises(UserError, match=r"changed while DVC's stage report ran: study tiny lacks its page"):
        dvc.check("report")


def test_a_stage_of_dvc_fails_on_a_damaged_file(complete: Project) -> None:
    damage("policy-40.safetensors")
    with pytest.raises(UserError, match=r"not recorded: the contents of .*policy-40.safetensors are not"):
        dvc.check("runs")


def test_timings_belong_to_the_runs(complete: Project) -> None:
    plan = complete.with_timing().plan()
    assert any("lacks time pendulum/timing-soft-H2-T1-" in line for line in dvc.record())
    publish_study(plan)
    assert dvc.record() == COMPLETE
    assert status() == {}
    path = plan.timings()[0].directory / "timing.json"
    path.write_text("{")
    assert dvc.look(complete.load())["runs"].damaged == (path,)


def test_a_note_that_a_kill_tore_is_removed(complete: Project) -> None:
    """With half a list of who reads and writes, no DVC starts."""
    Path(".dvc/tmp").mkdir()
    Path(".dvc/tmp/rwlock").write_text('{"read": {"')
    assert dvc.record()[0] == "dvc.lock: recorded datasets and runs and report."
    assert read_json(Path(".dvc/tmp/rwlock")) is not None
