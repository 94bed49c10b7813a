from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dac.report import published, reproduction
from dac.report.data import Candidate, Experiment, PageSettings, ReportData
from dac.report.render import render
from dac.report.statistics import mean_score, summarise

Build = Callable[..., ReportData]
HOPPER = Candidate("hopper-medium-v2", "hopper-medium-v2", "guidance", "soft")
SETTINGS = PageSettings(reproduction_seeds=3, reproduction_margin=1.0)


def outcome(scores: Sequence[float], candidate: Candidate = HOPPER, std: float | None = 2.0) -> reproduction.Outcome:
    ours = mean_score(np.array(scores))
    theirs = published.PublishedScore(100.0, std, "a paper", published.Protocol("last evaluation", 8, 10, "a paper"))
    low, high = reproduction.welch(ours, theirs, 0.95)
    return reproduction.Outcome(candidate, ours, ours.mean, theirs, ours.mean - 100.0, low, high)


def test_the_interval_is_welchs() -> None:
    ours = np.array([95.0, 97.0, 101.0, 99.0])
    # The published score as eight seeds that have just this mean and sample deviation.
    theirs = np.array([-1.0, 1.0] * 4)
    theirs = 100 + 2.0 * theirs / theirs.std(ddof=1)
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    item = outcome(ours.tolist())
    assert (item.low, item.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ([99.0, 101.0, 100.0], "reproduced"),
        ([104.0, 104.1, 103.9], "higher"),
        ([94.0, 94.1, 93.9], "lower"),
        ([102.5, 102.4, 102.6], "reproduced"),  # the interval reaches within the margin
        ([100.0, 100.0], "too few seeds"),
        ([100.0], "too few seeds"),
        ([100.0, math.inf, 100.0], "not finite"),
    ],
)
def test_verdicts(scores: list[float], verdict: str) -> None:
    assert outcome(scores).verdict(SETTINGS) == verdict


def test_what_differs_from_the_paper_is_not_compared() -> None:
    other = replace(HOPPER, differences=("steps 1000, not 2000000",))
    assert outcome([100.0] * 8, other).verdict(SETTINGS) == "not comparable"


def test_the_answer_in_a_line() -> None:
    other = replace(HOPPER, differences=("steps 1000, not 2000000",))
    found = [outcome([99.0, 101.0, 100.0]), outcome([94.0, 94.1, 93.9]), outcome([100.0] * 8, other)]
    assert reproduction.counted(found, SETTINGS) == "1 of 2 tasks reproduced (1 lower); 1 not comparable"
    assert reproduction.counted(found[2:], SETTINGS) == "None of 1 task is comparable with the paper's"


def test_the_page_opens_with_the_answer(build: Build, tmp_path: Path) -> None:
    data = replace(build(), candidates=(HOPPER,), settings=PageSettings(window=2, dpi=60, bootstrap_samples=100))
    render(data, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.index("## Was it reproduced?") < text.index("## Protocol")
    (row,) = pd.read_csv(tmp_path / "tables/reproduction.csv").to_dict("records")
    # By `conftest.score`: 60.75 + seed² over the last two evaluations, 0.5 more at the last one.
    scores = np.array([60.75, 61.75, 64.75, 69.75])
    assert (row["mean"], row["best"], row["verdict"]) == (scores.mean(), scores.mean() + 0.5, "too few seeds")
    assert (row["published_mean"], row["published_std"]) == (101.2, 3.08)
    assert row["difference"] == pytest.approx(scores.mean() - 101.2)
    assert reproduction.rule(data.settings) in text


def test_beside_a_score_that_is_not_comparable_stands_no_published_one(
    build: Build, experiment: Callable[..., Experiment]
) -> None:
    data = replace(build(), candidates=(replace(HOPPER, differences=("4 seeds",)),))
    found = reproduction.outcomes(data, [summarise(data, data.experiments[0])])
    table = reproduction.reproduction_table(found, data.settings)
    assert [cell.text for cell in table.rows[0]][4:] == ["–", "–", "not comparable (a)"]
    assert "(a) 4 seeds" in table.notes
    assert table.frame[["published_mean", "difference", "low"]].isna().all(axis=None)


def test_diverged_runs_are_marked(build: Build) -> None:
    data = replace(build(diverged=[("hopper-medium-v2", "soft", 1)]), candidates=(HOPPER,))
    found = reproduction.outcomes(data, [summarise(data, data.experiments[0])])
    table = reproduction.reproduction_table(found, data.settings)
    assert table.rows[0][2].text == "64.2 ± 4.0 †1"
    assert any(note.startswith("†") for note in table.notes)
