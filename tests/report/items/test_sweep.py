"""Score against a swept setting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from report_figures import drawn, panels

from dac.report.data import Experiment, ReportData

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]


def test_a_sweep_is_drawn_in_the_order_of_its_values(build: Build, experiment: Make) -> None:
    data = build([experiment(variants=("10", "2", "5"), varied="ensemble_size", show=("sweep",))])
    line = panels(drawn(data, "sweep"))["hopper-medium-v2"].lines[0]
    assert np.asarray(line.get_xdata(), dtype=float).tolist() == [2.0, 5.0, 10.0]


def test_a_sweep_marks_the_papers_value(build: Build, experiment: Make) -> None:
    data = build([experiment(variants=("2", "5", "10"), varied="ensemble_size", show=("sweep",))])
    axis = panels(drawn(data, "sweep"))["hopper-medium-v2"]
    (mark,) = [line for line in axis.lines if line.get_label() == "the paper's value"]
    assert np.asarray(mark.get_xdata(), dtype=float).tolist() == [10.0, 10.0]
    assert axis.get_xlabel() == "ensemble size H"


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
    axis = panels(drawn(data, "sweep"))["hopper-medium-v2"]
    assert axis.get_xscale() == scale
    assert [float(tick) for tick in axis.get_xticks()] == places
    assert [tick.get_text() for tick in axis.get_xticklabels()] == list(variants)
