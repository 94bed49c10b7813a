from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dac.report.data import Experiment, ReportData
from dac.report.figures import draw, figure_kinds
from dac.report.panels import style
from dac.report.statistics import summarise

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]


def _draw(data: ReportData, kind: str) -> Figure:
    return draw(kind, data, summarise(data, data.experiments[0]))


def _panels(figure: Figure) -> dict[str, Axes]:
    return {axis.get_title().replace("\n", ""): axis for axis in figure.axes if axis.get_visible()}


def _heights(line: Line2D) -> list[float]:
    heights: list[float] = np.asarray(line.get_ydata(), dtype=float).tolist()
    return heights


def _labels(axis: Axes) -> list[str]:
    return [str(line.get_label()) for line in axis.lines]


def test_curves_show_means_and_reference_lines(data: ReportData) -> None:
    panels = _panels(_draw(data, "curves"))
    assert list(panels) == ["hopper-medium-v2", "own_hopper"]
    soft = panels["hopper-medium-v2"].lines[0]
    # Mean over seeds 0..3 of seed² is 3.5, over two episodes 0.25.
    assert _heights(soft) == [61.75, 62.75, 63.75, 64.75]
    lines = {str(line.get_label()): line for line in panels["own_hopper"].lines}
    assert _heights(lines["data mean"]) == [44.3, 44.3]
    assert _heights(lines["best data episode"]) == [60.0, 60.0]


def test_the_published_curve_is_drawn_for_comparable_tasks_only(build: Build) -> None:
    panels = _panels(_draw(build(steps=(0, 10_000, 20_000, 30_000)), "curves"))
    assert "published" in _labels(panels["hopper-medium-v2"])
    assert "published" not in _labels(panels["own_hopper"])


def test_an_early_spike_does_not_flatten_a_panel(data: ReportData) -> None:
    spiked = data.curves.copy()
    early = (spiked["task"] == "own_hopper") & (spiked["step"] == 0)
    spiked.loc[early, "score"] = 5000.0
    panels = _panels(_draw(replace(data, curves=spiked), "curves"))
    bottom, top = panels["own_hopper"].get_ylim()
    assert bottom < 44.3 and 65 < top < 100
    untouched = _panels(_draw(data, "curves"))["hopper-medium-v2"].get_ylim()
    assert panels["hopper-medium-v2"].get_ylim() == untouched
    # A spike that lasts is shown.
    spiked.loc[(spiked["task"] == "own_hopper") & (spiked["step"] >= 2000), "score"] = 5000.0
    assert _panels(_draw(replace(data, curves=spiked), "curves"))["own_hopper"].get_ylim()[1] > 5000


def test_a_best_episode_far_above_does_not_flatten_a_panel(data: ReportData) -> None:
    tasks = data.tasks.copy()
    tasks.loc[tasks["task"] == "own_hopper", "data_score_max"] = 500.0
    axis = _panels(_draw(replace(data, tasks=tasks), "curves"))["own_hopper"]
    assert axis.get_ylim()[1] < 100
    assert "best data episode" not in _labels(axis)
    assert [text.get_text() for text in axis.texts] == ["best data episode: 500 ↑"]


def test_comparison_has_a_dot_per_seed(data: ReportData) -> None:
    axis = _panels(_draw(data, "comparison"))["hopper-medium-v2"]
    heights = [
        sorted(np.asarray(dots.get_offsets(), dtype=float)[:, 1].tolist())
        for dots in axis.collections
        if type(dots).__name__ == "PathCollection"
    ]
    assert heights == [[60.75, 61.75, 64.75, 69.75], [66.75, 67.75, 70.75, 75.75]]
    bottom, top = axis.get_ylim()
    assert bottom < 44.3
    assert top > 75.75


@pytest.mark.parametrize(
    ("variants", "scale", "places"),
    [
        (("2", "5", "10"), "linear", [2.0, 5.0, 10.0]),
        (("0.05", "0.1", "1"), "log", [0.05, 0.1, 1.0]),
        (("0", "0.01", "1"), "linear", [0.0, 1.0, 2.0]),
        (("lcb", "min"), "linear", [0.0, 1.0]),
    ],
)
def test_a_sweep_spaces_its_values_so_that_no_labels_touch(
    variants: tuple[str, ...], scale: str, places: list[float], build: Build, experiment: Make
) -> None:
    data = build([experiment(variants=variants, varied="lcb_coefficient", show=("sweep",))])
    axis = _panels(_draw(data, "sweep"))["hopper-medium-v2"]
    assert axis.get_xscale() == scale
    assert [float(tick) for tick in axis.get_xticks()] == places
    assert [tick.get_text() for tick in axis.get_xticklabels()] == list(variants)


def test_action_samples_are_on_a_log2_axis(data: ReportData) -> None:
    axis = _panels(_draw(data, "action_samples"))["own_hopper"]
    assert axis.get_xscale() == "log"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "4"]
    assert _heights(axis.lines[0]) == [68.25, 70.25]


def test_only_what_is_asked_for_is_drawn(experiment: Make) -> None:
    assert figure_kinds(experiment(show=("scores",))) == []
    assert figure_kinds(experiment(show=("curves", "scores", "comparison"))) == ["comparison", "curves"]


@pytest.mark.parametrize("kind", ["curves", "comparison"])
def test_no_title_overlaps_another_panel(kind: str, build: Build, experiment: Make) -> None:
    data = build([experiment(variants=("soft", "behaviour cloning without any guidance at all", "c", "d"))])
    tasks = tuple(f"halfcheetah-medium-replay-collected-{i}" for i in range(15))
    rows = data.tasks.iloc[[2] * 15].assign(task=tasks)
    frames = {name: getattr(data, name) for name in ("curves", "evaluations", "runs")}
    own = {name: frame[frame["task"] == "own_hopper"] for name, frame in frames.items()}
    wide = {name: _repeat(frame, tasks) for name, frame in own.items()}
    many = replace(data.experiments[0], tasks=tasks)
    large = replace(data, experiments=(many,), tasks=rows, **wide)  # type: ignore[arg-type]
    with style():
        figure = _draw(large, kind)
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        figure.draw(renderer)
        axes = [axis for axis in figure.axes if axis.get_visible()]
        boxes = [axis.get_tightbbox(renderer) for axis in axes] + [figure.legends[0].get_window_extent(renderer)]
    for one, other in combinations(boxes, 2):
        assert one is not None
        assert other is not None
        assert not one.padded(-1).overlaps(other.padded(-1))
    for box in boxes:
        assert box is not None
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1


def _repeat(frame: pd.DataFrame, tasks: tuple[str, ...]) -> pd.DataFrame:
    return pd.concat([frame.assign(task=task) for task in tasks], ignore_index=True)
