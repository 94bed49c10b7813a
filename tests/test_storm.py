"""SIGKILL before any file operation of the steps of a study: started again, they end with the same bytes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import killing
import pytest
import reliability
from faulty_server import running
from tiny import COMPUTE, Project, publish_study
from trained import forget, published

from dac.datasets import download, load
from dac.study import dvc, pages, store
from dac.study.identity import Run
from dac.study.task_data import dataset_of
from dac.training.evaluate import evaluate
from dac.training.trainer import train

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.soak

ALWAYS = COMPUTE.model_copy(update={"checkpoint_seconds": 0})
SEEDS = (0, 1)
SHORT = {"steps": 4, "eval_interval": 2}
KILLS = 10  # of each step of a study at least; `make soak` goes on for some minutes


def storm(name: str, lay_out: Callable[[], None], act: Callable[..., None], result: Callable[[], object]) -> None:
    """Do a step again and again through kills, at least so many and two rounds; each result is the first one's.

    Args:
        name: of what is killed, for the record. lay_out: makes the folder as it is before the step.
        result: what the step has made, to compare.
    """
    lay_out()
    operations = killing.operations_of(act)
    expected = result()
    chaos, rounds = killing.Storm(seed=len(name)), 0
    until = time.monotonic() + 60 * reliability.minutes(0)
    while rounds < 2 or chaos.kills < KILLS or time.monotonic() < until:
        lay_out()
        chaos.finish(operations, act)
        assert result() == expected
        assert leftovers() == []
        rounds += 1
    reliability.record(
        "kill",
        f"SIGKILL before a file operation of {name}",
        "started again, it ends with the same bytes and leaves no temporary file",
        recovery_s=chaos.longest,
        count=chaos.kills,
    )


def leftovers() -> list[Path]:
    """Temporary files where results are."""
    hidden = (path for folder in ("results", "data") for path in Path(folder).rglob(".*"))
    return [path for path in hidden if path.name not in (".gitkeep", ".gitignore")]


def short_project() -> Project:
    project = Project()
    for key, value in SHORT.items():
        project.set(f"studies.tiny.settings.{key}", value)
    return project


def train_both() -> None:
    train(short_project().group(), list(SEEDS), ALWAYS, 1)


def evaluate_both() -> None:
    cell = short_project().plan().cells[0]
    evaluate(cell.group, list(SEEDS), list(cell.evaluations), COMPUTE, 1)


def fetch_file() -> None:
    load.fetch(dataset_of(Project().load(), "pendulum"), None)


def digests(*folders: str) -> dict[str, str]:
    """sha256 of every file in some folders, but for what says when and how long."""
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if "provenance" not in path.name}


def test_training(project: Project) -> None:
    runs = [Run(short_project().group(), seed) for seed in SEEDS]
    storm("a training that saves at every step", forget, train_both, lambda: [published(run) for run in runs])
    assert not any(store.work_directory(run).exists() for run in runs)


def test_evaluation(project: Project) -> None:
    train_both()
    shutil.copytree("results", "before")

    def lay_out() -> None:
        forget()
        shutil.copytree("before", "results")

    storm("an evaluation", lay_out, evaluate_both, lambda: digests("results"))


def test_conversion(project: Project) -> None:
    def lay_out() -> None:
        shutil.rmtree("data/datasets", ignore_errors=True)

    storm("a conversion", lay_out, fetch_file, lambda: sorted(digests("data/datasets")))


def test_page(project: Project) -> None:
    publish_study(project.plan())
    storm("the publication of a page", lambda: None, publish_page, lambda: digests("results/tiny"))
    assert pages.problem(project.plan()) is None


def publish_page() -> None:
    plan = Project().plan()
    pages.publish(plan, Path("rendered"), pages.key_of(plan))


def test_download(project: Project) -> None:
    content = bytes(range(256)) * 4000
    digest = hashlib.sha256(content).hexdigest()

    def lay_out() -> None:
        shutil.rmtree("data/d4rl", ignore_errors=True)

    with running(content) as server:
        Path("address").write_text(f"{server.root}/file\n{digest}")
        storm("a download", lay_out, download_file, lambda: digests("data/d4rl"))


def download_file() -> None:
    address, digest = Path("address").read_text().split()
    download.download("file", [address], Path("data/d4rl/file.hdf5"), sha256=digest)


def test_recording_in_dvc(project: Project) -> None:
    """DVC's own locks do not outlive their process."""
    publish_study(project.plan())
    shutil.rmtree("results/tiny")  # of which DVC wants more files than this page has
    for name in (".dvc/config", "dvc.yaml", ".dvcignore", "dac/study/versions.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, name)
    subprocess.run(["git", "init", "--quiet"], check=True)

    def lay_out() -> None:
        Path("dvc.lock").unlink(missing_ok=True)
        shutil.rmtree(".dvc/cache", ignore_errors=True)

    storm("dac record, in DVC's part too", lay_out, record_in_dvc, lambda: Path("dvc.lock").read_text())


def record_in_dvc() -> None:
    dvc.record()
