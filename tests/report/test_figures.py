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
from dac.report.panels import arranged, style
from dac.report.published_marks import paper_place
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
    soft = next(line for line in panels["hopper-medium-v2"].lines if line.get_label() != "published")
    # Mean over seeds 0..3 of seed² is 3.5, over two episodes 0.25.
    assert _heights(soft) == [61.75, 62.75, 63.75, 64.75]
    # Scores there are 61 to 80, the best episode's 60: a line; the data's mean, 44.3, would squeeze them.
    lines = {str(line.get_label()): line for line in panels["own_hopper"].lines}
    assert _heights(lines["best data episode"]) == [60.0, 60.0]
    assert [text.get_text() for text in panels["own_hopper"].texts] == ["data mean: 44 ↓"]


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
    assert bottom < 60 and 65 < top < 2000
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
    assert "best data episode: 500 ↑" in [text.get_text() for text in axis.texts]


def test_a_data_mean_far_below_is_a_note_beneath_all_points(data: ReportData) -> None:
    tasks = data.tasks.copy()
    tasks.loc[tasks["task"] == "own_hopper", "data_score_mean"] = -200.0
    axis = _panels(_draw(replace(data, tasks=tasks), "comparison"))["own_hopper"]
    assert [text.get_text() for text in axis.texts] == ["data mean: -200 ↓"]
    dots = [item for item in axis.collections if type(item).__name__ == "PathCollection"]
    lowest = min(float(np.asarray(item.get_offsets(), dtype=float)[:, 1].min()) for item in dots)
    bottom, top = axis.get_ylim()
    assert bottom > -100
    assert lowest > bottom + 0.1 * (top - bottom)


def test_variants_are_named_on_the_axis(data: ReportData) -> None:
    figure = _draw(data, "comparison")
    for axis in _panels(figure).values():
        assert [tick.get_text() for tick in axis.get_xticklabels()] == ["soft", "bc_only"]


def test_an_antmaze_has_a_success_rate_that_ends_at_100(build: Build, experiment: Make) -> None:
    data = build([experiment(tasks=("own_hopper",))])
    frames = {
        name: getattr(data, name).assign(task="antmaze-umaze-v0") for name in ("curves", "evaluations", "runs", "tasks")
    }
    frames["curves"]["score"] = 95 + frames["curves"]["seed"] * 2.0
    data = replace(data, experiments=(experiment(tasks=("antmaze-umaze-v0",)),), differences={}, **frames)
    axis = _panels(_draw(data, "curves"))["antmaze-umaze-v0"]
    assert axis.get_ylabel() == "Success rate (%)"
    assert axis.get_ylim()[1] <= 102


def test_a_published_curve_far_from_ours_stays_in_view(build: Build) -> None:
    data = build(steps=tuple(range(0, 400_000, 10_000)))
    curves = data.curves.assign(score=30 + data.curves["seed"] * 0.1)
    curves.loc[curves["step"] == 0, "score"] = -500.0
    axis = _panels(_draw(replace(data, curves=curves), "curves"))["hopper-medium-v2"]
    (line,) = [line for line in axis.lines if line.get_label() == "published"]
    assert axis.get_ylim()[0] > -400
    assert axis.get_ylim()[1] > _heights(line)[-1] > 70


def test_scores_that_are_not_finite_are_drawn_as_far_as_they_are(build: Build) -> None:
    data = build(seeds=1)
    data.curves["score"] = np.inf
    assert "own_hopper" in _panels(_draw(data, "curves"))


@pytest.mark.parametrize(
    ("setting", "variants", "place"),
    [
        ("ensemble_size", ("2", "10"), 1),
        ("bc_threshold", ("1", "5"), 0),
        ("max_backup", ("true", "false"), 1),
        ("guidance", ("hard", "soft"), 1),
        ("ensemble_size", ("2", "5"), None),
        ("eval_interval", ("1", "2"), None),
    ],
)
def test_the_papers_value_is_found_however_it_is_spelt(
    setting: str, variants: tuple[str, ...], place: int | None, build: Build, experiment: Make
) -> None:
    data = build([experiment(variants=variants, varied=setting)], seeds=1)
    assert paper_place(data, data.experiments[0], "hopper-medium-v2") == place
    data.task_rows["hopper-medium-v2"]["published_id"] = None  # type: ignore[index]
    assert paper_place(data, data.experiments[0], "hopper-medium-v2") is None


def test_a_sweep_is_drawn_in_the_order_of_its_values(build: Build, experiment: Make) -> None:
    data = build([experiment(variants=("10", "2", "5"), varied="ensemble_size", show=("sweep",))])
    line = _panels(_draw(data, "sweep"))["hopper-medium-v2"].lines[0]
    assert np.asarray(line.get_xdata(), dtype=float).tolist() == [2.0, 5.0, 10.0]


def test_a_sweep_marks_the_papers_value(build: Build, experiment: Make) -> None:
    data = build([experiment(variants=("2", "5", "10"), varied="ensemble_size", show=("sweep",))])
    axis = _panels(_draw(data, "sweep"))["hopper-medium-v2"]
    (mark,) = [line for line in axis.lines if line.get_label() == "the paper's value"]
    assert np.asarray(mark.get_xdata(), dtype=float).tolist() == [10.0, 10.0]
    assert axis.get_xlabel() == "ensemble size H"


def test_families_are_aligned() -> None:
    locomotion = [f"{env}-{level}-v2" for env in ("walker2d", "hopper") for level in ("medium", "replay", "expert")]
    mazes = [f"antmaze-{maze}-v0" for maze in ("umaze", "umaze-diverse", "medium-play", "medium-diverse")]
    mazes += ["antmaze-large-play-v0", "antmaze-large-diverse-v0"]
    assert arranged([*locomotion, *mazes], 3) == [
        locomotion[:3], locomotion[3:], [mazes[0], mazes[2], mazes[4]], [mazes[1], mazes[3], mazes[5]],
    ]  # fmt: skip
    assert arranged(["pen-human-v1", "pen-cloned-v1", "kitchen-a", "kitchen-b", "kitchen-c"], 3) == [
        ["pen-human-v1", "pen-cloned-v1"],
        ["kitchen-a", "kitchen-b", "kitchen-c"],
    ]
    assert arranged(["halfcheetah-quick", "pendulum-quick"], 3) == [["halfcheetah-quick", "pendulum-quick"]]


def test_a_figure_has_the_width_it_is_printed_at(data: ReportData) -> None:
    summary = summarise(data, data.experiments[0])
    for kind in figure_kinds(data.experiments[0]):
        assert draw(kind, data, summary).get_figwidth() == 6.75
        assert draw(kind, data, summary, 3.25).get_figwidth() == 3.25


def test_comparison_has_a_dot_per_seed(data: ReportData) -> None:
    axis = _panels(_draw(data, "comparison"))["hopper-medium-v2"]
    heights = [
        sorted(np.asarray(dots.get_offsets(), dtype=float)[:, 1].tolist())
        for dots in axis.collections
        if type(dots).__name__ == "PathCollection"
    ]
    assert heights == [[60.75, 61.75, 64.75, 69.75], [66.75, 67.75, 70.75, 75.75]]
    bottom, top = axis.get_ylim()
    assert bottom < 60.75
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
