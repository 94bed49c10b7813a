"""Whether the paper was reproduced: this study's scores of its tasks beside DAC's published ones, with verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dac.report import published
from dac.report.cells import difference_text, diverged_notes, letter, score_text
from dac.report.data import Candidate, PageSettings, ReportData
from dac.report.statistics import MeanScore, Summary, best_scores, satterthwaite
from dac.report.table import NONE, Table, Text, mean_std, number

# The published scores with a standard deviation, and the number of seeds that it is over.
METHOD = "DAC-curve-last5"
PUBLISHED_SEEDS = 8

REPRODUCED, HIGHER, LOWER, TOO_FEW = "reproduced", "higher", "lower", "too few seeds"
INCOMPARABLE, NOT_FINITE = "not comparable", "not finite"


@dataclass(frozen=True)
class Outcome:
    """What came out on one task.

    Attributes:
        ours: of this study's runs. best: mean of each run's best evaluation.
        theirs: the published score.
        difference, low, high: ours minus theirs with Welch's interval; NaN bounds for a single seed.
    """

    candidate: Candidate
    ours: MeanScore
    best: float
    theirs: published.PublishedScore
    difference: float
    low: float
    high: float

    def verdict(self, settings: PageSettings) -> str:
        """By the rule that `rule` states."""
        if self.candidate.differences:
            return INCOMPARABLE
        if not math.isfinite(self.difference):
            return NOT_FINITE
        if self.ours.seeds < settings.reproduction_seeds or math.isnan(self.low):
            return TOO_FEW
        margin = settings.reproduction_margin
        return HIGHER if self.low > margin else LOWER if self.high < -margin else REPRODUCED


def rule(settings: PageSettings) -> str:
    """The rule of the verdicts, in a sentence."""
    return (
        f"A task is {REPRODUCED} if the {100 * settings.confidence:g} % interval of the difference, ours minus "
        f"published, reaches within {settings.reproduction_margin:g} of zero, else {HIGHER} or {LOWER}; with fewer "
        f"than {settings.reproduction_seeds} seeds there are {TOO_FEW}."
    )


def outcomes(data: ReportData, summaries: Sequence[Summary]) -> list[Outcome]:
    """The tasks of a study with a published score of DAC, in the plan's order."""
    by_name = {summary.experiment.name: summary for summary in summaries}
    found = []
    for candidate in data.candidates:
        theirs = published.score(candidate.dataset, METHOD)
        if theirs is None:
            continue
        summary = by_name[candidate.experiment]
        ours = summary.cells[candidate.task, candidate.variant]
        low, high = welch(ours, theirs, data.settings.confidence)
        found.append(Outcome(candidate, ours, _best(summary, candidate), theirs, ours.mean - theirs.mean, low, high))
    return found


def welch(ours: MeanScore, theirs: published.PublishedScore, confidence: float) -> tuple[float, float]:
    """Welch's interval of our mean minus a published one over `PUBLISHED_SEEDS` seeds.

    NaN where a single seed, a value that is not finite, or a missing standard deviation leaves none.
    """
    if theirs.std is None or not math.isfinite(ours.mean):
        return math.nan, math.nan
    terms = [(ours.std**2 / ours.seeds, ours.seeds), (theirs.std**2 / PUBLISHED_SEEDS, PUBLISHED_SEEDS)]
    return satterthwaite(ours.mean - theirs.mean, terms, confidence)


def counted(found: Sequence[Outcome], settings: PageSettings) -> str:
    """The answer in a line, such as `8 of 9 tasks reproduced (1 lower); 6 not comparable`."""
    verdicts = [item.verdict(settings) for item in found]
    apart = verdicts.count(INCOMPARABLE)
    compared = len(verdicts) - apart
    apart_from = [name for name in (HIGHER, LOWER, TOO_FEW, NOT_FINITE) if name in verdicts]
    others = ", ".join(f"{verdicts.count(name)} {name}" for name in apart_from)
    line = f"{verdicts.count(REPRODUCED)} of {compared} task{'s' if compared > 1 else ''} reproduced"
    line += f" ({others})" if others else ""
    if not compared:
        return f"None of {apart} task{'s' if apart > 1 else ''} is comparable with the paper's"
    return line + (f"; {apart} not comparable" if apart else "")


def reproduction_table(found: Sequence[Outcome], settings: PageSettings) -> Table:
    """Ours, published, difference and verdict by task."""
    reasons = list(dict.fromkeys(reason for item in found for reason in item.candidate.differences))
    letters = {reason: letter(index) for index, reason in enumerate(reasons)}
    percent = f"{100 * settings.confidence:g} %"
    notes = [
        rule(settings),
        "Ours: mean ± sample standard deviation (ddof = 1) over seeds (n) of the last evaluations' mean; best: the "
        "mean of each run's best single evaluation, a maximum that no mean of last evaluations may be compared with.",
        "Published: mean of the last five evaluations of DAC's published curves; its deviation is the mean of five "
        f"per-step deviations over {PUBLISHED_SEEDS} seeds, so the interval is wider than one of the runs' own scores "
        "would be.",
        *(["An AntMaze score is the success rate in per cent."] if _has_antmaze(found) else []),
        *diverged_notes(item.ours for item in found),
        *(f"({letter}) {reason}" for reason, letter in letters.items()),
    ]
    return Table(
        name="reproduction",
        caption="Was it reproduced? DAC's published scores and this study's.",
        header=("Task", "n", "Ours", "Best", "Published", f"Difference [{percent}]", "Verdict"),
        rows=tuple(_row(item, settings, letters) for item in found),
        frame=_frame(found, settings),
        notes=tuple(notes),
    )


def _row(item: Outcome, settings: PageSettings, letters: Mapping[str, str]) -> tuple[Text, ...]:
    verdict = item.verdict(settings)
    marks = ", ".join(letters[reason] for reason in item.candidate.differences)
    # Beside a score that it may not be compared with, a published one would only mislead.
    theirs = (mean_std(item.theirs.mean, item.theirs.std), difference_text(item.difference, item.low, item.high))
    return (
        Text(item.candidate.task),
        Text(str(item.ours.seeds)),
        Text(score_text(item.ours), of=(item.candidate.experiment, item.candidate.task, item.candidate.variant)),
        Text(number(item.best)),
        *(Text(NONE if verdict == INCOMPARABLE else text) for text in theirs),
        Text(f"{verdict} ({marks})" if marks else verdict, bold=verdict in (HIGHER, LOWER)),
    )


def _frame(found: Sequence[Outcome], settings: PageSettings) -> pd.DataFrame:
    rows = []
    for item in found:
        candidate, verdict = item.candidate, item.verdict(settings)
        ours = {"seeds": item.ours.seeds, "mean": item.ours.mean, "std": item.ours.std}
        theirs = {"published_mean": item.theirs.mean, "published_std": item.theirs.std}
        apart = {"difference": item.difference, "low": item.low, "high": item.high}
        rows.append(
            {
                "task": candidate.task,
                "dataset": candidate.dataset,
                "experiment": candidate.experiment,
                "variant": candidate.variant,
                **ours,
                "best": item.best,
                **{key: math.nan if verdict == INCOMPARABLE else value for key, value in {**theirs, **apart}.items()},
                "verdict": verdict,
                "differs": "; ".join(candidate.differences),
            }
        )
    return pd.DataFrame(rows)


def _best(summary: Summary, candidate: Candidate) -> float:
    """Mean over seeds of each run's best evaluation."""
    best = best_scores(summary.evaluations)
    return float(best.loc[(best["task"] == candidate.task) & (best["variant"] == candidate.variant), "score"].mean())


def _has_antmaze(found: Sequence[Outcome]) -> bool:
    return any(item.candidate.dataset.startswith("antmaze") for item in found)
