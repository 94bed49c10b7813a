"""How the jobs of a project look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from dac.system import durations
from dac.system.progress import Progress

BAR_WIDTH = 24


class Display(Live):
    """Lines that are drawn over one another, and are gone at the end.

    The cursor stays visible, so that the terminal is as it was however this process ends.
    """

    def __init__(self) -> None:
        super().__init__(auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)

    def start(self, refresh: bool = False) -> None:
        super().start(refresh)
        self.console.show_cursor(True)

    def draw(self, jobs: Sequence[Progress], heading: str, share: float | None = None) -> None:
        """A heading, behind a bar where there is a share of it that is full, and a line for each running job."""
        top = Table.grid(padding=(0, 1))
        bar = [] if share is None else [ProgressBar(1.0, share, width=BAR_WIDTH)]
        top.add_row(*bar, _cut(heading))
        rows = Table.grid(padding=(0, 1))
        rows.add_column()  # what a narrow terminal has no room for is missing here
        for _ in cells(Progress(""))[1:]:
            rows.add_column(no_wrap=True, justify="right")
        for job in jobs:
            name, *others = cells(job)
            rows.add_row(_cut(name), *map(Text, others))
        shown: list[RenderableType] = [top, rows]
        self.update(Group(*shown), refresh=True)

    def say(self, line: str) -> None:
        """A line that stays, above the others."""
        self.console.print(Text(line), soft_wrap=True)


def _cut(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def cells(job: Progress) -> tuple[str, str, str, str, str]:
    """A job's name, how far it is, its speed, its last evaluation and the time that is left, where they are known."""
    if not job.total:
        return job.name, "starting", "", job.result, ""
    done, total, speed = (_amount(value, job.unit) for value in (job.done, job.total, job.speed))
    left = f"{durations.clock((job.total - job.done) / job.speed)} left" if job.speed else ""
    return job.name, f"{done}/{total}", f"{speed}/s" if job.speed else "", job.result, left


def _amount(value: float, unit: str) -> str:
    if unit == "B":
        return tqdm.format_sizeof(value, "B")
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
