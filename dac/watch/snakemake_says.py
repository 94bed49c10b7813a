"""What stands below Snakemake's own lines, and which of these a dry run has: filters of its logger.

A filter changes what is printed, never what is run. It sees the records before Snakemake's handlers do.
"""

from __future__ import annotations

import errno
import logging
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

from dac.study import job_logs
from dac.system.errors import closest

LISTED = 30  # jobs that a dry run lists; of more it counts each kind alone
# What Snakemake says of a dry run, of an interruption, and of a target that is none.
DRY_RUN = "This was a dry-run"
INTERRUPTED = "Terminating processes on user request"
NO_RULE = re.compile(r"^No rule to produce ([^\s/]+) \(", re.MULTILINE)


class DryRun(logging.Filter):
    """A dry run on a screen: how many jobs of each kind there are, a line for each if they are few, and what they cost.

    Args:
        closing: the last lines. quiet: Snakemake was told to be quiet, and says no more than those.
    """

    def __init__(self, closing: Callable[[], str], *, quiet: bool) -> None:
        super().__init__()
        self._closing = closing
        self._quiet = quiet
        self._jobs: int | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            first, stats = self._jobs is None, getattr(record, "stats", {})
            self._jobs = stats.get("total", 0)
            if first and self._quiet:
                print("Jobs:", ", ".join(f"{count} {name}" for name, count in stats.items()))
                print(self._closing())
            return first
        if event == LogEvent.JOB_INFO:
            return self._shorten(record)
        if event is None and self._jobs is not None and record.levelno == logging.INFO:
            # After the jobs: reasons by rule, and that nothing was run.
            record.msg = self._closing() if str(record.msg).startswith(DRY_RUN) else ""
        return True

    def _shorten(self, record: logging.LogRecord) -> bool:
        """A job as one line: without the time, which is not when it will run, and the marker that it lacks."""
        said = getattr(record, "rule_msg", None)
        record.event, record.msg = None, f"  {said}"
        return bool(said) and (self._jobs or 0) <= LISTED


class LastWord(logging.Filter):
    """Collects what goes wrong, for a sentence below all that Snakemake prints, or after Ctrl-C instead of its errors.

    Args:
        studies: those of params.yaml.

    Attributes:
        ended_badly: the jobs were run and not all of them ended well.
    """

    def __init__(self, studies: list[str]) -> None:
        super().__init__()
        self.ended_badly = False
        self._studies = studies
        self._failed = False
        self._logs: dict[Path, None] = {}  # of failed jobs, as the keys
        self._interrupted = False
        self._unknown: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        said = str(record.msg)
        if getattr(record, "event", None) == LogEvent.JOB_ERROR:
            self._logs |= dict.fromkeys(map(Path, getattr(record, "log", [])))
        self._failed |= record.levelno >= logging.ERROR
        self._interrupted |= said.startswith(INTERRUPTED)
        if record.levelno == logging.ERROR and (match := NO_RULE.search(said)):
            self._unknown = match[1]
        # Jobs that end for the user's Ctrl-C have said themselves where they are.
        return not self._interrupted or record.levelno < logging.ERROR

    def text(self, asked: str) -> str | None:
        """What happened and what to do; None if nothing did.

        Args:
            asked: the studies that targets asked for, as one types them.
        """
        if self._unknown is not None:
            return f"dac: params.yaml: no study {self._unknown!r}; {closest(self._unknown, self._studies)}"
        again = f"the same command, `snakemake {asked} …`, goes on from there"
        if (self._failed or self.ended_badly) and (full := _no_room()):
            return f"dac: {Path.cwd()}: {full}. What is done is kept, no file of before is lost. Make room; {again}."
        if not self.ended_badly:
            return None
        errors = {log: error for log in self._logs if (error := job_logs.failure(log))}
        if errors:
            log, error = next(iter(errors.items()))
            more = f" So did {len(errors) - 1} more; `dac status` lists them." if len(errors) > 1 else ""
            return f"dac: A job failed: {error} (its log: {log}).{more} What is done is kept. Mend that; {again}."
        if self._interrupted:
            return f"dac: Interrupted. What is done is kept, what was in training is saved; {again}."
        return f"dac: Not all jobs ended well; Snakemake says above which. What is done is kept; {again}."


def _no_room() -> str | None:
    """What the system says where the project's disk takes no more, None where it does."""
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()) as stream:
            stream.write(bytes(2**16))
    except OSError as error:
        return error.strerror if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    return None
