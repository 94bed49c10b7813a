"""The page of the study `paper` from invented runs, its numbers computed once more from the store's files alone."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dac.report.build import build
from dac.study import check, store
from dac.study.identity import Run
from dac.study.plan import StudyPlan, study_plan
from dac.system.errors import UserError
from tests.support.project import ROOT
from tests.support.synthetic import Invented, new_synthetic_project

pytestmark = pytest.mark.xdist_group("synthetic")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Invented]:
    folder = tmp_path_factory.mktemp("synthetic")
    invented = new_synthetic_project(folder)
    with contextlib.chdir(folder):
        build(study_plan(check.load(), "paper"))
    return folder, invented


def plan_in(folder: Path) -> StudyPlan:
    return study_plan(check.load(folder / "params.yaml"), "paper")


def scores_of(folder: Path, plan: StudyPlan, experiment: str, task: str, variant: str) -> np.ndarray:
    """A score per seed: the mean of the last five evaluations in a run's curve.csv."""
    (cell,) = [c for c in plan.cells if (c.experiment, c.task, c.variant) == (experiment, task, variant)]
    low, high = cell.evaluations[0].reference
    found = []
    for seed in plan.seeds:
        curve = pd.read_csv(folder / store.run_directory(Run(cell.group, seed)) / "curve.csv")
        means = curve.groupby("step")["return"].mean().sort_index().tail(5)
        found.append(100 * (means.mean() - low) / (high - low))
    return np.array(found)


def test_every_page_of_invented_runs_says_so(paper: tuple[Path, Invented]) -> None:
    page = (paper[0] / "results/paper/README.md").read_text()
    assert page.startswith("# SYNTHETIC: paper\n\n**No number here was measured")


def test_no_invented_run_is_in_the_repository() -> None:
    committed = list((ROOT / "results").rglob("README.md"))
    assert committed
    assert not [path for path in committed if "SYNTHETIC" in path.read_text()]
    assert not [path for path in (ROOT / "results").rglob("run.json") if json.loads(path.read_text()).get("synthetic")]
    with pytest.raises(ValueError, match="inside the repository"):
        new_synthetic_project(ROOT / "results" / "scratch")


def test_every_cell_of_every_score_table(paper: tuple[Path, Invented]) -> None:
    folder, _ = paper
    plan = plan_in(folder)
    checked = 0
    for path in sorted((folder / "results/paper/tables").glob("*-scores.csv")):
        experiment = path.name.removesuffix("-scores.csv")
        for row in pd.read_csv(path).to_dict("records"):
            if row["source"] == "this study":
                scores = scores_of(folder, plan, experiment, row["task"], str(row["method"]))
                assert (row["mean"], row["std"]) == pytest.approx((scores.mean(), scores.std(ddof=1)), abs=6e-5)
                checked += 1
    assert checked == 15 + 27 + 9 + 18 + 15 + 9 + 5


def test_every_verdict(paper: tuple[Path, Invented]) -> None:
    folder, _ = paper
    plan = plan_in(folder)
    rows = pd.read_csv(folder / "results/paper/tables/reproduction.csv").to_dict("records")
    assert len(rows) == 15
    for row in rows:
        ours = scores_of(folder, plan, row["experiment"], row["task"], row["variant"])
        if row["task"].startswith("antmaze"):
            assert row["verdict"] == "not comparable"
            continue
        # Eight numbers with the published mean and sample deviation stand for the seeds that were not published.
        theirs = np.tile([-1.0, 1.0], 4)
        theirs = row["published_mean"] + row["published_std"] * theirs / theirs.std(ddof=1)
        bounds = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx((bounds.low, bounds.high), abs=6e-5)
        expected = "higher" if bounds.low > 1 else "lower" if bounds.high < -1 else "reproduced"
        assert row["verdict"] == expected


def test_every_claim_over_tasks(paper: tuple[Path, Invented]) -> None:
    folder, _ = paper
    plan = plan_in(folder)
    table = pd.read_csv(folder / "results/paper/tables/claims.csv").set_index("claim")
    tasks = [cell.task for cell in plan.cells if (cell.experiment, cell.variant) == ("guidance", "soft")]
    for name, variant in (("Soft guidance is above hard", "hard"), ("Soft guidance is above denoised", "denoised")):
        soft = np.array([scores_of(folder, plan, "guidance", task, "soft") for task in tasks])
        other = np.array([scores_of(folder, plan, "guidance", task, variant) for task in tasks])
        assert table.loc[name, "difference"] == pytest.approx((soft.mean(1) - other.mean(1)).mean(), abs=6e-5)
        # The interval against a bootstrap of seeds within every task and variant, which knows no formula.
        random = np.random.default_rng(0)
        drawn = [
            np.mean([row[random.integers(8, size=(4000, 8))].mean(1) for row in side], axis=0) for side in (soft, other)
        ]
        low, high = np.percentile(drawn[0] - drawn[1], [2.5, 97.5])
        width = float(table.loc[name, "high"] - table.loc[name, "low"])
        assert width == pytest.approx((high - low) * np.sqrt(8 / 7), rel=0.15)


def test_diverged_runs_are_counted(paper: tuple[Path, Invented]) -> None:
    folder, invented = paper
    provenance = pd.read_csv(folder / "results/paper/tables/provenance.csv")
    assert len(invented.diverged) == 2
    assert (provenance["status"] == "diverged").sum() == 2


def test_a_study_with_missing_runs_is_refused(tmp_path: Path) -> None:
    invented = new_synthetic_project(tmp_path, "bandit", missing=0.34)
    assert len(invented.missing) == round(0.34 * (len(invented.missing) + len(invented.scores)))
    with contextlib.chdir(tmp_path), pytest.raises(UserError, match="missing"):
        build(study_plan(check.load(), "bandit"))
