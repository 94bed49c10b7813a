"""The logs of jobs, logs/<step>/..., as the workflow's rules name them: which is a run's, and how it ends."""

from __future__ import annotations

import re
from pathlib import Path

from dac.study import seed_names
from dac.study.identity import Dataset, Run
from dac.system.errors import UserError
from dac.system.paths import LOGS

_ATTEMPT = "--- attempt of "  # before what an attempt says, by workflow/keep_log.sh
_SAID = re.compile(r"dac: |Traceback ")
_LOGGED = re.compile(r"\d\d:\d\d:\d\d ")
_INTERRUPTED = re.compile(r"interrupted|stopped by a signal")


def of_run(run: Run, step: str = "train") -> Path | None:
    """The newest log of a job of a run; None if none is here, as where the run came from another machine.

    Args:
        step: train or evaluate.
    """
    group = LOGS / step / run.group.task / run.group.name
    found = [path for path in group.rglob("*.log") if run.seed in _seeds(path.relative_to(group).parts[0])]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def of_data(dataset: Dataset) -> Path | None:
    """The newest log of a job that fetches or collects a dataset; None if none is here."""
    found = [path for step in ("fetch", "collect") for path in (LOGS / step).rglob(f"*-*{dataset.fingerprint}*.log")]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def last_words(log: Path) -> list[str]:
    """A job's message or traceback at the end of its log, else the last lines; nothing if it is not readable.

    Of the attempts that a log has, the last one's.
    """
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return []
    begun = [index for index, line in enumerate(lines) if line.startswith(_ATTEMPT)]
    lines = lines[begun[-1] + 1 :] if begun else lines
    starts = [index for index, line in enumerate(lines) if _SAID.match(line)]
    return lines[starts[-1] :] if starts else lines[-3:]


def failure(log: Path) -> str | None:
    """The last line of the error that a log ends with; None if it ends otherwise, or with an interruption."""
    words = last_words(log)
    if not words or not _SAID.match(words[0]) or any(map(_LOGGED.match, words)) or _INTERRUPTED.search(words[0]):
        return None
    return (words[0] if words[0].startswith("dac: ") else words[-1]).removeprefix("dac: ")


def _seeds(name: str) -> list[int]:
    """The seeds of a pack, from the name of its log or of its folder."""
    try:
        return seed_names.parse(name.removesuffix(".log"))
    except UserError:
        return []  # not a job's
