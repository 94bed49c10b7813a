"""Run by fake interpreters: takes `<version> <name>` and a Python's command line, and acts as that Python would.

Its `-m venv` makes another fake; every other `-m`, and every program of .venv, is noted in calls.txt, and fails where
FAKE_FAILS names it.
"""

import os
import runpy
import shutil
import sys
from collections import namedtuple
from pathlib import Path

version, name, *arguments = sys.argv[1:]
text, *faults = version.split("-")
sys.version_info = namedtuple("version_info", "major minor micro")(*map(int, text.split(".")))
sys.executable = sys._base_executable = name
if faults:
    sys.modules["ensurepip"] = None  # as Debian's python3 without python3-venv

import platform  # noqa: E402

platform.python_version = lambda: text

if arguments[0].startswith(".venv/bin/"):
    arguments[:1] = ["-m", Path(arguments[0]).name]
if arguments[0] == "-c":
    exec(arguments[1])
elif arguments[0] == "-m":
    with Path("calls.txt").open("a") as calls:
        calls.write(" ".join(arguments[1:]) + "\n")
    if arguments[1] == os.environ.get("FAKE_FAILS"):
        sys.exit(3)
    if arguments[1] == "venv":
        if "--clear" in arguments:
            shutil.rmtree(arguments[-1], ignore_errors=True)
        program = Path(arguments[-1], "bin/python")
        program.parent.mkdir(parents=True, exist_ok=True)
        Path(arguments[-1], "lib/python3/site-packages").mkdir(parents=True, exist_ok=True)
        program.write_text(Path(name).read_text())
        program.chmod(0o755)
else:
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")
