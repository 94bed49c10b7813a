"""From a study's plan and the store to its page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from dac.report.figures import Studio
from dac.report.render import render
from dac.report.study_data import experiments, report_data
from dac.study import pages, states, timings
from dac.study.identity import Run
from dac.study.plan import StudyPlan
from dac.system import paths
from dac.system.errors import UserError

COMPLETE = ("done", "diverged")  # kinds of states of runs that a page can show


def build(plan: StudyPlan) -> None:
    """Write a study's page from its complete runs.

    Raises:
        UserError: a run is not complete, a file is damaged, or runs of one dataset were trained on different data.
    """
    key = pages.key_of(plan)  # before anything is read: what another process changes meanwhile is not in the page
    with tempfile.TemporaryDirectory() as folder:
        try:
            _write(plan, Path(folder))
        except UserError as error:
            raise _with_hint(plan, error) from error
        pages.publish(plan, Path(folder), key)


def _write(plan: StudyPlan, folder: Path, there: Collection[Run] | None = None) -> None:
    """Read what a page shows, and write it; a second process that draws starts at once, while this one reads."""
    with Studio.of(folder, experiments(plan)) as studio:
        render(report_data(plan, there), folder, studio)


def _with_hint(plan: StudyPlan, error: UserError) -> UserError:
    """Of a study that is not complete the error says what shows the rest of it."""
    found = states.of_study(plan).values()
    there = sum(state.kind in COMPLETE for state in found)
    if there in (0, len(found)):
        return error
    return UserError(
        f"{error}\n{there:,} of the {len(found):,} runs of {plan.name} are complete: "
        f"`dac report {plan.name} --partial` writes a page of these."
    )


def build_partial(plan: StudyPlan) -> Path:
    """Write a page of what is there of a study, while the rest is missing or in training; returns its folder.

    It lies in work/, which neither git nor DVC keeps.

    Raises:
        UserError: nothing is there yet; as `build`.
    """
    there = [run for run, state in states.of_study(plan).items() if state.kind in COMPLETE]
    if not there:
        raise UserError(
            f"studies.{plan.name}: no run is trained and evaluated yet, so there is nothing to show; "
            f"`dac status {plan.name}` says how far its runs are."
        )
    folder = paths.PARTIAL / plan.name
    with tempfile.TemporaryDirectory() as rendered:
        _write(_with_whole_timings(plan), Path(rendered), there)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(rendered, folder)
    return folder


def _with_whole_timings(plan: StudyPlan) -> StudyPlan:
    """A plan without the experiments that lack some of their times: a ratio needs both of its sides."""
    lacking = {cell.experiment for cell in plan.timed if timings.problem(cell.timing)}
    return replace(plan, timed=tuple(cell for cell in plan.timed if cell.experiment not in lacking))
