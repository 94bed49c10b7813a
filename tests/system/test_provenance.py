"""Where and with what something was made; no look-up that fails costs what was made."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dac.datasets.sac import collect
from dac.system import provenance

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """git in a folder, with an identity of its own."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.org")

    def run(folder: Path, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    return run


@pytest.fixture
def package(tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package in a repository of its own, everything committed."""
    folder = tmp_path / "code" / "dac"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder.parent / "Snakefile").write_text("")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "code")
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    return folder


def test_the_commit_is_the_codes(package: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the working folder is in another repository, or a hook's environment names one."""
    head = git(package, "rev-parse", "--short=12", "HEAD")
    other = tmp_path / "study"
    other.mkdir()
    (other / "params.yaml").write_text("")
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "a study")
    (other / "params.yaml").write_text("changed")
    monkeypatch.chdir(other)
    assert provenance.commit() == head
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert provenance.commit() == head


@pytest.mark.parametrize(("name", "changed"), [("dac/__init__.py", True), ("Snakefile", True), ("notes.md", False)])
def test_changes_of_the_code_are_told(name: str, changed: bool, package: Path, git: Git) -> None:
    (package.parent / "notes.md").write_text("")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-q", "-m", "notes")
    (package.parent / name).write_text("# more\n")
    assert provenance.commit().endswith("+changes") == changed


def test_a_package_that_somebodys_repository_ignores_is_not_of_its_commit(package: Path, git: Git) -> None:
    """As in a virtual environment within a project."""
    git(package.parent, "rm", "-q", "-r", "--cached", "dac")
    git(package.parent, "commit", "-q", "-m", "the environment is not tracked")
    assert provenance.commit() == "unknown"


def test_a_package_outside_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "dac")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == "unknown"


def test_git_without_a_commit(package: Path, git: Git) -> None:
    shutil.rmtree(package.parent / ".git")
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    assert provenance.commit() == "unknown"


def fake_git(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch, mode: int = 0o755) -> None:
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(mode)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


def test_no_git(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() == "unknown"


@pytest.mark.parametrize(
    "script",
    [
        "echo \"fatal: detected dubious ownership in repository at '/code'\" >&2; exit 128",
        "case $3 in status) exit 1;; esac; echo 0123456789ab",
        "exec kill -9 $$",
    ],
)
def test_a_git_that_refuses(script: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path / "bin", script, monkeypatch)
    assert provenance.commit() == "unknown"


def test_a_git_that_hangs(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up: it never comes to the end of its script."""
    fake_git(tmp_path / "bin", f"sleep 60\ntouch {tmp_path}/answered", monkeypatch)
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0.2)
    assert provenance.commit() == "unknown"
    assert not (tmp_path / "answered").exists()


def test_a_git_that_may_not_be_run(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied: 'git'")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert provenance.commit() == "unknown"


def test_packages_without_metadata_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def look_up(name: str) -> str:
        if name == "dvc":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", look_up)
    versions = provenance.provenance("cpu")["versions"]
    assert versions["dvc"] == "unknown"
    assert versions["torch"] == version("torch")
    assert list(versions) == list(provenance.PACKAGES)
    assert "dac" in versions, "it says what ran where the commit cannot"


def test_a_collection_is_written_where_a_package_has_no_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def look_up(name: str) -> str:
        if name == "stable-baselines3":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    recipe = {
        "seed": 0,
        "sac": {"steps": 120, "learning_starts": 100, "batch_size": 16, "hidden_sizes": [16]},
        "levels": {"medium": {"at_step": 110, "transitions": 20}},
    }
    monkeypatch.setattr(importlib.metadata, "version", look_up)
    collect.collect("InvertedPendulum-v5", recipe, {"medium": tmp_path / "medium"}, tmp_path / "work", print)
    versions = json.loads((tmp_path / "medium/dataset.json").read_text())["versions"]
    assert (versions["stable-baselines3"], versions["torch"]) == ("unknown", version("torch"))


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, OSError])
def test_a_hidden_processor(error: type[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error("/proc/cpuinfo")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert provenance.machine().endswith(f"{os.cpu_count()} cores")


# Hours


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"device_seconds": 12.5, "wall_seconds": 100.0, "pack": 8}, 12.5),
        ({"seconds": 100.0, "pack": 8, "resumed_from_step": 0}, 12.5),
        ({"seconds": 100.0}, 100.0),
    ],
)
def test_a_runs_share_of_the_devices_time(made: dict[str, Any], expected: float) -> None:
    """As it is recorded, and as earlier files have it: the pack's whole time under every run."""
    assert provenance.device_seconds(made) == expected


def test_no_record_of_the_devices_time() -> None:
    assert math.isnan(provenance.device_seconds({"machine": "box"}))


def test_shares_of_resumed_and_re_formed_packs_add_up() -> None:
    """Seed 0 for 320 s alone; seeds 1 and 2 for 320 s together; all for 220 s; beside them an earlier pack of two."""
    shares = [320 + 220 / 3, 160 + 220 / 3, 160 + 220 / 3]
    made = [{"device_seconds": share, "wall_seconds": 540.0, "pack": 3} for share in shares]
    made += [{"seconds": 50.0, "pack": 2}] * 2
    assert sum(map(provenance.device_seconds, made)) == pytest.approx(320 + 320 + 220 + 50)
