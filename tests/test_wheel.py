"""What the wheel holds, and that it works in a folder that has a params.yaml and no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest
import tiny
from project import environment

from dac.study.identity import Run
from dac.study.pending import Pending

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Of one process, since each would build and install a wheel of its own.
pytestmark = pytest.mark.xdist_group("wheel")

# A policy that the wheel holds acts, and a published score stands in a table that it holds.
RECORDED = {
    "policies": {"files": ["Pendulum-v1-2000"], "noise": [0.0, 1.0], "mixture": "replace"},
    "levels": {"mixed": {"transitions": 1000}},
}
SWING = {"dataset": "collect:Pendulum-v1/mixed", "reference_returns": [-1250.0, -120.0]}


@dataclass(frozen=True)
class Installed:
    """An environment of its own that has the wheel, and of this one what the wheel needs."""

    folder: Path

    def run(self, *command: str) -> tuple[int, str]:
        """Exit status and output of one of its programs, called in the current folder."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment() | {"PATH": path},
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout

    def succeed(self, *command: str) -> str:
        status, output = self.run(*command)
        assert status == 0, f"{' '.join(command)} ended with {status}:\n{output}"
        return output


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, for setuptools leaves a folder `build` whose old files it would ship."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (folder / "source").mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / "source")
    shutil.copytree(ROOT / "dac", folder / "source/dac", ignore=shutil.ignore_patterns("__pycache__"))
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", str(folder), str(folder / "source")]
    subprocess.run(command, check=True, env=environment(), timeout=300)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Installed:
    folder = wheel.parent / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-index", str(wheel)], check=True, env=environment(), timeout=300)
    (packages,) = folder.glob("lib/python*/site-packages")
    # By its path alone: what that folder's own .pth files name, such as the checkout, is not to be found.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(folder)


def test_it_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "dac").rglob("*") if path.is_file()}
    wanted = {name for name in there if "__pycache__" not in name}
    assert {name for name in names if name.startswith("dac/")} == wanted
    assert {"dac/py.typed", "dac/reference/README.md"} < wanted
    assert {name.partition("/")[0] for name in names} == {"dac", f"dac-{PROJECT['version']}.dist-info"}


def test_what_it_says_of_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"dac-{PROJECT['version']}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        assert archive.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert (metadata["License-Expression"], metadata["License-File"]) == ("MIT", "LICENSE")
    assert metadata["Requires-Python"] == "<3.13,>=3.11"


def test_a_study_outside_the_checkout(installed: Installed, project: tiny.Project) -> None:
    """Plan, data, training, evaluation and page, by the commands that the workflow would call."""
    imported = installed.succeed("python", "-c", "import dac; print(dac.__file__)")
    assert Path(imported.strip()).is_relative_to(installed.folder)
    project.set("collect.Pendulum-v1", RECORDED).set("tasks.swing", SWING)
    project.set("experiments.main.tasks", ["pendulum", "swing"]).set("experiments.main.published", ["IQL"])
    plan = project.plan()
    assert "study tiny" in installed.succeed("dac", "plan", "tiny")
    (dataset,) = (cell.group.dataset for cell in plan.cells if cell.group.task == "swing")
    installed.succeed("dac", "collect", "Pendulum-v1", "--datasets", dataset.fingerprint)
    installed.succeed("dac", "fetch", "pendulum")
    for cell in plan.cells:
        pack = (cell.group.task, cell.group.name, "--seeds", "0-1")
        names = "-".join(evaluation.fingerprint for evaluation in cell.evaluations)
        installed.succeed("dac", "train", *pack)
        installed.succeed("dac", "evaluate", *pack, "--evaluations", names)
    assert "Read results/tiny/README.md" in installed.succeed("dac", "report", "tiny", "--plan", plan.fingerprint)
    assert Pending(plan.params, "5e5510").report("tiny") == []
    assert installed.succeed("dac", "why", "tiny") == "tiny: complete, nothing to do\n"
    assert str(Run(plan.cells[0].group, 1)) in installed.succeed("dac", "runs", "--all")


def test_a_folder_without_parameters(installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the wheel lacks, where its user first meets it."""
    monkeypatch.chdir(tmp_path)
    status, output = installed.run("dac", "plan")
    assert status == 1
    assert "An installed dac has the commands alone: the checkout has params.yaml and the workflow" in output


def test_parity_outside_the_checkout(installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recording = ROOT / "tests/data/parity/soft_min.npz"
    assert "parameters/critic" in installed.succeed("dac", "parity", str(recording))
