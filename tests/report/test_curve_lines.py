"""The curves that a browser draws."""

from __future__ import annotations

from collections.abc import Callable

from dac.report.curve_lines import curve_lines
from dac.report.data import Experiment, ReportData
from dac.report.statistics import summarise

Build = Callable[..., ReportData]


def lines_of(data: ReportData) -> dict[str, list[dict[str, object]]]:
    return curve_lines(data, [summarise(data, experiment) for experiment in data.experiments])


def test_means_and_bands_over_seeds(data: ReportData) -> None:
    hopper, own = lines_of(data)["guidance"]
    assert (hopper["task"], hopper["steps"]) == ("hopper-medium-v2", [0, 1000, 2000, 3000])
    soft, bc_only = own["lines"]  # type: ignore[misc]
    assert (soft["name"], bc_only["name"]) == ("soft", "bc_only")
    # Mean over seeds 0..3 of seed² is 3.5, over two episodes 0.25; the deviation of 0, 1, 4, 9 is 4.04.
    assert soft["mean"] == [65.75, 66.75, 67.75, 68.75]
    assert (soft["low"][0], soft["high"][0]) == (61.71, 69.79)
    assert soft["colour"] != bc_only["colour"] and soft["dashes"] != bc_only["dashes"]


def test_a_published_curve_stands_at_its_own_steps(build: Build) -> None:
    hopper, own = lines_of(build(steps=(0, 10_000, 15_000, 30_000)))["guidance"]
    assert hopper["steps"] == [0, 10_000, 15_000, 20_000, 30_000]
    soft, _, published = hopper["lines"]  # type: ignore[misc]
    assert published["name"] == "DAC (published)"
    assert soft["mean"][3] is None and published["mean"][2] is None
    assert isinstance(published["mean"][3], float)
    assert len(own["lines"]) == 2  # type: ignore[arg-type]


def test_a_single_seed_has_no_band_and_an_experiment_without_curves_no_chart(
    build: Build, experiment: Callable[..., Experiment]
) -> None:
    data = build([experiment(), experiment(name="other", show=("scores",))], seeds=1)
    charts = lines_of(data)
    assert list(charts) == ["guidance"]
    assert charts["guidance"][1]["lines"][0]["low"] == [None] * 4  # type: ignore[index]
