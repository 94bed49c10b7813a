"""The page of the study `paper` from invented runs, its numbers computed once more from the store's files alone."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paper_items import paper_items
from rliable import metrics
from rliable_library import rliable_library
from scipy import stats

from dac import load_policy
from dac.report.build import build
from dac.report.study_data import report_data
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


def test_every_item_of_the_paper_is_rendered_where_the_docs_say(paper: tuple[Path, Invented]) -> None:
    page = paper[0] / "results/paper"
    text = (page / "README.md").read_text()
    files = [file for item in paper_items() for file in item.files]
    assert len(files) == len(set(files)) > 15
    for file in files:
        suffix = "md" if file.startswith("tables/") else "png"
        assert (page / f"{file}.{suffix}").exists() and f"{file}." in text, file


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


def test_every_aggregate(paper: tuple[Path, Invented]) -> None:
    """Interquartile means and probabilities of improvement, with rliable's own functions for points and intervals."""
    folder, _ = paper
    plan = plan_in(folder)
    tasks = [cell.task for cell in plan.cells if (cell.experiment, cell.variant) == ("aggregates", "soft")]
    assert len(tasks) == 9
    of = {
        variant: np.array([scores_of(folder, plan, "aggregates", task, variant) for task in tasks]).T
        for variant in ("soft", "hard", "denoised", "BC")
    }
    table = pd.read_csv(folder / "results/paper/tables/aggregates-aggregates.csv").set_index("variant")
    assert list(table.index) == list(of) and set(table["scope"]) == {"all tasks"}
    library = rliable_library()
    np.random.seed(0)
    for variant, scores in of.items():
        middle = np.sort(scores.ravel())[18:54]  # of 72 runs
        assert table.loc[variant, "iqm"] == pytest.approx(middle.mean(), abs=6e-5)
        _, bounds = library.get_interval_estimates(
            {variant: scores}, lambda drawn: np.array([metrics.aggregate_iqm(drawn)]), reps=1000
        )
        found = table.loc[variant, ["iqm_low", "iqm_high"]].to_numpy(dtype=float)
        assert found == pytest.approx(bounds[variant].ravel(), abs=0.12 * np.ptp(bounds[variant]))
        if variant == "soft":
            assert table.loc[variant, ["better", "better_low", "better_high"]].isna().all()
            continue
        pairs = [(x > y) + 0.5 * (x == y) for x, y in zip(of["soft"].T[:, :, None], scores.T[:, None, :], strict=True)]
        assert table.loc[variant, "better"] == pytest.approx(np.mean(pairs), abs=6e-5)
        _, bounds = library.get_interval_estimates(
            {variant: [of["soft"], scores]}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=500
        )
        found = table.loc[variant, ["better_low", "better_high"]].to_numpy(dtype=float)
        assert found == pytest.approx(bounds[variant].ravel(), abs=0.02)


def test_interquartile_means_of_every_suite(paper: tuple[Path, Invented]) -> None:
    folder, _ = paper
    plan = plan_in(folder)
    table = pd.read_csv(folder / "results/paper/tables/main-robust.csv").set_index("task")["iqm"]
    tasks = [cell.task for cell in plan.cells if cell.experiment == "main"]
    mazes = [task for task in tasks if task.startswith("antmaze")]
    for name, names in (
        ("Locomotion tasks", sorted({*tasks} - {*mazes})),
        ("AntMaze tasks", mazes),
        ("all tasks", tasks),
    ):
        runs = np.sort(np.concatenate([scores_of(folder, plan, "main", task, "DAC") for task in names]))
        cut = len(runs) // 4
        assert table[name] == pytest.approx(runs[cut : len(runs) - cut].mean(), abs=6e-5)


def test_which_evaluations_the_scores_of_table_1_are_of(paper: tuple[Path, Invented]) -> None:
    """Ours by both rules over the comparable tasks; published averages from the published numbers."""
    folder, _ = paper
    plan = plan_in(folder)
    table = pd.read_csv(folder / "results/paper/tables/main-selection.csv")
    cells = [c for c in plan.cells if c.experiment == "main" and not c.task.startswith("antmaze")]
    last, best = np.zeros(8), np.zeros(8)
    for cell in cells:
        low, high = cell.evaluations[0].reference
        for index, seed in enumerate(plan.seeds):
            curve = pd.read_csv(folder / store.run_directory(Run(cell.group, seed)) / "curve.csv")
            means = 100 * (curve.groupby("step")["return"].mean().sort_index() - low) / (high - low)
            last[index] += means.tail(5).mean() / 9
            best[index] += means.max() / 9
    ours = table[table["scores_of"] == "DAC (this study)"]
    assert ours["selection"].tolist() == ["mean of the last 5 evaluations", "best evaluation"]
    assert ours["mean"].tolist() == pytest.approx([last.mean(), best.mean()], abs=6e-5)
    assert ours["std"].tolist() == pytest.approx([last.std(ddof=1), best.std(ddof=1)], abs=6e-5)
    quoted = pd.read_csv(ROOT / "dac/reference/published_scores.csv")
    quoted = quoted[quoted["suite"] == "locomotion-v2"].groupby("method")["mean"].agg(["mean", "size"])
    theirs = table[~table["scores_of"].str.endswith("(this study)")].set_index("scores_of")
    assert set(theirs.index) == {"BC", "CQL", "IQL", "SfBC", "IDQL-A", "DQL", "DAC"}
    for method, row in theirs.iterrows():
        assert quoted.loc[method, "size"] == 9
        assert row["mean"] == pytest.approx(quoted.loc[method, "mean"], abs=6e-5)
    assert (theirs.loc["DQL", "selection"], theirs.loc["IDQL-A", "selection"]) == ("best evaluation", "last evaluation")


def test_published_numbers_stand_beside_every_comparable_cell_and_no_other(paper: tuple[Path, Invented]) -> None:
    folder, _ = paper
    for path in sorted((folder / "results/paper/tables").glob("*-scores.csv")):
        table = pd.read_csv(path, keep_default_na=False)
        ours, quoted = (table[table["source"] == "this study"], table[~table["source"].isin(["this study", "dataset"])])
        for task, cells in ours.groupby("task"):
            comparable = (cells["differs"] == "").any()
            assert not len(quoted[quoted["task"] == task]) or comparable, (path.name, task)
    main = pd.read_csv(folder / "results/paper/tables/main-scores.csv", keep_default_na=False)
    beside = main[main["method"] == "CQL"]["task"].tolist()
    assert len(beside) == 9 and not any(task.startswith("antmaze") for task in beside)
    mazes = main[main["task"].str.startswith("antmaze") & (main["source"] == "this study")]
    assert mazes["differs"].str.startswith("the goal is drawn for each episode here").all()


def test_every_bandit_panel_has_its_own_q(paper: tuple[Path, Invented]) -> None:
    """From the policy of the panel's own run, read by the module for users of policies."""
    folder, _ = paper
    with contextlib.chdir(folder):
        plan = study_plan(check.load(), "bandit")
        data = report_data(plan)
    shown = data.bandits["bandit", "bandit-two-moons"]
    cells = [c for c in plan.cells if (c.experiment, c.task) == ("bandit", "bandit-two-moons")]
    assert list(shown.q) == [cell.variant for cell in cells]
    assert len({q.tobytes() for q in shown.q.values()}) == len(cells)
    for cell in cells:
        policy = load_policy(folder / store.run_directory(Run(cell.group, plan.seeds[0])))
        action = np.array([[shown.grid[10], shown.grid[70]]])
        assert shown.q[cell.variant][70, 10] == pytest.approx(policy.values(np.zeros((1, 1)), action)[0], rel=1e-5)


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


def test_every_time_is_that_of_its_record(paper: tuple[Path, Invented]) -> None:
    """Means, growth and ratios of Table 8 from the records of the store."""
    folder, _ = paper
    recorded = {}
    for path in (folder / "results/runs/hopper-medium-v2").glob("timing-*/timing.json"):
        content = json.loads(path.read_text())
        settings = content["identity"]["settings"]
        times = np.array([[repeat["step_ms"], repeat["actor_ms"]] for repeat in content["repeats"]])
        recorded[settings["guidance"], settings["diffusion_steps"]] = dict(
            zip(("step_ms", "actor_ms"), times.mean(0), strict=True)
        )
    assert len(recorded) == 10
    for name, measure in (("timing", "step_ms"), ("timing-actor", "actor_ms")):
        table = pd.read_csv(folder / f"results/paper/tables/timing-{name}.csv")
        assert len(table) == 10
        for row in table.to_dict("records"):
            mean = recorded[row["variant"], row["value"]][measure]
            assert row[measure] == pytest.approx(mean, abs=6e-5)
            assert row[f"{measure}_growth"] == pytest.approx(mean / recorded[row["variant"], 5][measure], abs=6e-5)
            assert row[f"{measure}_ratio"] == pytest.approx(mean / recorded["soft", row["value"]][measure], abs=6e-5)
    claims = pd.read_csv(folder / "results/paper/tables/claims.csv").set_index("claim")
    expected = recorded["denoised", 100]["step_ms"] - recorded["soft", 100]["step_ms"]
    found = claims.loc["A step of DAC takes less time than one through the chain"]
    assert (found["difference"], found["verdict"]) == (pytest.approx(expected, abs=6e-5), "holds")


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
