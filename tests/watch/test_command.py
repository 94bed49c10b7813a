"""The display, with commands that say what Snakemake says."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console
from terminal import CTRL_C, on_terminal, once

from dac.system.progress import Progress
from dac.watch.command import project_of
from dac.watch.screen import Display, cells

ROOT = Path(__file__).parents[2]
SECONDS = 120.0
WATCH = (sys.executable, "-m", "dac", "watch")

# Jobs of a project that are told of by one process, until it is told to go on or to stop.
COMMAND = """
import signal, sys, time
from pathlib import Path
from dac.system.progress import Bar, announced

def stop(number, frame):
    print("Error in rule train:\\n    jobid: 1\\n    log: logs/a (check log file(s) for error details)", flush=True)
    with Path("signals").open("a") as stream:
        stream.write(f"{number}\\n")
    raise SystemExit(3)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
print("Job stats:\\ntotal 4\\nJob 1: Train a\\n1 of 4 steps (25%) done", flush=True)
with announced("train a", (0.0, 10.0)), Bar(total=2000, unit="step", initial=500, disable=True) as bar:
    bar.evaluated(7.0)
    while not Path("go-on").exists():
        time.sleep(0.01)
        bar.update(0)
print("4 of 4 steps (100%) done", flush=True)
print("dvc.lock: recorded runs.", flush=True)
"""


@pytest.fixture
def environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def visible(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def the_log(folder: Path) -> Path:
    (log,) = (folder / "logs/watch").iterdir()
    return log


def test_jobs_are_shown_while_they_run(tmp_path: Path, environment: Mapping[str, str]) -> None:
    def typed(shown: str) -> None:
        if "score 70.0" in shown:
            (tmp_path / "go-on").touch()

    status, shown = on_terminal((*WATCH, sys.executable, "-c", COMMAND), tmp_path, environment, SECONDS, typed)
    assert status == 0
    lines = [line.strip() for line in visible(shown).replace("\r", "\n").splitlines()]
    assert any(re.fullmatch(r"\S+ 1 of 4 jobs, \d+:\d\d", line) for line in lines), shown
    assert any(re.fullmatch(r"train a 500/2,000 +score 70\.0", line) for line in lines), shown
    ending = [line for line in lines if line][-2:]
    assert ending[0] == "dvc.lock: recorded runs."
    assert re.fullmatch(rf"4 of 4 jobs in \d+:\d\d\. All lines: {the_log(tmp_path).relative_to(tmp_path)}", ending[1])
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # the cursor is there
    assert "Job 1: Train a" not in shown
    assert "Job 1: Train a" in the_log(tmp_path).read_text()


def test_ctrl_c_ends_the_command_once(tmp_path: Path, environment: Mapping[str, str]) -> None:
    sent = []

    def typed(shown: str) -> bytes | None:
        if "score 70.0" not in shown or sent:
            return None
        sent.append(CTRL_C)
        return CTRL_C

    status, shown = on_terminal((*WATCH, sys.executable, "-c", COMMAND), tmp_path, environment, SECONDS, typed)
    assert status == 3
    assert (tmp_path / "signals").read_text() == f"{signal.SIGINT}\n"
    assert "Stopped after 1 of 4 jobs in " in visible(shown)
    assert "Failed" not in visible(shown)
    assert "The same command goes on from there." in visible(shown)
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_sigterm_is_passed_on(tmp_path: Path, environment: Mapping[str, str]) -> None:
    sent = []

    def typed(shown: str) -> None:
        if "score 70.0" in shown and not sent:
            parent = f"import os, signal; os.kill({_parent_of_the_job(tmp_path)}, signal.SIGTERM)"
            sent.append(subprocess.run([sys.executable, "-c", parent], check=True))

    status, _ = on_terminal((*WATCH, sys.executable, "-c", COMMAND), tmp_path, environment, SECONDS, typed)
    assert status == 3
    assert (tmp_path / "signals").read_text() == f"{signal.SIGTERM}\n"


def _parent_of_the_job(folder: Path) -> int:
    """The display's process, which started the one that announced itself."""
    (file,) = (folder / "work/progress").glob("*.json")
    status = Path(f"/proc/{file.stem.rpartition('.')[2]}/stat").read_text()
    return int(status.rpartition(")")[2].split()[1])


def test_what_has_no_jobs_is_printed_as_it_is(tmp_path: Path, environment: Mapping[str, str]) -> None:
    command = (*WATCH, "sh", "-c", "echo Nothing to be done; echo an error >&2; exit 5")
    status, shown = on_terminal(command, tmp_path, environment, SECONDS)
    assert (status, shown) == (5, "Nothing to be done\r\nan error\r\n")


@pytest.mark.parametrize("terminal", ["none", "dumb"])
def test_without_a_terminal_the_command_prints_its_lines(
    tmp_path: Path, environment: Mapping[str, str], terminal: str
) -> None:
    command = (*WATCH, "sh", "-c", "echo total 4; echo 4 of 4 steps; exit 7")
    if terminal == "none":
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (7, "total 4\n4 of 4 steps\n")
    else:
        status, shown = on_terminal(("env", "TERM=dumb", *command), tmp_path, environment, SECONDS)
        assert (status, shown) == (7, "total 4\r\n4 of 4 steps\r\n")
    assert not (tmp_path / "logs").exists()


def test_what_it_starts_may_draw(tmp_path: Path, environment: Mapping[str, str]) -> None:
    """No renderer is taken from the command's jobs, of which the page's draws a film, nor is the user's choice."""
    for chosen in ({}, {"MUJOCO_GL": "osmesa"}):
        asked = {name: value for name, value in environment.items() if name != "MUJOCO_GL"} | chosen
        command = [*WATCH, "sh", "-c", "echo ${MUJOCO_GL-unset}"]
        ended = subprocess.run(command, cwd=tmp_path, env=asked, capture_output=True, text=True, check=True)
        assert ended.stdout == f"{chosen.get('MUJOCO_GL', 'unset')}\n"


def test_a_command_that_does_not_exist(tmp_path: Path, environment: Mapping[str, str]) -> None:
    ended = subprocess.run(
        [*WATCH, "snakemke"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("dac: dac watch: found 'snakemke', which is no program here;")


def test_where_nothing_runs(tmp_path: Path, environment: Mapping[str, str]) -> None:
    ended = subprocess.run(WATCH, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "Nothing runs in this project.\n")


def test_ctrl_c_ends_what_only_looks(tmp_path: Path, environment: Mapping[str, str]) -> None:
    status, shown = on_terminal(WATCH, tmp_path, environment, SECONDS, once(CTRL_C, "Nothing runs"))
    assert status == 0
    assert "interrupted" not in shown


def test_the_project_of_a_command() -> None:
    assert project_of(["snakemake", "zoo", "--directory", "benchmarks/zoo"]) == Path("benchmarks/zoo")
    assert project_of(["snakemake", "zoo", "-d", "a b", "--cores", "all"]) == Path("a b")
    assert project_of(["snakemake", "zoo", "--cores", "all"]) == Path()


def test_a_jobs_line() -> None:
    assert cells(Progress("a")) == ("a", "starting", "", "", "")
    trained = Progress("train a", (0.0, 200.0), 12_500, 20_000, "step", 412.3, 90.0)
    assert cells(trained) == ("train a", "12,500/20,000", "412/s", "score 45.0", "0:18 left")
    fetched = Progress("fetch a", None, 5_000_000, 20_000_000, "B", 2_500_000.0)
    assert cells(fetched) == ("fetch a", "5.00MB/20.0MB", "2.50MB/s", "", "0:06 left")
    assert cells(Progress("evaluate a", None, 1, 10, "policy", 0.25))[1:3] == ("1/10", "0.2/s")


def test_a_narrow_terminal_cuts_names_and_nothing_else() -> None:
    job = Progress("train halfcheetah-quick hard-H2-lcb0 0-1-2", (0.0, 200.0), 12_500, 20_000, "step", 412.3, 90.0)
    with io.StringIO() as stream:
        display = Display()
        display.console = Console(file=stream, width=60, force_terminal=True, color_system=None)
        with display:
            display.draw([job], "8 of 22 jobs, 1:15, stopping, states are saved", 0.5)
        lines = visible(stream.getvalue()).splitlines()
    row, cut = "train halfcheetah-… 12,500/20,000 412/s score 45.0 0:18 left", "8 of 22 jobs, 1:15, stopping, stat…"
    assert {line.rstrip() for line in lines if "train" in line} == {row}
    assert {line[25:].rstrip() for line in lines if "jobs" in line} == {cut}
