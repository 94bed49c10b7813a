"""The bandit's table and figure, from actions whose quality is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_figures
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from dac.envs.bandit import BEST_ACTION, Behaviour
from dac.report.bandit import fresh_name, level_grid, measures
from dac.report.data import BanditTask, Experiment, ReportData
from dac.report.items.bandit import bandit_table
from dac.report.panels import COLUMN_WIDTH, style
from dac.report.protocol import protocol
from dac.report.render import render
from dac.report.statistics import summarise

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]
TASK = "own_hopper"
RECORDED = Behaviour(np.array([[0.4, -0.4], [-0.6, 0.6]]), np.array([0, 1]))


def drawn(variant: str, seed: int) -> pd.DataFrame:
    """Two hundred actions: soft's are on the modes, seed 1 on the first alone; hard's on no mode."""
    points = {
        ("soft", 0): [(0.4, -0.4), (-0.6, 0.6)],
        ("soft", 1): [(0.4, -0.4), (0.4, -0.4)],
        ("hard", 0): [(0.4, 0.6), (0.4, 0.6)],
        ("hard", 1): [(0.4, 0.6), (0.4, 0.6)],
    }[variant, seed] * 100
    frame = pd.DataFrame(points, columns=["x", "y"])
    return frame.assign(experiment="bandit", task=TASK, variant=variant, seed=seed)


@pytest.fixture
def study(build: Build, experiment: Make) -> ReportData:
    shown = experiment(
        name="bandit", title="Bandit", tasks=(TASK,), variants=("soft", "hard"), show=("bandit",), published=()
    )
    data = build([shown], seeds=2, diverged=[(TASK, "hard", 1)])
    grid = level_grid(21)
    second, first = np.meshgrid(grid, grid, indexing="ij")
    q = {"soft": -np.hypot(first - BEST_ACTION[0], second - BEST_ACTION[1]), "hard": first}
    bandit = BanditTask("two-gaussians", RECORDED, 0, grid, q)
    actions = pd.concat([drawn(variant, seed) for variant in ("soft", "hard") for seed in (0, 1)])
    return replace(data, actions=actions, bandits={("bandit", TASK): bandit})


def test_measures_of_every_run(study: ReportData) -> None:
    frame = measures(study, study.experiments[0]).set_index(["variant", "seed"])
    far = -np.sqrt(2.0)
    assert frame.loc[("soft", 0), ["reward", "inside", "modes"]].tolist() == pytest.approx([far / 2, 100.0, 2])
    assert frame.loc[("soft", 1), ["reward", "inside", "modes"]].tolist() == pytest.approx([0.0, 100.0, 1])
    assert frame.loc[("hard", 0), ["reward", "inside", "modes"]].tolist() == pytest.approx([-1.0, 0.0, 0])
    assert ("behaviour", 0) in frame.index and len(frame) == 5


def test_a_variant_may_have_the_name_of_the_set(study: ReportData) -> None:
    """What the set itself is called is then another name, and no number is mixed up with it."""
    before = measures(study, study.experiments[0]).set_index(["variant", "seed"])
    renamed = replace(study.experiments[0], variants=("behaviour", "hard"))
    frames = {name: getattr(study, name).replace({"soft": "behaviour"}) for name in ("actions", "curves", "runs")}
    data = replace(study, experiments=(renamed,), **frames)
    after = measures(data, renamed).set_index(["variant", "seed"])
    assert fresh_name(renamed) == "behaviour set"
    numbers = ["reward", "inside", "modes"]
    for seed in (0, 1):
        assert after.loc[("behaviour", seed), numbers].tolist() == before.loc[("soft", seed), numbers].tolist()
    assert after.loc[("behaviour set", 0), numbers].tolist() == before.loc[("behaviour", 0), numbers].tolist()
    rows = [[cell.text for cell in row[1:3]] for row in bandit_table(data, summarise(data, renamed)).rows]
    assert rows == [["behaviour", "2"], ["hard †1", "2"], ["behaviour set", "–"]]


def test_the_table_has_mean_and_deviation_over_seeds(study: ReportData) -> None:
    table = bandit_table(study, summarise(study, study.experiments[0]))
    rows = [[cell.text for cell in row] for row in table.rows]
    assert rows[0] == [TASK, "soft", "2", "-0.354 ± 0.500", "100.0 ± 0.0", "1.5 ± 0.7 of 2"]
    assert rows[1] == [TASK, "hard †1", "2", "-1.000 ± 0.000", "0.0 ± 0.0", "0.0 ± 0.0 of 2"]
    assert rows[2][:3] == [TASK, "behaviour", "–"] and "±" not in rows[2][3]
    notes = " ".join(table.notes)
    assert "200 drawn actions" in notes and "nearer than 0.05" in notes and "†1 diverged" in notes


def test_the_figure_shows_one_seeds_actions_over_the_level_curves(study: ReportData) -> None:
    figure: Figure = report_figures.drawn(study, "bandit")
    soft, hard = figure.axes
    assert [axis.get_title() for axis in (soft, hard)] == ["soft", "hard"]
    assert soft.get_ylabel() == TASK
    for axis in (soft, hard):
        assert sorted(len(dots.get_offsets()) for dots in axis.collections if len(dots.get_offsets()) > 1) == [2, 100]
    assert soft.collections[-1].get_facecolor().tobytes() != hard.collections[-1].get_facecolor().tobytes()
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels == ["recorded (darker: higher reward)", "drawn by the policy", "learned Q", "best action"]


def test_every_panel_has_the_level_curves_of_its_own_q(study: ReportData) -> None:
    figure: Figure = report_figures.drawn(study, "bandit")
    lines = []
    for axis in figure.axes:
        (curves,) = [item for item in axis.collections if isinstance(item, QuadContourSet)]
        middle = len(curves.levels) // 2
        lines.append((curves.levels[middle], curves.get_paths()[middle].vertices))
    (soft_level, soft), (hard_level, hard) = lines
    # Circles around the best action, and upright lines.
    assert np.hypot(*(soft - BEST_ACTION).T) == pytest.approx(-soft_level, abs=0.02)
    assert hard[:, 0] == pytest.approx(hard_level, abs=1e-9)


def test_the_legend_fits_a_column(study: ReportData) -> None:
    with style():
        figure = report_figures.drawn(study, "bandit", COLUMN_WIDTH)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 + 2 < box.x0 < box.x1 < figure.bbox.x1 - 2


def test_names_of_small_panels_stay_apart_and_their_marks_small(
    study: ReportData, build: Build, experiment: Make
) -> None:
    """At a column's width, the sets side by side."""
    tasks, variants = ("hopper-medium-v2", "walker2d-medium-v2", TASK), ("soft", "hard", "denoised", "BC")
    shown = experiment(name="bandit", tasks=tasks, variants=variants, show=("bandit",))
    one = study.bandits["bandit", TASK]
    bandit = replace(one, q=dict.fromkeys(variants, one.q["soft"]))
    actions = [drawn("soft", 0).assign(task=task, variant=name) for task in tasks for name in variants]
    data = replace(
        build([shown], seeds=1), actions=pd.concat(actions), bandits={("bandit", task): bandit for task in tasks}
    )
    with style():
        figure = report_figures.drawn(data, "bandit", COLUMN_WIDTH)
        figure.draw_without_rendering()
        titles = [axis.title.get_window_extent() for axis in figure.axes[:3]]
    assert [axis.get_title() for axis in figure.axes[:3]] == [
        "hopper-\nmedium-v2",
        "walker2d-\nmedium-v2",
        "own_hopper",
    ]
    assert titles[0].x1 < titles[1].x0 and titles[1].x1 < titles[2].x0
    (dots,) = [item for item in figure.axes[0].collections if len(item.get_offsets()) == 100]
    assert dots.get_sizes()[0] < 7  # 9 where a panel has a fifth of a text's width


def test_a_page_of_bandits_alone_speaks_of_no_scores(study: ReportData, tmp_path: Path) -> None:
    paths = {path.relative_to(tmp_path).as_posix() for path in render(study, tmp_path)}
    assert {"figures/bandit-bandit.png", "figures/bandit-bandit.pdf", "tables/bandit-actions.tex"} <= paths
    assert not any("robust" in path for path in paths)
    text = (tmp_path / "README.md").read_text()
    assert "Normalised score" not in text and "no published numbers" in text
    assert "![Bandit." in text
    assert (tmp_path / "tables/bandit-actions.tex").read_text().isascii()
    means = json.loads((tmp_path / "metrics.json").read_text())
    assert means == {"reward": {"bandit": {TASK: {"soft": round(-(0.5**0.5) / 2, 4), "hard": -1.0}}}}


def test_a_page_of_bandits_and_scores_counts_the_scores_evaluations(study: ReportData, build: Build) -> None:
    scores = build(seeds=2)
    mixed = replace(
        study,
        experiments=(*scores.experiments, *study.experiments),
        curves=pd.concat([scores.curves, study.curves, study.curves.assign(episode=9)]),
        evaluations=pd.concat([scores.evaluations, study.evaluations]),
        runs=pd.concat([scores.runs, study.runs]),
    )
    text = "\n".join(protocol(mixed, [summarise(mixed, experiment) for experiment in mixed.experiments]))
    assert "each the mean of 2 episodes" in text
    assert "**Bandit.**" in text and "Normalised score" in text
