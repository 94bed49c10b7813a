"""`dac fetch --all`: side by side, from servers on this machine and files on it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from faulty_server import Server, running
from terminal import on_terminal
from tiny import Project, write_rows

from dac.cli import main

ROOT = Path(__file__).parents[2]
SECONDS = 120.0
FETCH = (sys.executable, "-m", "dac", "fetch", "--all")
DOOR, HAND = "d4rl:relocate-expert-v1", "d4rl:relocate-human-v1"  # any file will do: they have no published sha256


@pytest.fixture
def environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def served(project: Project) -> Iterator[Server]:
    """A mirror with every file; a project of three tasks and a study with two of them, one with data of its own."""
    write_rows(Path("served.hdf5"), observation_dim=39)
    project.set("tasks.hand", {"dataset": HAND}).set("tasks.again", {"dataset": HAND})
    project.set("tasks.door", {"dataset": DOOR})
    project.set(
        "experiments.hands", {"title": "Hands", "tasks": ["again", "hand", "pendulum"], "variants": {"soft": {}}}
    )
    project.set("studies.hands", {"experiments": ["hands"], "seeds": [0]})
    with running(Path("served.hdf5").read_bytes()) as server:
        project.set("compute.d4rl_mirrors", [server.root]).load()
        yield server


def fetch(environment: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*FETCH, *arguments], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_the_data_of_a_study_are_fetched_once_each(served: Server, environment: Mapping[str, str]) -> None:
    status, out, err = fetch(environment, "hands")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [
        f"{HAND}: begun, its log is logs/fetch/again.log",
        "file:data/pendulum.hdf5: begun, its log is logs/fetch/pendulum.log",
    ]
    assert sorted(lines[2:4]) == [f"{HAND}: is here", "file:data/pendulum.hdf5: is here"]
    assert lines[4] == "Datasets: 2 fetched, 0 here already or made here."
    assert f"{HAND} is in data/datasets/" in Path("logs/fetch/again.log").read_text()
    assert len(served.ranges) == 1
    status, out, err = fetch(environment, "hands")
    assert (status, out) == (0, "Datasets: 0 fetched, 2 here already or made here.\n")


def test_one_that_fails_does_not_stop_the_others(served: Server, environment: Mapping[str, str]) -> None:
    """Also where one at a time is fetched, and the first is the one that fails."""
    Path("data/pendulum.hdf5").write_bytes(b"no data")
    status, out, err = fetch(environment, "--jobs", "1")
    assert status == 1
    assert [line.partition(": ")[::2] for line in out.splitlines()] == [
        ("file:data/pendulum.hdf5", "begun, its log is logs/fetch/pendulum.log"),
        ("file:data/pendulum.hdf5", "failed, see logs/fetch/pendulum.log"),
        (HAND, "begun, its log is logs/fetch/hand.log"),
        (HAND, "is here"),
        (DOOR, "begun, its log is logs/fetch/door.log"),
        (DOOR, "is here"),
    ]
    head, item, *rest = err.splitlines()
    assert head == "dac: 1 of 3 datasets could not be had:"
    assert item.startswith("  - file:data/pendulum.hdf5: data/pendulum.hdf5: not readable as HDF5")
    assert rest[0] == "    its log: logs/fetch/pendulum.log"
    assert rest[1:] == ["Run the same again when that is mended; what is here is not fetched again."]


def test_they_are_fetched_side_by_side(served: Server, environment: Mapping[str, str]) -> None:
    """Neither answer comes before both were asked for."""
    served.together = 2
    status, _, err = fetch(environment, "--jobs", "3")
    assert (status, err) == (0, "")
    assert len(served.ranges) == 2


def visible(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n")


def test_one_display_shows_them(served: Server, environment: Mapping[str, str]) -> None:
    served.hold.clear()
    row = r"(?m)^fetch {} +\S+B?/\S+B\b"

    def typed(shown: str) -> None:
        if all(re.search(row.format(dataset), visible(shown)) for dataset in (HAND, DOOR)):
            served.hold.set()

    status, shown = on_terminal(FETCH, Path.cwd(), environment, SECONDS, typed)
    assert status == 0, shown
    assert served.hold.is_set(), shown
    lines = [line.strip() for line in visible(shown).splitlines()]
    assert any(re.fullmatch(r"\S+ [01] of 3 datasets, \d+:\d\d", line) for line in lines), shown
    assert f"{DOOR}: is here" in lines
    assert [line for line in lines if line][-1] == "Datasets: 3 fetched, 1 here already or made here."


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_and_what_has_arrived_is_used(
    served: Server, environment: Mapping[str, str], number: signal.Signals
) -> None:
    served.hold.clear()
    command = [*FETCH, "hands"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    partial, until = Path("data/d4rl/.relocate-human-v1.hdf5.part"), time.monotonic() + SECONDS
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    assert err == "dac: stopped; what has arrived is kept, and the same command goes on from there\n"
    served.hold.set()
    status, _, err = fetch(environment, "hands")
    assert (status, err) == (0, "")
    assert served.ranges[1] is not None


def test_what_it_is_told_is_checked(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.load()
    for arguments, said in [
        (["--all", "tyny"], "params.yaml: no study 'tyny'; allowed: tiny. Did you mean 'tiny'?"),
        (["--all", "--jobs", "0"], "--jobs: found 0; allowed are numbers from 1 on."),
        ([], "dac fetch: found no name; give a task, one of D4RL's ids, minari:<id>, or --all."),
    ]:
        assert main(["fetch", *arguments]) == 1
        assert capsys.readouterr().err == f"dac: {said}\n"
