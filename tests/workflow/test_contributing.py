"""The recipes of CONTRIBUTING.md that no other test follows, each by what it names and nothing else.

tests/workflow/test_components.py follows the one for a guidance.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import tiny
import yaml
from documentation import blocks
from project import ROOT, Project, copy_of, new_project

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("contributing")]

TABLE = '''"""The highest score of an evaluation during training."""

from dac.report.data import ReportData
from dac.report.item import Item
from dac.report.statistics import Summary
from dac.report.table import Table, Text


def best_evaluation_table(data: ReportData, summary: Summary) -> Table:
    best = data.curves.groupby("variant", as_index=False)["score"].max()
    rows = tuple((Text(row.variant), Text(f"{row[1]:.1f}")) for row in best.itertuples(index=False))
    return Table("main-best-evaluation", "Best evaluation.", ("Variant", "Score"), rows, best)


ITEM = Item(place=5, tables=(best_evaluation_table,))
'''
FIGURE = '''"""All evaluations, one after the other."""

from matplotlib.figure import Figure

from dac.report.data import ReportData
from dac.report.item import Item, Picture
from dac.report.panels import grid_of
from dac.report.score_panels import score_label
from dac.report.statistics import Summary


def evaluations_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    grid = grid_of(summary.experiment.tasks, width, "Evaluation", score_label(data))
    for task, axis in grid.axes.items():
        axis.plot(data.curves.query("task == @task")["score"].to_numpy())
    return grid.figure


ITEM = Item(place=5, picture=Picture(evaluations_figure, lambda data, summary: "All evaluations."))
'''


@pytest.fixture(scope="module")
def finished(quick_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny study, made."""
    project = new_project(tmp_path_factory.mktemp("contributing") / "project", quick_python)
    tiny.write_rows(project.path / "data/pendulum.hdf5")
    (project.path / "params.yaml").write_text(yaml.safe_dump(tiny.PARAMS, sort_keys=False))
    project.succeed("snakemake", "tiny", "--cores", "1", "--show-failed-logs")
    return project


def test_an_ablation_is_an_edit_of_params(finished: Project, tmp_path: Path) -> None:
    """The block of the page, at the sizes and on the task of the tiny study, whose runs it shares where T is 2."""
    project = copy_of(finished, tmp_path / "project")
    (block,) = blocks(ROOT / "CONTRIBUTING.md", "yaml")
    for section, entries in yaml.safe_load(block.text).items():
        for name, entry in entries.items():
            project.set_param(f"{section}.{name}", entry)
    project.set_param("experiments.diffusion_steps.tasks", ["pendulum"])
    project.set_param("experiments.diffusion_steps.settings", {})
    project.set_param("studies.ablation.settings", project.params["studies"]["tiny"]["settings"])
    work = len(project.journal())
    project.succeed("snakemake", "ablation", "--cores", "1", "--show-failed-logs")
    trained = [event["run"] for event in project.journal()[work:] if event["event"] == "train"]
    assert len(trained) == 3 * 3 - 2
    scores = project.table("diffusion_steps-scores", "ablation").query("source == 'this study'")
    assert list(scores.query("task == 'pendulum'")["method"].astype(str)) == ["2", "5", "10"]
    assert list(scores.query("task == 'pendulum'")["seeds"]) == [3, 3, 3]
    assert (project.path / "results/ablation/figures/diffusion_steps-sweep.png").is_file()
    assert "Nothing to be done" in project.succeed("snakemake", "ablation", "tiny", "--dry-run")


def test_a_table_and_a_figure(finished: Project, tmp_path: Path) -> None:
    project = copy_of(finished, tmp_path / "project")
    for name, text in (("best_evaluation", TABLE), ("evaluations", FIGURE)):
        (project.path / f"dac/report/items/{name}.py").write_text(text)
    assert "Nothing to be done" in project.succeed("snakemake", "tiny", "--dry-run")

    project.set_param("experiments.main.show", ["scores", "best_evaluation", "evaluations"])
    work = len(project.journal())
    project.succeed("snakemake", "tiny", "--cores", "1", "--show-failed-logs")
    assert [event["event"] for event in project.journal()[work:]] == ["report"]
    folder = project.path / "results/tiny"
    table = pd.read_csv(folder / "tables/main-best-evaluation.csv").set_index("variant")
    curves = [pd.read_csv(path) for path in (project.path / "results/runs").glob("pendulum/*/seed-*/curve.csv")]
    assert len(curves) == 2
    means = [curve.groupby("step")["return"].mean().max() for curve in curves]
    assert table.loc["soft", "score"] == pytest.approx(max(means) - 5.0, abs=1e-4)  # the references are 5 and 105
    assert (folder / "figures/main-evaluations.png").is_file()
    page = (folder / "README.md").read_text()
    assert "**Best evaluation.**" in page and "Main. All evaluations." in page
