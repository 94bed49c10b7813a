"""All data of a study at once: a process for each, side by side, and what they do on one display."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dac.study import store
from dac.study.params import Params
from dac.study.sources import source_of
from dac.study.task_data import dataset_of
from dac.system import durations, progress
from dac.system.errors import UserError, closest
from dac.system.paths import FETCH_LOGS
from dac.system.signals import Interrupted, StopRequest, stop_request
from dac.watch.command import LOOK_SECONDS, on_terminal
from dac.watch.snakemake_log import reason

Draw = Callable[[int, int], None]  # so many are done, of so many
Say = Callable[[str], None]


def fetch_all(params: Params, study: str | None, jobs: int) -> None:
    """Fetch what is not here of a study's data, or of all tasks; one that fails does not stop the others.

    Each is `dac fetch` in a process of its own, with a log. On a terminal one display shows them all, else a line is
    printed where one begins and ends.

    Args:
        jobs: most that are fetched side by side.

    Raises:
        UserError: no such study, or some could not be had; lists them with their reasons.
        Interrupted: SIGTERM or SIGINT came; the same call goes on from there.
    """
    wanted, others = _wanted(params, study)
    with _screen() as (draw, say), stop_request() as stop:
        failed = _run(wanted, jobs, draw, say, stop)
    if stop.signal is not None:
        raise Interrupted("stopped; what has arrived is kept, and the same command goes on from there", stop.signal)
    if failed:
        listed = "\n".join(f"  - {line}" for line in failed)
        raise UserError(
            f"{len(failed)} of {len(wanted)} datasets could not be had:\n{listed}\nRun the same again when that is "
            "mended; what is here is not fetched again."
        )
    print(f"Datasets: {len(wanted)} fetched, {others} here already or made here.")


def _wanted(params: Params, study: str | None) -> tuple[dict[str, str], int]:
    """A task for each dataset that is to be fetched, by its id; and how many datasets are not."""
    if study is not None and study not in params.studies:
        raise UserError(f"params.yaml: no study {study!r}; {closest(study, list(params.studies))}")
    names = list(params.tasks)
    if study is not None:
        names = [task for name in params.studies[study].experiments for task in params.experiments[name].tasks]
    tasks: dict[str, str] = {}
    for name in names:
        tasks.setdefault(params.tasks[name].dataset, name)
    wanted = {dataset: name for dataset, name in tasks.items() if not _is_here(params, name)}
    return wanted, len(tasks) - len(wanted)


def _is_here(params: Params, task: str) -> bool:
    source, _ = source_of(params.tasks[task].dataset)
    if source.made in ("collected", "drawn"):
        return True
    try:
        return store.folder_problem(dataset_of(params, task)) is None
    except UserError:
        return False  # `dac fetch` says what to do


def _run(wanted: dict[str, str], jobs: int, draw: Draw, say: Say, stop: StopRequest) -> list[str]:
    """Fetch all; returns a line for each that failed."""
    waiting, running, failed = list(wanted), dict[str, subprocess.Popen[bytes]](), list[str]()
    try:
        while (waiting or running) and not stop:
            while waiting and len(running) < jobs:
                dataset = waiting.pop(0)
                running[dataset] = _start(wanted[dataset])
                say(f"{dataset}: begun, its log is {_log(wanted[dataset])}")
            draw(len(wanted) - len(waiting) - len(running), len(wanted))
            time.sleep(LOOK_SECONDS)
            for dataset in [name for name, child in running.items() if child.poll() is not None]:
                if running.pop(dataset).returncode and not stop:
                    failed.append(f"{dataset}: {_why(_log(wanted[dataset]))}")
                    say(f"{dataset}: failed, see {_log(wanted[dataset])}")
                elif not stop:
                    say(f"{dataset}: is here")
    finally:
        for child in running.values():
            child.terminate()
        for child in running.values():
            child.wait()
    return failed


def _start(task: str) -> subprocess.Popen[bytes]:
    log = _log(task)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "dac", "fetch", task]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _log(task: str) -> Path:
    return FETCH_LOGS / f"{task}.log"


def _why(log: Path) -> str:
    """The message at the end of a log."""
    lines = [line.removeprefix("    ") for line in reason(log)] or ["it left no message"]
    return "\n    ".join([lines[0].removeprefix("dac: "), *lines[1:], f"its log: {log}"])


@contextlib.contextmanager
def _screen() -> Iterator[tuple[Draw, Say]]:
    """How far all are, and lines that stay; without a terminal the lines alone."""
    if not on_terminal():
        yield lambda done, total: None, lambda line: print(line, flush=True)
        return
    from dac.watch.screen import Display

    started = time.time()
    with Display() as display:

        def draw(done: int, total: int) -> None:
            heading = f"{done} of {total} datasets, {durations.clock(time.time() - started)}"
            display.draw(progress.running(Path(), since=started), heading, done / total)

        yield draw, display.say
