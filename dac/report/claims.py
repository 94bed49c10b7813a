"""What a study is to show: claims of params.yaml, each a difference of two measured numbers, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dac.report.cells import MEAN_STD, difference_text
from dac.report.data import Experiment, ReportData, select
from dac.report.statistics import Summary, action_sample_scores, interval, satterthwaite, squared_errors
from dac.report.symbols import assigned
from dac.report.table import NONE, Table, Text
from dac.report.times import MACHINE, machine_text
from dac.report.times import MEASURES as TIMES
from dac.study.params import Claim, ClaimSide

Array = npt.NDArray[np.float64]

HOLDS, FAILS, UNDECIDED = "holds", "FAILS", "undecided"
_DIGITS = {"score": 1, "inside": 1, "reward": 3, "step_ms": 2, "actor_ms": 2}
_UNITS = {"inside": " %", "step_ms": " ms", "actor_ms": " ms"}


@dataclass(frozen=True)
class Finding:
    """A claim on one task, or on the mean over several, as measured.

    Attributes:
        task: its name, or how many tasks it is the mean over.
        higher, lower: (seeds,) what the claim compares, each a mean over tasks where the claim is about that; a single
            number for the data's mean.
        difference, low, high: of the means, with its confidence interval; NaN bounds for a single seed.
        verdict: `holds` where the whole interval is above zero, `FAILS` where it is below, else `undecided`; of a claim
            with `within`, where the whole interval is within that of zero, or is beyond it.
        experiment: whose claim it is.
        varied: the setting that the variants are values of, if they are.
    """

    claim: Claim
    experiment: str
    task: str
    higher: Array
    lower: Array
    difference: float
    low: float
    high: float
    varied: str | None = None

    @property
    def verdict(self) -> str:
        if self.claim.within is not None:
            near = self.claim.within
            apart = self.low > near or self.high < -near
            return HOLDS if -near < self.low and self.high < near else FAILS if apart else UNDECIDED
        return HOLDS if self.low > 0 else FAILS if self.high < 0 else UNDECIDED


def findings(data: ReportData, summary: Summary) -> Iterator[Finding]:
    """The claims of an experiment, each on every task of it that the claim is about, in the experiment's order.

    A partial page has those whose runs are all there: a verdict on some of them would not be the study's.
    """
    experiment = summary.experiment
    if experiment.times_steps:
        yield from _of_times(data, experiment)
        return
    if not experiment.claims:
        return
    drawn = None if experiment.shows_scores else summary.drawn
    kept = action_sample_scores(select(data.evaluations, experiment.name))
    frames = (drawn, kept, summary.run_scores)
    for claim in experiment.claims:
        measured, terms = [], []
        tasks = [task for task in experiment.tasks if task in (claim.tasks or experiment.tasks)]
        if not _is_whole(summary, claim, tasks):
            continue
        for task in tasks:
            higher = _values(claim, claim.higher, task, frames)
            lower = (
                np.array([data.task_number(task, "data_score_mean")])
                if claim.lower == "data"
                else _values(claim, claim.lower, task, frames)
            )
            paired = _same_runs(data, experiment.name, task, claim)
            low, high = interval(higher, lower, data.settings.confidence, paired=paired)
            terms += squared_errors(higher, lower, paired=paired)
            measured.append(
                Finding(
                    claim,
                    experiment.name,
                    task,
                    higher,
                    lower,
                    float(higher.mean() - lower.mean()),
                    low,
                    high,
                    experiment.varied,
                )
            )
        yield from [_average(measured, terms, data.settings.confidence)] if claim.average else measured


def _of_times(data: ReportData, experiment: Experiment) -> Iterator[Finding]:
    """Claims of times, on each task and machine that has both."""
    times = select(data.times, experiment.name)
    for claim in experiment.claims:
        for task in (task for task in experiment.tasks if task in (claim.tasks or experiment.tasks)):
            of_task = times[times["task"] == task]
            machines = [machine for _, machine in of_task.groupby(MACHINE, sort=False)]
            for machine in machines:
                higher, lower = (_measured(machine, side, claim.measure) for side in (claim.higher, claim.lower))
                if not (len(higher) and len(lower)):
                    continue
                low, high = interval(higher, lower, data.settings.confidence, paired=False)
                where = task if len(machines) == 1 else f"{task}, {machine_text(machine.iloc[0])}"
                difference = float(higher.mean() - lower.mean())
                yield Finding(claim, experiment.name, where, higher, lower, difference, low, high, experiment.varied)


def _measured(times: pd.DataFrame, side: ClaimSide | str, measure: str) -> Array:
    """The repeats of a variant at a value."""
    assert isinstance(side, ClaimSide)  # the check of params.yaml allows no other of times
    rows = times[(times["variant"] == side.variant) & (times["value"] == side.value)].sort_values("repeat")
    return rows[measure].to_numpy(dtype=np.float64)


def _is_whole(summary: Summary, claim: Claim, tasks: Sequence[str]) -> bool:
    """Whether all runs that a claim is about are there."""
    variants = [side.variant for side in (claim.higher, claim.lower) if side != "data"]
    cells = [summary.cells[task, variant] for task in tasks for variant in variants]
    return all(cell.planned in (None, cell.seeds) for cell in cells)


def _same_runs(data: ReportData, experiment: str, task: str, claim: Claim) -> bool:
    """Whether both sides are numbers of the same runs, under whatever names."""
    if claim.lower == "data":
        return False
    names = [set(select(data.runs, experiment, task, side.variant)["run"]) for side in (claim.higher, claim.lower)]
    return claim.higher.variant == claim.lower.variant or names[0] == names[1]


def _average(measured: Sequence[Finding], terms: Sequence[tuple[float, int]], confidence: float) -> Finding:
    """The mean over tasks of a claim's differences; its interval is over seeds, for these tasks.

    Its variance is the sum of the tasks' squared standard errors, `terms`, by the number of tasks squared.
    """
    higher, lower = (np.array([getattr(item, side) for item in measured]).mean(0) for side in ("higher", "lower"))
    difference, count = float(np.mean([item.difference for item in measured])), len(measured)
    low, high = satterthwaite(difference, terms, confidence, parts=count)
    of = f"mean of {count} task{'s' if count > 1 else ''}"
    first = measured[0]
    return Finding(first.claim, first.experiment, of, higher, lower, difference, low, high, first.varied)


def _values(
    claim: Claim, side: ClaimSide, task: str, frames: tuple[pd.DataFrame | None, pd.DataFrame, pd.DataFrame]
) -> Array:
    """One number per seed, in the order of the seeds."""
    drawn, kept, scores = frames
    frame, column = (drawn, claim.measure) if drawn is not None else (scores, "score")
    if side.action_samples is not None:
        frame = kept[kept["action_samples"] == side.action_samples]
    rows = frame[(frame["task"] == task) & (frame["variant"] == side.variant)].sort_values("seed")
    return rows[column].to_numpy(dtype=np.float64)


def claims_table(found: Sequence[Finding], settings_confidence: float) -> Table:
    """All claims of a study with both numbers, their difference with its interval, and the verdict."""
    rows = [
        (
            Text(_says(item.claim)),
            Text(item.task),
            _side_cell(item, item.claim.higher, item.higher),
            _side_cell(item, item.claim.lower, item.lower),
            Text(difference_text(item.difference, item.low, item.high, _DIGITS[item.claim.measure])),
            Text(item.verdict, bold=item.verdict != HOLDS),
        )
        for item in found
    ]
    records = [
        {
            "claim": _says(item.claim),
            "task": item.task,
            "measure": item.claim.measure,
            "higher": _side(item.claim.higher, item.varied),
            "higher_mean": item.higher.mean(),
            "lower": _side(item.claim.lower, item.varied),
            "lower_mean": item.lower.mean(),
            "seeds": len(item.higher),
            "difference": item.difference,
            "low": item.low,
            "high": item.high,
            "verdict": item.verdict,
        }
        for item in found
    ]
    percent = f"{100 * settings_confidence:g} %"
    return Table(
        name="claims",
        caption="What this study is to show, and whether it does.",
        header=("Claim", "Task", "Higher", "Lower", f"Difference [{percent}]", "Verdict"),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
        notes=(
            f"{HOLDS}: the whole interval of the difference is above zero; {FAILS}: below; else {UNDECIDED}. Intervals "
            "are Student's over seeds: Welch's between variants, of the seeds' differences where both numbers are of "
            "the same runs.",
            *_kinds(found),
            MEAN_STD,
        ),
    )


def _kinds(found: Sequence[Finding]) -> Iterator[str]:
    """Notes on the claims that are not about one number above another on each task."""
    if any(item.claim.within is not None for item in found):
        yield (
            f"within: {HOLDS} where the whole interval is that near to zero, {FAILS} where all of it is farther away, "
            f"else {UNDECIDED}."
        )
    if any(item.claim.measure in TIMES for item in found):
        yield "Times (ms): of repeats on one machine, in the place of seeds."
    if any(item.claim.average for item in found):
        yield (
            "Mean of tasks: every task counts alike; the interval is over seeds for these tasks, with Satterthwaite's "
            "degrees of freedom."
        )


def _side_cell(item: Finding, side: ClaimSide | str, values: Array) -> Text:
    text = f"{_side(side, item.varied)}: {_mean(values, item.claim.measure)}"
    return Text(text, of=None if isinstance(side, str) else (item.experiment, item.task, side.variant))


def _says(claim: Claim) -> str:
    return claim.says if claim.within is None else f"{claim.says} (within {claim.within:g})"


def _side(side: ClaimSide | str, varied: str | None) -> str:
    if isinstance(side, str):
        return "the data"
    if side.value is not None:
        return f"{side.variant}, {assigned(varied, f'{side.value:g}')}"
    name = assigned(varied, side.variant)
    return name if side.action_samples is None else f"{name}, N_a = {side.action_samples}"


def _mean(values: Array, measure: str) -> str:
    digits = _DIGITS[measure]
    mean = f"{values.mean():.{digits}f}" if np.isfinite(values).all() else NONE
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 and np.isfinite(values).all() else ""
    return f"{mean}{spread}{_UNITS.get(measure, '')}"
