"""What each cell of a table of scores says of the published numbers in its row: a letter for each difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dac.report.cells import letter
from dac.report.data import Experiment, ReportData


@dataclass(frozen=True)
class CellMarks:
    """By task and variant, in what a cell differs from what the published numbers of its row are of.

    Attributes:
        reasons: of the cells in rows with published numbers; empty where these may be compared with it.
        letters: of every reason.
        apart: reasons why a row has no published numbers, with its tasks.
    """

    reasons: Mapping[tuple[str, str], tuple[str, ...]]
    letters: Mapping[str, str]
    apart: Mapping[str, Sequence[str]]

    def text(self, tasks: Sequence[str], variant: str) -> str:
        """The letters of a variant on some tasks, such as ` (a, b)`; empty where it differs in nothing."""
        found = {self.letters[reason] for task in tasks for reason in self.reasons.get((task, variant), ())}
        return f" ({', '.join(mark for mark in self.letters.values() if mark in found)})" if found else ""

    def notes(self) -> list[str]:
        """What the letters mean, and why rows have no published numbers."""
        return [
            *(
                f"({mark}) not comparable with the published scores of its row: {reason}."
                for reason, mark in self.letters.items()
            ),
            *(
                f"Not comparable with published scores: {', '.join(tasks)} ({reason})."
                for reason, tasks in self.apart.items()
            ),
        ]


def cell_marks(data: ReportData, experiment: Experiment) -> CellMarks:
    """The marks of an experiment's cells; none where it shows nothing published."""
    reasons: dict[tuple[str, str], tuple[str, ...]] = {}
    apart: dict[str, list[str]] = {}
    for task in experiment.tasks if experiment.published else ():
        found = {variant: data.differences[experiment.name, task, variant] for variant in experiment.variants}
        if data.published_id(experiment.name, task):
            reasons |= {(task, variant): differs for variant, differs in found.items()}
            continue
        # The variant that is nearest to being comparable says why none is.
        for reason in min(found.values(), key=len):
            apart.setdefault(reason, []).append(task)
    listed = dict.fromkeys(reason for differs in reasons.values() for reason in differs)
    return CellMarks(reasons, {reason: letter(index) for index, reason in enumerate(listed)}, apart)
