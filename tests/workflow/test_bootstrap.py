"""`make quick` and its like on machines with other Pythons than the tested ones, or without make."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from project import ROOT, TIMEOUT, environment, new_project

SCRIPT = "workflow/bootstrap.py"
MAKE = shutil.which("make")
FAKE = Path(__file__).with_name("fake_python.py")
INSTALL = "pip install --quiet --constraint constraints.txt --editable .[dev]"
ADVICE = (
    "; this project is tested with Python 3.11 and 3.12. Install one (Debian/Ubuntu: `sudo apt install python3.11 "
    "python3.11-venv`, macOS: `brew install python@3.11`, anywhere: `uv python install 3.11`) and start again, or name "
    "one: "
)
NAMED_FOR_MAKE = "make lint PYTHON=/path/to/python3.11"
NAMED_FOR_SCRIPT = f"PYTHON=/path/to/python3.11 python3 {SCRIPT} lint"
SET_UP = ["venv --clear .venv", INSTALL]
LINT = [
    "ruff check .",
    "ruff format --check .",
    "mypy",
    "lint-imports --no-logo --no-cache",
    "snakefmt --check Snakefile workflow",
]

with_make = pytest.mark.skipif(MAKE is None, reason="there is no make")


class Machine:
    """A checkout in a path with spaces, and a PATH of fake interpreters."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "pro grams"
        self.programs.mkdir()
        self.root = folder / "a b" / "c d"
        for name in ("Makefile", SCRIPT, "pyproject.toml", "constraints.txt"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.variables: dict[str, str] = {}

    def add(self, name: str, version: str) -> Path:
        """A fake interpreter in PATH; `-` behind the version: without ensurepip."""
        program = self.programs / name
        command = f'exec {shlex.quote(sys.executable)} {shlex.quote(str(FAKE))} {version} "$0" "$@"'
        program.write_text(f"#!/bin/sh\n{command}\n")
        program.chmod(0o755)
        return program

    def start(self, *command: str | Path) -> tuple[int, str, str]:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.root,
            env={"PATH": str(self.programs), **self.variables},
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        return done.returncode, done.stdout, done.stderr

    def make(self, *arguments: str) -> tuple[int, str, str]:
        assert MAKE
        return self.start(MAKE, "-s", *arguments)

    def script(self, python: str, target: str) -> tuple[int, str, str]:
        return self.start(self.programs / python, SCRIPT, target)

    def calls(self) -> list[str]:
        """What was run with `python -m` since the last look."""
        path = self.root / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    @property
    def stamp(self) -> Path:
        return self.root / ".venv/.installed"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def first_line(error: str) -> str:
    """The message; make says behind it which target failed."""
    return error.splitlines()[0]


def test_an_old_python_can_read_the_script() -> None:
    ast.parse((ROOT / SCRIPT).read_text(), feature_version=(3, 6))


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse((ROOT / SCRIPT).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names
    assert "__future__" not in names  # its annotations need Python 3.7


OTHERS = {
    "only 3.9": ({"python3": "3.9.2"}, "python3 is Python 3.9.2"),
    "3.13 by one name": ({"python3.13": "3.13.4"}, "python3.13 is Python 3.13.4"),
    "several": (
        {"python3": "3.10.4", "python": "2.7.18", "python3.13": "3.13.0"},
        "python3 is Python 3.10.4, python is Python 2.7.18, python3.13 is Python 3.13.0",
    ),
}


@with_make
@pytest.mark.parametrize("case", OTHERS)
def test_only_others_are_here(machine: Machine, case: str) -> None:
    pythons, found = OTHERS[case]
    for name, version in pythons.items():
        machine.add(name, version)
    status, _, error = machine.make("lint")
    assert (status, first_line(error)) == (2, found + ADVICE + NAMED_FOR_MAKE)
    assert machine.calls() == []


@with_make
def test_none_is_here(machine: Machine) -> None:
    machine.add("python", "2.7.18")  # cannot read the script
    status, _, error = machine.make("lint")
    expected = "No Python 3 is in PATH" + ADVICE.replace("`", "'") + NAMED_FOR_MAKE
    assert (status, first_line(error)) == (2, expected)


@with_make
def test_a_name_that_does_not_start_is_passed_over(machine: Machine) -> None:
    """As pyenv's programs of versions that are not chosen."""
    machine.add("python3.11", "3.11.9").write_text("#!/bin/sh\necho not chosen >&2\nexit 127\n")
    machine.add("python3", "3.13.4")
    status, _, error = machine.make("lint")
    assert (status, first_line(error)) == (2, "python3 is Python 3.13.4" + ADVICE + NAMED_FOR_MAKE)


@with_make
@pytest.mark.parametrize("name", ["python3.11", "python3", "python"])
def test_the_first_tested_one_is_used_whatever_its_name(machine: Machine, name: str) -> None:
    machine.add("python3.12", "3.12.4")
    path = machine.add(name, "3.11.9")
    status, output, error = machine.make("lint")
    assert (status, error) == (0, "")
    assert f"Setting up .venv with {path} (Python 3.11.9): " in output
    assert machine.calls() == SET_UP + LINT


@with_make
def test_the_second_tested_one_is_used_where_the_first_is_not_here(machine: Machine) -> None:
    machine.add("python3", "3.13.0")
    path = machine.add("python3.12", "3.12.4")
    status, output, error = machine.make("lint")
    assert (status, error) == (0, "")
    assert f"Setting up .venv with {path} (Python 3.12.4): " in output
    assert machine.calls() == SET_UP + LINT


def test_without_make(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    status, output, error = machine.script("python3", "lint")
    assert (status, error) == (0, "")
    assert output.splitlines()[1:] == LINT
    assert machine.calls() == SET_UP + LINT
    machine.script("python3", "test")
    machine.script("python3", "quick")
    assert machine.calls() == [
        "pytest -n auto --dist loadgroup",
        "dac watch snakemake quick --cores all --show-failed-logs --quiet host reason",
        "dac claims quick",
    ]


def test_without_make_and_only_another(machine: Machine) -> None:
    machine.add("python3", "3.8.10")
    assert machine.script("python3", "lint") == (1, "", f"python3 is Python 3.8.10{ADVICE}{NAMED_FOR_SCRIPT}\n")


def test_an_unknown_target(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    assert machine.script("python3", "qick") == (
        2,
        "",
        f"python3 {SCRIPT}: one of setup, slurm-env, quick, test, gpu-check, lint\n",
    )


@with_make
def test_a_named_one_is_used(machine: Machine) -> None:
    machine.add("python3", "3.12.4")
    elsewhere = machine.root / "my python"
    machine.add("python3.11", "3.11.9").rename(elsewhere)
    status, output, _ = machine.make("lint", f"PYTHON={elsewhere}")
    assert status == 0
    assert f"Setting up .venv with {elsewhere} (Python 3.11.9): " in output


@with_make
def test_a_named_one_that_does_not_fit(machine: Machine) -> None:
    """It is not replaced in silence by one that does."""
    machine.add("python3.11", "3.11.9")
    machine.add("python3.13", "3.13.0")
    status, _, error = machine.make("lint", "PYTHON=python3.13")
    assert (status, first_line(error)) == (2, "python3.13 is Python 3.13.0" + ADVICE + NAMED_FOR_MAKE)
    status, _, error = machine.make("lint", "PYTHON=/nowhere/python")
    found = "PYTHON=/nowhere/python: no such program, or none that starts"
    assert (status, first_line(error)) == (2, found + ADVICE + NAMED_FOR_MAKE)
    assert machine.calls() == []


@with_make
def test_without_ensurepip(machine: Machine) -> None:
    machine.add("python3.12", "3.12.4-")
    assert "`sudo apt install python3.12-venv`" in machine.make("lint")[2]
    machine.add("python3.11", "3.11.2-")
    status, _, error = machine.make("lint")
    assert status == 2
    assert first_line(error) == (
        "python3.11 is Python 3.11.2, but without the modules venv and ensurepip, which make .venv. Install them "
        "(Debian/Ubuntu: `sudo apt install python3.11-venv`) and start again, or name another one: " + NAMED_FOR_MAKE
    )
    machine.add("python3", "3.11.9")
    assert machine.make("lint")[0] == 0


def test_it_is_set_up_again_only_where_the_pins_changed(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    machine.script("python3", "setup")
    assert machine.calls() == SET_UP
    assert machine.script("python3", "setup") == (0, "", "")
    assert machine.calls() == []
    for name in ("pyproject.toml", "constraints.txt"):
        later = machine.stamp.stat().st_mtime + 10
        os.utime(machine.root / name, (later, later))
        machine.script("python3", "setup")
        assert machine.calls() == ["venv .venv", INSTALL]
        os.utime(machine.stamp, (later, later))


def test_a_failed_install_is_tried_again(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    machine.variables = {"FAKE_FAILS": "pip"}
    status, _, error = machine.script("python3", "lint")
    assert status == 1
    assert error.startswith("pip could not install the packages for ")
    assert error.endswith(
        "its own message stands above. If it found no matching distribution, a package is not made for this system, or "
        "the package index that pip asks lacks it; if it got no answer, it needs the network. The environment is not "
        "finished: the same command tries again.\n"
    )
    assert machine.calls() == SET_UP
    machine.variables = {}
    assert machine.script("python3", "lint")[0] == 0
    assert machine.calls() == ["venv .venv", INSTALL, *LINT]

    # Also where an earlier one succeeded.
    os.utime(machine.stamp, (0, 0))
    machine.variables = {"FAKE_FAILS": "pip"}
    assert machine.script("python3", "lint")[0] == 1
    assert not machine.stamp.exists()


def test_the_environment_of_a_cluster_is_one_beside_it(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    plugin = "pip install --quiet --constraint constraints.txt snakemake-executor-plugin-slurm"
    made = ["venv --clear .venv-slurm", plugin]
    assert machine.script("python3", "slurm-env")[0] == 0
    assert machine.calls() == [*SET_UP, *made]
    programs = machine.root / ".venv-slurm/bin"
    machine.start(programs / "dac", "plan", "a b")
    assert machine.calls() == ["dac plan a b"]
    (packages,) = machine.root.glob(".venv-slurm/lib/python*/site-packages/venv.pth")
    assert str(machine.root / ".venv/lib") in packages.read_text()
    # Anew each time, and .venv stays.
    assert machine.script("python3", "slurm-env")[0] == 0
    assert machine.calls() == made
    machine.variables = {"FAKE_FAILS": "pip"}
    status, _, error = machine.script("python3", "slurm-env")
    assert (status, machine.stamp.exists()) == (1, True)
    assert error.startswith("pip could not install snakemake-executor-plugin-slurm; its own message stands above. ")


def test_a_folder_that_was_moved_is_set_up_anew(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    machine.script("python3", "setup")
    machine.root = machine.root.rename(machine.root.with_name("e f"))
    machine.calls()
    assert machine.script("python3", "setup")[0] == 0
    assert machine.calls() == SET_UP


def test_an_environment_whose_python_is_gone_is_made_anew(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    machine.script("python3", "setup")
    machine.calls()
    python = machine.root / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert machine.script("python3", "setup")[0] == 0
    assert machine.calls() == SET_UP


def test_an_environment_of_another_python_is_left_alone(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    other = machine.root / ".venv/bin/python"
    other.parent.mkdir(parents=True)
    machine.add("python3.13", "3.13.4").rename(other)
    assert machine.script("python3", "lint") == (
        1,
        "",
        ".venv/bin/python is Python 3.13.4, but this project is tested with Python 3.11 and 3.12. Remove or rename the "
        "folder .venv and start again.\n",
    )
    assert machine.calls() == []


def test_the_first_command_that_fails_ends_it(machine: Machine) -> None:
    machine.add("python3", "3.11.9")
    machine.variables = {"FAKE_FAILS": "mypy"}
    assert machine.script("python3", "lint")[0] == 3
    assert machine.calls() == SET_UP + LINT[:3]


SIGNALS = {
    # Ctrl-C reaches both; what the command does then is its own matter, and its status the answer.
    "SIGINT": ("os.kill(os.getppid(), signal.SIGINT); sys.exit(7)", 7),
    "SIGTERM": ("os.kill(os.getppid(), signal.SIGTERM); signal.pause()", 128 + 15),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_ends_a_command_in_its_own_way(name: str) -> None:
    code, expected = SIGNALS[name]
    command = [sys.executable, "-c", f"import os, signal, sys; {code}"]
    parent = f"import runpy, sys; sys.exit(runpy.run_path({SCRIPT!r})['run']({command!r}, {{}}))"
    done = subprocess.run([sys.executable, "-c", parent], cwd=ROOT, check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (expected, b"")


@pytest.mark.workflow
def test_a_study_in_a_path_with_all_that_a_shell_heeds(tmp_path: Path) -> None:
    """The whole of `quick` on the miniature study; .venv borrows the packages of the tests' environment.

    Neither the folder's name nor a title or a variant's name is ever a command.
    """
    project = new_project(tmp_path / "a b" / '-it\'s $(touch pwned) `touch pwned`; touch pwned & "c" {d} *')
    content = yaml.safe_load((Path(__file__).parent / "params.yaml").read_text())
    content["experiments"]["single"]["claims"] = [
        {"says": "DAC is above the data", "higher": {"variant": "dac"}, "lower": "data"}
    ]
    content["experiments"]["single"]["title"] = "$(touch pwned); `touch pwned` 'x"
    content["studies"] = {"quick": content["studies"]["other"]}
    content["dvc_study"] = "quick"
    (project.path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    shutil.copy(ROOT / "constraints.txt", project.path)
    project.git("init", "--quiet")

    venv = project.path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=TIMEOUT)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    snakemake = venv / "bin/snakemake"
    snakemake.write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m snakemake "$@"\n')
    snakemake.chmod(0o755)
    (venv / ".installed").write_text(str(project.path.resolve()))

    command = [sys.executable, SCRIPT, "quick"]
    done = subprocess.run(
        command, cwd=project.path, env=environment(), check=False, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DAC is above the data (replay): " in done.stdout
    assert done.stdout.splitlines()[-1] == "Read results/quick/README.md"
    assert (project.path / "results/quick/README.md").exists()
    assert not list(tmp_path.rglob("pwned"))
