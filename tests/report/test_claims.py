from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dac.report import claims, verdicts
from dac.report.data import Experiment, ReportData
from dac.report.render import render
from dac.report.statistics import interval, satterthwaite, summarise
from dac.study.params import Claim

Build = Callable[..., ReportData]


def claim(higher: dict[str, Any], lower: Any, **changes: Any) -> Claim:
    return Claim.model_validate({"says": "One is above another", "higher": higher, "lower": lower, **changes})


BC_ABOVE_SOFT = claim({"variant": "bc_only"}, {"variant": "soft"})
MORE_SAMPLES = claim({"variant": "soft", "action_samples": 4}, {"variant": "soft", "action_samples": 1})
ABOVE_DATA = claim({"variant": "soft"}, "data")


def found(data: ReportData) -> list[claims.Finding]:
    return list(claims.findings(data, summarise(data, data.experiments[0])))


def test_each_claim_is_measured_on_each_task(build: Build, experiment: Callable[..., Experiment]) -> None:
    items = found(build([experiment(claims=(BC_ABOVE_SOFT, ABOVE_DATA))]))
    assert [(item.claim, item.task) for item in items] == [
        (BC_ABOVE_SOFT, "hopper-medium-v2"),
        (BC_ABOVE_SOFT, "own_hopper"),
        (ABOVE_DATA, "hopper-medium-v2"),
        (ABOVE_DATA, "own_hopper"),
    ]
    # By `conftest.score`, over the last two evaluations: 50 + 2 len(variant) + seed² + 2.5 + 0.25.
    assert items[0].lower.tolist() == [60.75, 61.75, 64.75, 69.75]
    assert items[0].difference == 6.0
    assert items[2].lower.tolist() == [44.3]
    assert items[2].difference == pytest.approx(64.25 - 44.3)


def test_a_claim_about_some_tasks_is_measured_on_those_alone(
    build: Build, experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    tasks = ("own_hopper", "walker2d-medium-v2", "hopper-medium-v2")
    some = BC_ABOVE_SOFT.model_copy(update={"tasks": ("hopper-medium-v2", "own_hopper")})
    data = build([experiment(tasks=tasks, claims=(some, MORE_SAMPLES))])
    measured = [(item.claim, item.task) for item in found(data)]
    assert measured == [(some, "own_hopper"), (some, "hopper-medium-v2"), *((MORE_SAMPLES, task) for task in tasks)]
    render(data, tmp_path)
    table = pd.read_csv(tmp_path / "tables/claims.csv")
    assert table["task"].tolist() == [task for _, task in measured]
    assert [line.partition(":")[0] for line in verdicts.lines(tmp_path / "tables/claims.csv")][:2] == [
        "undecided One is above another (own_hopper)",
        "undecided One is above another (hopper-medium-v2)",
    ]


def test_action_samples_are_of_the_kept_policies(build: Build, experiment: Callable[..., Experiment]) -> None:
    item = found(build([experiment(claims=(MORE_SAMPLES,))]))[0]
    assert (item.higher - item.lower).tolist() == [2.0] * 4  # conftest adds log2(N_a)
    assert (item.low, item.high, item.verdict) == (2.0, 2.0, "holds")


@pytest.mark.parametrize(
    ("higher", "lower", "paired", "expected"),
    [
        # t(0.975, 2) = 4.3027 and s/√3 = 1/√3 for 1, 2, 3
        ([1.0, 2.0, 3.0], [0.0], False, (2.0 - 4.302653 / math.sqrt(3), 2.0 + 4.302653 / math.sqrt(3))),
        # Welch: equal variances of 1, df = 4, t = 2.7764
        (
            [11.0, 12.0, 13.0],
            [1.0, 2.0, 3.0],
            False,
            (10 - 2.776445 * math.sqrt(2 / 3), 10 + 2.776445 * math.sqrt(2 / 3)),
        ),
        ([11.0, 12.0, 14.0], [1.0, 2.0, 3.0], True, (31 / 3 - 4.302653 / 3, 31 / 3 + 4.302653 / 3)),
        ([5.0, 5.0], [3.0, 3.0], False, (2.0, 2.0)),
        ([5.0], [3.0], False, (math.nan, math.nan)),
        ([5.0, math.inf], [3.0, 2.0], False, (math.nan, math.nan)),
    ],
)
def test_intervals(higher: list[float], lower: list[float], paired: bool, expected: tuple[float, float]) -> None:
    bounds = interval(np.array(higher), np.array(lower), 0.95, paired=paired)
    assert bounds == pytest.approx(expected, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 2.0, "holds"), (-2.0, -0.1, "FAILS"), (-0.1, 2.0, "undecided"), (math.nan, math.nan, "undecided")],
)
def test_verdicts(low: float, high: float, verdict: str) -> None:
    assert claims.Finding(ABOVE_DATA, "guidance", "task", np.ones(3), np.zeros(1), 1.0, low, high).verdict == verdict


def test_the_page_opens_with_what_it_shows_also_where_it_does_not(
    build: Build, experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    wrong = claim({"variant": "soft"}, {"variant": "bc_only"}, says="Soft is above BC")
    spread = [experiment(tasks=("hopper-medium-v2",), claims=(MORE_SAMPLES, wrong))]
    render(build(spread), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.index("## What it shows") < text.index("## Protocol")
    table = pd.read_csv(tmp_path / "tables/claims.csv")
    assert table["verdict"].tolist() == ["holds", "undecided"]
    assert table["difference"].tolist() == [2.0, -6.0]
    first, second = verdicts.lines(tmp_path / "tables/claims.csv")
    assert first == (
        "holds     One is above another (hopper-medium-v2): soft, N_a = 4 66.25, soft, N_a = 1 64.25, "
        "difference +2 [2, 2] over 4 seeds"
    )
    assert second.endswith(f"[{table['low'][1]:.4g}, {table['high'][1]:.4g}] over 4 seeds")


def test_without_claims_there_is_no_such_section(build: Build, tmp_path: Path) -> None:
    render(build(), tmp_path)
    assert "What it shows" not in (tmp_path / "README.md").read_text()
    assert not (tmp_path / "tables/claims.csv").exists()


def test_a_mean_of_tasks_has_the_interval_of_its_seeds(build: Build, experiment: Callable[..., Experiment]) -> None:
    average = BC_ABOVE_SOFT.model_copy(update={"average": True})
    (item,) = found(build([experiment(claims=(average,))]))
    assert (item.task, item.difference) == ("mean of 2 tasks", 6.0)
    # Seeds 0 to 3 differ by seed²: the same variance in both variants and tasks, so with n = 4 the mean of two
    # differences has the variance (4 s²/4) / 4, and four equal terms have 4 * 3 degrees of freedom.
    variance = np.var([0, 1, 4, 9], ddof=1) / 4
    half = 2.178813 * math.sqrt(variance)  # t(0.975, 12)
    assert (item.low, item.high) == pytest.approx((6 - half, 6 + half), abs=1e-5)


def test_the_interval_of_a_mean_of_tasks_covers_as_it_says() -> None:
    random, covered, trials = np.random.default_rng(0), 0, 2000
    for _ in range(trials):
        terms, differences = [], []
        for scale in (1.0, 3.0):  # two tasks of different spread, true difference 0
            samples = random.normal(0, scale, size=(2, 5))
            differences.append(samples[0].mean() - samples[1].mean())
            terms += [(float(sample.var(ddof=1)) / 5, 5) for sample in samples]
        low, high = satterthwaite(float(np.mean(differences)), terms, 0.95, parts=2)
        covered += low <= 0 <= high
    assert 0.94 < covered / trials < 0.965


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.9, 0.9, "holds"), (0.5, 1.5, "undecided"), (1.1, 2.0, "FAILS"), (-2.0, -1.1, "FAILS"), (-3, 3, "undecided")],
)
def test_a_claim_that_two_numbers_are_near(low: float, high: float, verdict: str) -> None:
    near = claim({"variant": "soft"}, {"variant": "bc_only"}, within=1)
    assert claims.Finding(near, "guidance", "task", np.ones(3), np.ones(3), 0.0, low, high).verdict == verdict


def test_values_of_a_swept_setting_have_its_symbol(build: Build, experiment: Callable[..., Experiment]) -> None:
    above = claim({"variant": "10"}, {"variant": "5"})
    swept = experiment(variants=("5", "10"), varied="ensemble_size", show=("scores",), claims=(above,))
    table = claims.claims_table(found(build([swept])), 0.95)
    assert [cell.text for cell in table.rows[0]][2:4] == ["H = 10: 60.2 ± 4.0", "H = 5: 58.2 ± 4.0"]


def test_variants_of_the_same_runs_are_paired(build: Build, experiment: Callable[..., Experiment]) -> None:
    same = claim({"variant": "soft"}, {"variant": "bc_only"}, within=1)
    data = build([experiment(claims=(same,), tasks=("own_hopper",))])
    data.runs["run"] = "soft-ab12cd34ef56"
    curves = data.curves.assign(score=50.0 + data.curves["seed"])
    (item,) = found(replace(data, curves=curves))
    assert (item.low, item.high, item.verdict) == (0.0, 0.0, "holds")
