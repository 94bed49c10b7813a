"""What `make quick`, `test`, `lint`, `gpu-check`, `slurm-env` do; without make, `python3 workflow/bootstrap.py quick`.

It makes .venv and installs the pinned packages in it, unless that is done, and runs the target's commands there.

Any Python from 3.6 on can read this file, with the standard library alone: on a machine without a Python that the
project is tested with, it must still be able to say so.
"""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(".venv")
SLURM_VENV = Path(".venv-slurm")
STAMP = VENV / ".installed"  # holds the folder that .venv was made in: a moved one does not work
PINS = (Path("pyproject.toml"), Path("constraints.txt"))

TESTED = ("3.11", "3.12")  # the first of these that is here makes .venv
ADVISED, BOTH = TESTED[0], " and ".join(TESTED)
# The untested ones are looked at to say what is here.
NAMES = ("python3.11", "python3.12", "python3", "python", "python3.14", "python3.13", "python3.10", "python3.9")

COMMANDS: Dict[str, List[str]] = {
    "setup": [],
    "slurm-env": [],
    "quick": [
        "dac watch snakemake quick --cores all --show-failed-logs --quiet host reason",
        "dac claims quick",
    ],
    "test": ["pytest -n auto --dist loadgroup"],
    "gpu-check": ["dac gpu-check"],
    "lint": [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "lint-imports --no-logo --no-cache",
        "snakefmt --check Snakefile workflow",
    ],
}
# Snakemake's plugin for Slurm asks the cluster for its configuration at each start: it is no part of .venv.
SLURM_PLUGIN = "snakemake-executor-plugin-slurm"
SLURM_PROGRAMS = ("snakemake", "dac", "dvc")
PROGRAMS = ("lint-imports",)  # that are no module
UNANNOUNCED = ("quick",)  # its commands say themselves what they do

# Python 2 answers this, too. An environment's own Python names the one that it was made with.
PROBE = """
import platform, sys
print(platform.python_implementation())
print(platform.python_version())
print(getattr(sys, "_base_executable", None) or sys.executable)
try:
    import ensurepip, venv
    print("whole")
except ImportError:
    print("no ensurepip")
"""


class SetUpError(Exception):
    """What was found on this machine, and what to do about it, in a line."""


class Python(NamedTuple):
    """An interpreter that answered: the name it was asked for by, and what it says of itself."""

    name: str
    implementation: str
    version: str
    path: str
    whole: bool

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    @property
    def fits(self) -> bool:
        return self.implementation == "CPython" and self.minor in TESTED

    def __str__(self) -> str:
        language = "Python" if self.implementation == "CPython" else self.implementation
        return f"{self.name} is {language} {self.version}"


def ask(name: str) -> Optional[Python]:
    """The interpreter of that name or path; None if there is none, or it does not start."""
    try:
        answer = subprocess.check_output([name, "-c", PROBE], stderr=subprocess.DEVNULL).decode()
    except (OSError, subprocess.CalledProcessError):
        return None
    lines = answer.splitlines()
    return Python(name, lines[0], lines[1], lines[2], lines[3] == "whole") if len(lines) == 4 else None


def find_python(target: str) -> Python:
    """The Python to make .venv with: the one that the variable PYTHON names, else the first of TESTED in PATH.

    Raises:
        SetUpError: there is none.
    """
    named = os.environ.get("PYTHON")
    names = [named] if named else [sys.executable, *NAMES]
    found = [python for python in map(ask, names) if python]
    fitting = sorted((python for python in found if python.fits), key=lambda python: TESTED.index(python.minor))
    for python in fitting:
        if python.whole:
            return python
    if fitting:
        raise SetUpError(
            f"{distinct(fitting)[0]}, but without the modules venv and ensurepip, which make .venv. Install them "
            f"(Debian/Ubuntu: `sudo apt install python{fitting[0].minor}-venv`) and start again, or name another one: "
            f"{naming(target)}"
        )
    if named and not found:
        here = f"PYTHON={named}: no such program, or none that starts"
    elif found:
        here = ", ".join(map(str, distinct(found)))
    else:
        here = "No Python 3 is in PATH"
    raise SetUpError(
        f"{here}; this project is tested with Python {BOTH}. Install one (Debian/Ubuntu: `sudo apt "
        f"install python{ADVISED} python{ADVISED}-venv`, macOS: `brew install python@{ADVISED}`, anywhere: `uv python "
        f"install {ADVISED}`) and start again, or name one: {naming(target)}"
    )


def distinct(found: List[Python]) -> List[Python]:
    """Each interpreter once, by the name that a user knows it by: python3 and python are often the same."""
    by_path = {}  # type: Dict[str, Python]
    for python in sorted(found, key=lambda python: python.name == sys.executable):
        by_path.setdefault(os.path.realpath(python.path), python)
    return list(by_path.values())


def naming(target: str) -> str:
    """The command that names a Python for a target, as the user called it."""
    path = f"PYTHON=/path/to/python{ADVISED}"
    if "MAKELEVEL" in os.environ:
        return f"make {target} {path}"
    return f"{path} python3 workflow/bootstrap.py {target}"


def is_ready() -> bool:
    """Whether .venv was made in this folder, works, and has what pyproject.toml and constraints.txt say."""
    if not STAMP.exists() or not venv_python().exists() or STAMP.read_text() != str(ROOT):
        return False
    return all(pins.stat().st_mtime <= STAMP.stat().st_mtime for pins in PINS)


def venv_python() -> Path:
    return VENV / "bin" / "python"


def set_up(target: str) -> None:
    """Make .venv and install in it; one that another folder or a lost Python left is made anew.

    Raises:
        SetUpError: there is no Python for it, a .venv of another Python is in the way, or a step failed.
    """
    python = find_python(target)
    present = ask(str(venv_python()))
    if present and not present.fits:
        raise SetUpError(
            f"{present}, but this project is tested with Python {BOTH}. Remove or rename the folder "
            ".venv and start again."
        )
    moved = STAMP.exists() and STAMP.read_text() not in ("", str(ROOT))
    anew = ["--clear"] if moved or not present else []
    if STAMP.exists():
        STAMP.unlink()
    print(
        f"Setting up .venv with {python.path} (Python {python.version}): pip installs what constraints.txt pins, a few "
        "GB, in some minutes.",
        flush=True,
    )
    step([python.path, "-m", "venv", *anew, str(VENV)], f"{python.name} could not make .venv")
    install = "-m pip install --quiet --constraint constraints.txt --editable .[dev]"
    step(
        [str(venv_python()), *install.split()],
        f"pip could not install the packages for {platform.system()} {platform.machine()}",
        "If it found no matching distribution, a package is not made for this system, or the package index that pip "
        "asks lacks it; if it got no answer, it needs the network. ",
    )
    STAMP.write_text(str(ROOT))


def set_up_slurm() -> None:
    """Make .venv-slurm anew: .venv's packages and programs, with the plugin for Slurm.

    Raises:
        SetUpError: a step failed.
    """
    step([str(venv_python()), "-m", "venv", "--clear", str(SLURM_VENV)], ".venv could not make .venv-slurm")
    (packages,) = (ROOT / VENV).glob("lib/python*/site-packages")
    (own,) = SLURM_VENV.glob("lib/python*/site-packages")
    (own / "venv.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n")
    python = str(SLURM_VENV / "bin" / "python")
    install = ["-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", SLURM_PLUGIN]
    step([python, *install], "pip could not install " + SLURM_PLUGIN)
    for name in SLURM_PROGRAMS:
        program = SLURM_VENV / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "${{0%/*}}/python" -m {name} "$@"\n')
        program.chmod(0o755)


def step(command: List[str], failure: str, hint: str = "") -> None:
    """Run a step of the set-up.

    Raises:
        SetUpError: it failed.
    """
    # A user's pip.conf may ask for --user, which pip refuses in an environment.
    status = run(command, {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    if status != 0:
        raise SetUpError(
            f"{failure}; its own message stands above. {hint}The environment is not finished: the same command tries "
            "again."
        )


def run(command: List[str], variables: Dict[str, str]) -> int:
    """The exit status of a command, 128 + n where signal n ended it.

    A terminal sends SIGINT and SIGQUIT to the command by itself, which may have work to save: it is waited for. SIGTERM
    is passed on.
    """
    child = None  # type: Optional[subprocess.Popen[bytes]]

    def handle(signum: int, _: object) -> None:
        if signum == signal.SIGTERM and child:
            child.send_signal(signum)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)}
    try:
        child = subprocess.Popen(command, env={**os.environ, **variables})
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def main(arguments: List[str]) -> int:
    """Set up and run a target's commands up to the first that fails; returns the exit status."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print("python3 workflow/bootstrap.py: one of {}".format(", ".join(COMMANDS)), file=sys.stderr)
        return 2
    if os.name != "posix":
        print("This project runs on Linux and macOS; on Windows, in WSL.", file=sys.stderr)
        return 1
    (target,) = arguments
    os.chdir(str(ROOT))
    try:
        if not is_ready():
            set_up(target)
        if target == "slurm-env":
            set_up_slurm()
    except SetUpError as problem:
        print(problem, file=sys.stderr)
        return 1
    # Of .venv's programs, `dac watch` calls snakemake by its name. All else is given to Python, whatever a path with
    # spaces does to the first line of a script.
    folders = [str(ROOT / VENV / "bin"), os.environ.get("PATH", os.defpath)]
    for command in COMMANDS[target]:
        if target not in UNANNOUNCED:
            print(command, flush=True)
        name, *words = command.split()
        what = [str(VENV / "bin" / name)] if name in PROGRAMS else ["-m", name]
        status = run([str(venv_python()), *what, *words], {"PATH": os.pathsep.join(folders)})
        if status != 0:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
