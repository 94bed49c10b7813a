"""How variants look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import seaborn
from figure_font import CHARACTERS, figure_font
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from report_figures import drawn

from dac.report.data import Experiment, ReportData
from dac.report.figure_layout import lay_out
from dac.report.items import pictures_of
from dac.report.panels import (
    COLOURS,
    COLUMN_WIDTH,
    FONT,
    FULL_FONT,
    SMALL_FONT,
    TEXT_WIDTH,
    arranged,
    level,
    looks,
    sequential,
    style,
)

Build = Callable[..., ReportData]


def test_colours_are_those_of_seaborn() -> None:
    assert [to_hex(colour) for colour in COLOURS] == seaborn.color_palette("colorblind").as_hex()
    for count in range(1, 12):
        assert np.allclose(sequential(count), seaborn.color_palette("viridis_r", n_colors=count + 1)[1:])


def test_texts_are_set_in_the_small_font_as_in_the_whole_one(tmp_path: Path) -> None:
    assert FONT.read_bytes() == figure_font()
    small, full = (get_font(path) for path in (FONT, findfont(FULL_FONT)))
    for points, dpi in ((7, 150), (8, 150), (10, 100), (8, 72)):
        for font in (small, full):
            font.set_size(points, dpi)
        for first in CHARACTERS:
            text = "".join(first + second for second in CHARACTERS)
            assert np.array_equal(small.set_text(text), full.set_text(text)), (first, points)
    pictures = []
    for family in (SMALL_FONT, FULL_FONT):
        with style():
            figure = Figure(figsize=(6, 1))
            figure.text(0.0, 0.5, f"AVATAR, efficient diffusion, {CHARACTERS[::3]}", family=family)
            figure.savefig(tmp_path / "text.png")
        pictures.append((tmp_path / "text.png").read_bytes())
    assert pictures[0] == pictures[1]


def test_a_name_looks_the_same_in_every_experiment(build: Build, experiment: Callable[..., Experiment]) -> None:
    second = experiment(name="other", variants=("hard", "bc_only", "soft"))
    table = looks(build([experiment(), second]))
    assert table["guidance", "soft"] == table["other", "soft"]
    assert table["guidance", "bc_only"] == table["other", "bc_only"]
    assert len({table["other", variant].colour for variant in second.variants}) == 3


def test_what_has_runs_in_common_is_one_method(build: Build, experiment: Callable[..., Experiment]) -> None:
    """The main table's DAC, the ablation's soft guidance and the Q-targets' lcb are the same runs."""
    data = build(
        [
            experiment(name="main", variants=("DAC",)),
            experiment(variants=("hard", "soft"), varied="guidance"),
            experiment(name="q_target", variants=("lcb", "min"), varied="q_target"),
        ]
    )
    same = data.runs["variant"].isin(["DAC", "soft", "lcb"])
    data = replace(data, runs=data.runs.assign(run=data.runs["run"].mask(same, "soft-ab12cd34ef56")))
    table = looks(data)
    assert table["main", "DAC"] == table["guidance", "soft"] == table["q_target", "lcb"]
    assert len({table["guidance", "hard"].colour, table["q_target", "min"].colour, table["main", "DAC"].colour}) == 3


def test_methods_differ_in_print_too(build: Build, experiment: Callable[..., Experiment]) -> None:
    table = looks(build([experiment(variants=("soft", "hard", "denoised"), varied="guidance")]))
    assert len({str(look.dashes) for look in table.values()}) == 3
    assert len({look.marker for look in table.values()}) == 3


def test_numbers_of_a_sweep_have_a_ramp(build: Build, experiment: Callable[..., Experiment]) -> None:
    table = looks(build([experiment(name="h", variants=("2", "5", "10"), varied="ensemble_size"), experiment()]))
    brightness = [sum(table["h", variant].colour) for variant in ("2", "5", "10")]
    assert brightness == sorted(brightness, reverse=True)
    assert table["guidance", "soft"].colour not in [table["h", variant].colour for variant in ("2", "5", "10")]


def test_thirty_variants_differ_in_look(build: Build, experiment: Callable[..., Experiment]) -> None:
    many = experiment(variants=tuple(f"v{i}" for i in range(30)), tasks=("own_hopper",))
    table = looks(build([many], seeds=1))
    assert len({(look.colour, look.marker, str(look.dashes)) for look in table.values()}) == 30


def test_families_are_aligned() -> None:
    locomotion = [f"{env}-{level}-v2" for env in ("walker2d", "hopper") for level in ("medium", "replay", "expert")]
    mazes = [f"antmaze-{maze}-v0" for maze in ("umaze", "umaze-diverse", "medium-play", "medium-diverse")]
    mazes += ["antmaze-large-play-v0", "antmaze-large-diverse-v0"]
    assert arranged([*locomotion, *mazes], 3, label) == [
        locomotion[:3], locomotion[3:], [mazes[0], mazes[2], mazes[4]], [mazes[1], mazes[3], mazes[5]],
    ]  # fmt: skip
    assert arranged(["pen-human-v1", "pen-cloned-v1", "kitchen-a", "kitchen-b", "kitchen-c"], 3, label) == [
        ["pen-human-v1", "pen-cloned-v1"],
        ["kitchen-a", "kitchen-b", "kitchen-c"],
    ]
    assert arranged(["halfcheetah-quick", "pendulum-quick"], 3, label) == [["halfcheetah-quick", "pendulum-quick"]]


def test_narrow_figures_have_no_blank_panels_but_at_the_end_of_a_label() -> None:
    """Families of three in two columns follow one another; an AntMaze has another axis than they."""
    names = [f"{env}-{level}" for env in ("walker2d", "hopper", "halfcheetah") for level in ("m", "m-r", "m-e")]
    mazes = [f"antmaze-{maze}" for maze in ("umaze", "umaze-diverse", "large-play", "large-diverse")]
    rows = arranged([*names, *mazes], 2, label)
    assert rows == [names[0:2], names[2:4], names[4:6], names[6:8], names[8:], *rows[5:]]
    assert [len(row) for row in rows[5:]] == [2, 2] and {task for row in rows[5:] for task in row} == {*mazes}


def label(task: str) -> str:
    return "Success rate" if task.startswith("antmaze") else "Score"


def test_the_label_of_a_narrow_axis_is_within_the_figure(build: Build) -> None:
    data = build(steps=tuple(range(0, 2_010_000, 67_000)))
    with style():
        figure = drawn(data, "curves", COLUMN_WIDTH)
        lay_out(figure)
        boxes = [axis.xaxis.label.get_window_extent() for axis in figure.axes if axis.get_xlabel()]
    assert boxes and all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_figure_has_the_width_it_is_printed_at(data: ReportData) -> None:
    for item in pictures_of(data.experiments[0]):
        assert drawn(data, item).get_figwidth() == 6.75
        assert drawn(data, item, 3.25).get_figwidth() == 3.25


@pytest.mark.parametrize("width", [TEXT_WIDTH, COLUMN_WIDTH])
@pytest.mark.parametrize("item", ["curves", "comparison"])
def test_no_panel_with_its_labels_overlaps_another(
    item: str, width: float, build: Build, experiment: Callable[..., Experiment]
) -> None:
    data = build([experiment(variants=("soft", "behaviour cloning without any guidance at all", "c", "d"))])
    tasks = tuple(f"halfcheetah-medium-replay-collected-{i}" for i in range(15))
    rows = data.tasks.iloc[[2] * 15].assign(task=tasks)
    frames = {name: getattr(data, name) for name in ("curves", "evaluations", "runs")}
    own = {name: frame[frame["task"] == "own_hopper"] for name, frame in frames.items()}
    wide = {name: _repeat(frame, tasks) for name, frame in own.items()}
    many = replace(data.experiments[0], tasks=tasks)
    large = replace(data, experiments=(many,), tasks=rows, **wide)  # type: ignore[arg-type]
    with style():
        figure = drawn(large, item, width)
        lay_out(figure)
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        figure.draw(renderer)
        axes = [axis for axis in figure.axes if axis.get_visible()]
        # The label of a vertical axis may be longer than a low panel: it is held to the other labels alone.
        panels = [axis.get_tightbbox(renderer, for_layout_only=True) for axis in axes]
        boxes = [box for box in panels if box is not None] + [figure.legends[0].get_window_extent(renderer)]
        labels = [axis.yaxis.label.get_window_extent(renderer) for axis in axes if axis.get_ylabel()]
    assert len(panels) == 15 and len(boxes) == 16 and labels
    for one, other in [*combinations(boxes, 2), *combinations(labels, 2)]:
        assert not one.padded(-1).overlaps(other.padded(-1))
    for box in boxes:
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1


def _repeat(frame: pd.DataFrame, tasks: tuple[str, ...]) -> pd.DataFrame:
    return pd.concat([frame.assign(task=task) for task in tasks], ignore_index=True)


@pytest.mark.parametrize(("values", "edge"), [((500.0, 900.0), 1.0), ((-500.0, -900.0), 0.0)])
def test_notes_of_one_corner_stand_below_each_other(values: tuple[float, float], edge: float) -> None:
    with style():
        figure = Figure(figsize=(2, 1.4))
        axis: Axes = figure.add_subplot()
        axis.plot([0, 1], [0, 100])
        for value, label in zip(values, ("data mean", "best data episode"), strict=True):
            level(axis, value, label, "--")
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        figure.draw(renderer)
    first, second = (text.get_window_extent(renderer) for text in axis.texts)
    assert not first.overlaps(second)
    assert axis.texts[0].xy[1] == edge  # type: ignore[attr-defined]
    ground = axis.texts[0].get_bbox_patch()
    assert ground is not None
    line = axis.spines["bottom"].get_linewidth() / 2 * figure.dpi / 72
    assert axis.bbox.y0 + line <= ground.get_window_extent(renderer).y0  # which would cut it off
    # Beyond all that is drawn.
    drawn_over = axis.transData.transform([(0, 0), (1, 100)])[:, 1]
    for box in (first, second):
        assert box.y0 > drawn_over[1] - 1 or box.y1 < drawn_over[0] + 1
