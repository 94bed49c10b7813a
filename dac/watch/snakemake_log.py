"""What Snakemake's lines say of its jobs, read while they are written."""

from __future__ import annotations

import re
from pathlib import Path

from dac.study import job_logs

REASON_LINES = 12  # of a failed job's log, at most
REMARKS = ("dvc.lock:", "DVC records nothing")  # lines of the workflow itself that a user must see


class SnakemakeLog:
    """A log that grows.

    Args:
        path: the log. folder: of the project, where the jobs' own logs are.

    Attributes:
        done, total: jobs; the total is 0 until Snakemake has said it, and also where it finds nothing to do.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.done = self.total = 0
        self._folder = folder
        self._failures: list[str] = []
        self._remarks: list[str] = []
        self._stream = path.open(encoding="utf-8", errors="replace")
        self._rest = ""
        self._names: dict[str, str] = {}
        self._failing: str | None = None  # the job that the lines are about
        self._patterns = (
            (re.compile(r"total +(\d+)"), self._on_total),
            (re.compile(r"(\d+) of (\d+) steps \(.*\) done"), self._on_done),
            (re.compile(r"Job (\d+): (.*)"), self._names.__setitem__),
            (re.compile(r"Error in (rule \w+).*"), self._on_error),
            (re.compile(r" +jobid: (\d+)"), self._on_job),
            (re.compile(r" +log: (.*) \(check log file.*"), self._on_log),
        )

    def read(self) -> SnakemakeLog:
        """Take in the lines that are there since the last call; the one that is being written, once it is whole."""
        *lines, self._rest = (self._rest + self._stream.read()).split("\n")
        for line in lines:
            if line.startswith(REMARKS):
                self._remarks.append(line)
            for pattern, function in self._patterns:
                if match := pattern.fullmatch(line):
                    function(*match.groups())
        return self

    def take_news(self) -> tuple[list[str], list[str]]:
        """Lines for the user since the last call: which job failed, why, and where its log is; and other remarks."""
        news = self._failures, self._remarks
        self._failures, self._remarks = [], []
        return news

    def close(self) -> None:
        self._stream.close()

    def _on_total(self, total: str) -> None:
        self.done, self.total = 0, int(total)

    def _on_done(self, done: str, total: str) -> None:
        self.done, self.total = int(done), int(total)

    def _on_error(self, rule: str) -> None:
        self._failing = rule

    def _on_job(self, number: str) -> None:
        if self._failing is not None:
            self._failing = self._names.get(number, self._failing)

    def _on_log(self, name: str) -> None:
        if self._failing is not None:
            self._failures += [f"Failed: {self._failing}", *reason(self._folder / name), f"    its log: {name}"]
            self._failing = None


def reason(log: Path) -> list[str]:
    """The end of a failed job's log, indented: its message or traceback, if it left one."""
    return [f"    {line}" for line in job_logs.last_words(log)[-REASON_LINES:]]
