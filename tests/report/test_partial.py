"""The page of a study that is not finished, of invented runs of the study `quick`."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from synthetic import Invented, new_synthetic_project

from dac.report import build, partial, study_data
from dac.report.items import items
from dac.report.panels import TEXT_WIDTH
from dac.report.statistics import summarise
from dac.study import check, pages, store
from dac.study.identity import Run
from dac.study.plan import StudyPlan, study_plan
from dac.system.errors import UserError

pytestmark = pytest.mark.xdist_group("partial")
PAGE = Path("work/partial/quick")


def made(folder: Path, missing: float) -> tuple[StudyPlan, Invented]:
    """The partial page of a study of which a share is missing."""
    invented = new_synthetic_project(folder, "quick", missing=missing)
    with contextlib.chdir(folder):
        plan = study_plan(check.load(), "quick")
        assert build.build_partial(plan) == PAGE
    return plan, invented


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("partial")
    made(folder, 0.6)
    return folder


def there(plan: StudyPlan, experiment: str) -> dict[tuple[str, str], int]:
    """How many seeds of each cell are in the store."""
    return {
        (cell.task, cell.variant): sum(not store.run_problem(Run(cell.group, seed)) for seed in plan.seeds)
        for cell in plan.cells
        if cell.experiment == experiment
    }


def test_scores_are_of_the_seeds_that_are_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    plan = study_plan(check.load(), "quick")
    counts = there(plan, "quick_guidance")
    assert 0 in counts.values() and set(counts.values()) - {0, 5}  # the store has cells of each kind
    table = pd.read_csv(PAGE / "tables/quick_guidance-scores.csv").query("source == 'this study'")
    assert {(row.task, row.method): row.seeds for row in table.itertuples()} == counts
    runs = pd.read_csv(PAGE / "scores.csv").query("experiment == 'quick_guidance'")
    means = runs.groupby(["task", "variant"])["score"].mean()
    for row in table.itertuples():
        assert row.mean == pytest.approx(means.get((row.task, row.method), float("nan")), abs=6e-5, nan_ok=True)
    text = (PAGE / "tables/quick_guidance-scores.md").read_text()
    partly = [count for count in counts.values() if count not in (0, 5)]
    assert sorted(map(int, re.findall(r"\((\d) of 5 seeds\)", text))) == sorted(partly)
    cells = [cell.strip() for line in text.splitlines()[4:6] for cell in line.split("|")[3:6]]
    assert cells.count("–") == list(counts.values()).count(0)


def test_the_page_says_what_it_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = (PAGE / "README.md").read_text()
    assert text.startswith("# PARTIAL: SYNTHETIC: quick\n")
    assert "**Partial: 18 of 45 runs are trained and evaluated. " in text
    assert "## What it shows" not in text  # no claim has all of its runs
    assert pages.problem(study_plan(check.load(), "quick")) == "missing"  # it is no page of the study
    assert not Path("results/quick").exists()


def test_for_a_browser_too_it_has_what_is_there(project: Path) -> None:
    text = (project / PAGE / "report.html").read_text()
    assert "<title>PARTIAL: SYNTHETIC: quick</title>" in text
    assert "<strong>Partial: 18 of 45 runs are trained and evaluated. " in text
    (numbers,) = re.findall(r'id="numbers">(.*?)</script>', text, re.DOTALL)
    assert sum(len(cell["runs"]) for cell in json.loads(numbers)["cells"]) == 18


def test_figures_show_what_is_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    plan = study_plan(check.load(), "quick")
    counts = there(plan, "quick_guidance")
    some = {task for task, _ in counts if any(count for (other, _), count in counts.items() if other == task)}
    whole = {task for task in some if all(count for (other, _), count in counts.items() if other == task)}
    assert some and not whole
    names = {path.stem for path in (PAGE / "figures").iterdir()}
    assert {"quick_bandit-bandit", "quick_guidance-comparison", "quick_guidance-curves"} <= names
    data = study_data.report_data(plan, [run for run in plan.runs() if not store.run_problem(run)])
    summary = next(summarise(data, experiment) for experiment in data.trained if experiment.name == "quick_guidance")
    picture = items()["comparison"].picture
    assert picture is not None
    shown = partial.drawable(data, summary, picture)
    assert shown is not None and set(shown.experiment.tasks) == some
    assert partial.drawable(data, summary, replace(picture, over_tasks=True)) is None
    for axes in picture.draw(data, shown, TEXT_WIDTH).axes:
        seeds = [item.get_offsets() for item in axes.collections if isinstance(item, PathCollection)]
        drawn = [int(np.ma.count(places[:, 1])) for places in np.ma.masked_invalid(seeds)]
        # Every variant has its place, where there are no runs of it an empty one.
        assert drawn == [counts[axes.get_title(), variant] for variant in shown.experiment.variants]


def test_a_page_of_a_study_that_is_not_complete_is_refused_with_what_to_do(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    said = r"(?s)Start snakemake again.*18 of the 45 runs of quick are complete: `dac report quick --partial`"
    with pytest.raises(UserError, match=said):
        build.build(study_plan(check.load(), "quick"))


def test_a_page_of_almost_nothing(tmp_path: Path) -> None:
    _, invented = made(tmp_path, 0.95)
    assert len(invented.scores) == 2
    assert "**Partial: 2 of 45 runs" in (tmp_path / PAGE / "README.md").read_text()


def test_a_page_of_almost_everything_has_claims(tmp_path: Path) -> None:
    _, invented = made(tmp_path, 0.03)
    assert len(invented.missing) == 1
    text = (tmp_path / PAGE / "README.md").read_text()
    assert "## What it shows" in text
    assert "(4 of 5 seeds)" in text or "bandit" in str(invented.missing[0])


def test_a_study_of_which_nothing_is_there(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((project / "params.yaml").read_text())
    with pytest.raises(UserError, match=r"studies\.quick: no run is trained and evaluated yet.*`dac status quick`"):
        build.build_partial(study_plan(check.load(), "quick"))
    assert not PAGE.exists()
