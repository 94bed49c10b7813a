from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny import Project, publish_timing

from dac.report.claims import claims_table, findings
from dac.report.data import COLUMNS, Experiment, ReportData
from dac.report.items.timing import actor_table, step_table, timing_figure
from dac.report.panels import COLUMN_WIDTH, TEXT_WIDTH, style
from dac.report.statistics import Summary, without_runs
from dac.report.study_data import report_data
from dac.report.times import MACHINE, machine_text, means, published_ratio
from dac.study.params import Claim, ClaimSide
from dac.system.errors import UserError

VALUES = (5.0, 10.0, 100.0)
# Milliseconds of a step and of its actor's update, by variant: T + 1 and 2; 3 T and 2 T.
TIMES: dict[str, Callable[[float], tuple[float, float]]] = {
    "soft": lambda value: (value + 1, 2.0),
    "denoised": lambda value: (3 * value, 2 * value),
}


def rows(machine: str = "box", factor: float = 1.0, values: tuple[float, ...] = VALUES) -> pd.DataFrame:
    """Three repeats of each time: 0.9, 1 and 1.1 times it."""
    found = []
    for variant, times in TIMES.items():
        for value in values:
            for repeat, noise in enumerate((0.9, 1.0, 1.1)):
                step, actor = (factor * noise * time for time in times(value))
                made = (machine, "cpu", 1, False, "2.0")
                row = ("timed", "hopper-medium-v2", variant, value, repeat, step, actor, *made, "x")
                found.append(dict(zip(COLUMNS["times"], row, strict=True)))
    return pd.DataFrame(found)


@pytest.fixture
def timed(build: Callable[..., ReportData], experiment: Callable[..., Experiment]) -> ReportData:
    """An experiment that times steps beside one that trains."""
    shown = experiment(
        name="timed", title="Timed", tasks=("hopper-medium-v2",), variants=("soft", "denoised"),
        varied="diffusion_steps", show=("timing",), published=(),
    )  # fmt: skip
    data = build()
    return replace(data, experiments=(*data.experiments, shown), times=rows())


def summary(data: ReportData) -> Summary:
    return without_runs(data.experiments[-1])


def shown(data: ReportData) -> list[list[str]]:
    return [[cell.text for cell in row] for row in step_table(data, summary(data)).rows]


# From the store


def test_every_recorded_time_is_a_row(project: Project) -> None:
    plan = project.with_timing().set("studies.tiny.experiments", ["timed"]).plan()
    first, *others = plan.timings()
    publish_timing(first, (3.0, 1.0), (5.0, 2.0), machine="fast", device="a GPU", threads=4, compiled=True)
    with pytest.raises(UserError, match="missing"):
        report_data(plan)
    for timing in others:
        publish_timing(timing)
    times = report_data(plan).times
    assert list(times.columns) == list(COLUMNS["times"])
    assert len(times) == 8
    of_first = times[times["timing"] == first.name]
    assert of_first[["variant", "value", "repeat", "step_ms", "actor_ms"]].to_numpy().tolist() == [
        ["soft", 1.0, 0, 3.0, 1.0], ["soft", 1.0, 1, 5.0, 2.0],
    ]  # fmt: skip
    assert of_first[MACHINE].drop_duplicates().to_numpy().tolist() == [["fast", "a GPU", 4, True, "0.0"]]
    assert not times[times["timing"] != first.name]["compiled"].any()  # of records from before it was one


def test_an_experiment_that_times_has_no_scores(timed: ReportData) -> None:
    assert [item.name for item in timed.trained] == ["guidance"]
    assert [item.shows_scores for item in timed.experiments] == [True, False]


# Numbers


def test_means_growth_and_ratios(timed: ReportData) -> None:
    frame = means(timed, timed.experiments[-1]).set_index(["variant", "value"])
    for variant, times in TIMES.items():
        for value in VALUES:
            found = frame.loc[(variant, value)]
            for measure, time, lowest, first in zip(
                ("step_ms", "actor_ms"), times(value), times(5.0), TIMES["soft"](value), strict=True
            ):
                assert found[measure] == pytest.approx(time)
                assert found[f"{measure}_std"] == pytest.approx(0.1 * time)
                assert found[f"{measure}_growth"] == pytest.approx(time / lowest)
                assert found[f"{measure}_ratio"] == pytest.approx(time / first)


def test_times_of_different_machines_are_not_compared(timed: ReportData) -> None:
    """A faster machine has T = 100 alone: nothing there to compare with T = 5, and its own ratio of variants."""
    data = replace(timed, times=pd.concat([rows(values=(5.0, 10.0)), rows("fast", 0.1, (100.0,))]))
    frame = means(data, data.experiments[-1])
    fast = frame[frame["machine"] == "fast"].set_index("variant")
    assert np.isnan(fast["step_ms_growth"]).all()
    assert fast.loc["denoised", "step_ms_ratio"] == pytest.approx(300 / 101)
    table = step_table(data, summary(data))
    assert table.header[0] == "Machine"
    assert [[cell.text for cell in row] for row in table.rows][-1] == [
        "b", "100", "10.1 ± 1.0", "–", "30.0 ± 3.0", "–", "2.97", "≈ 18",
    ]  # fmt: skip
    assert "Timed here: a: box (1 thread, torch 2.0); b: fast (1 thread, torch 2.0)." in table.notes
    claim = Claim(
        says="Faster",
        measure="step_ms",
        higher=ClaimSide(variant="soft", value=100.0),
        lower=ClaimSide(variant="soft", value=5.0),
    )
    claimed = replace(data.experiments[-1], claims=(claim,))
    assert list(findings(replace(data, experiments=(claimed,)), without_runs(claimed))) == []


def test_a_machine_in_words() -> None:
    made = {"machine": "box, 2 cores", "device": "cpu", "threads": 2, "compiled": False, "torch": "2.0"}
    assert machine_text(pd.Series(made)) == "box, 2 cores (2 threads, torch 2.0)"
    assert machine_text(pd.Series({**made, "device": "a GPU"})) == "box, 2 cores (a GPU, 2 threads, torch 2.0)"
    compiled = machine_text(pd.Series({**made, "compiled": True}))
    assert compiled == "box, 2 cores (2 threads, compiled networks, torch 2.0)"


def test_the_paper_gives_one_ratio() -> None:
    found = published_ratio(100)
    assert found is not None
    assert (found.method, found.over, found.ratio) == ("Diffusion-QL", "DAC", 18.0)
    assert "2405.20555" in found.source
    assert published_ratio(5) is None


# Tables


def test_the_table_of_steps(timed: ReportData) -> None:
    table = step_table(timed, summary(timed))
    assert table.header == (
        "T", "soft (ms)", "÷ T = 5", "denoised (ms)", "÷ T = 5", "denoised ÷ soft", "Diffusion-QL ÷ DAC (published)",
    )  # fmt: skip
    assert shown(timed) == [
        ["5", "6.00 ± 0.60", "1.00", "15.0 ± 1.5", "1.00", "2.50", "–"],
        ["10", "11.0 ± 1.1", "1.83", "30.0 ± 3.0", "2.00", "2.73", "–"],
        ["100", "101 ± 10", "16.83", "300 ± 30", "20.00", "2.97", "≈ 18"],
    ]
    assert "Timed here: box (1 thread, torch 2.0)." in table.notes
    assert "3 means" in table.notes[0]


def test_the_table_of_the_actors_update(timed: ReportData) -> None:
    rows = [[cell.text for cell in row] for row in actor_table(timed, summary(timed)).rows]
    assert rows[-1] == ["100", "2.00 ± 0.20", "1.00", "200 ± 20", "20.00", "100.00", "≈ 18"]


def test_another_setting_has_no_published_ratio(timed: ReportData) -> None:
    swept = replace(timed.experiments[-1], varied="ensemble_size")
    data = replace(timed, experiments=(*timed.trained, swept))
    table = step_table(data, summary(data))
    assert table.header[0] == "H"
    assert not any("published" in title for title in table.header)


# The figure


def test_the_figure_has_times_and_ratios(timed: ReportData) -> None:
    with style():
        times, ratios = timing_figure(timed, summary(timed), TEXT_WIDTH).axes
    lines = {(str(line.get_color()), str(line.get_linestyle())): line for line in times.lines}
    assert len(lines) == 4
    assert sorted(float(line.get_ydata()[-1]) for line in times.lines) == pytest.approx([2, 101, 200, 300])
    measured = [line for line in ratios.lines if len(line.get_xdata()) == 3]
    assert sorted(float(line.get_ydata()[-1]) for line in measured) == pytest.approx([300 / 101, 100])
    (star,) = [line for line in ratios.lines if line.get_marker() == "*"]
    assert (star.get_xdata()[0], star.get_ydata()[0], star.get_label()) == (
        100.0, 18.0, "published, Diffusion-QL ÷ DAC",
    )  # fmt: skip
    assert [text.get_text() for text in times.get_xticklabels()] == ["5", "10", "100"]


def test_in_a_column_the_panels_stand_below_each_other(timed: ReportData) -> None:
    with style():
        figure = timing_figure(timed, summary(timed), COLUMN_WIDTH)
        figure.draw_without_rendering()
        above, below = (axis.get_position() for axis in figure.axes)
    assert above.y0 > below.y1
    assert above.x0 == pytest.approx(below.x0)


# Claims


def test_claims_of_times(timed: ReportData) -> None:
    claim = Claim(
        says="Denoised is slower",
        measure="actor_ms",
        higher=ClaimSide(variant="denoised", value=100.0),
        lower=ClaimSide(variant="soft", value=100.0),
    )
    claimed = replace(timed.experiments[-1], claims=(claim,))
    data = replace(timed, experiments=(*timed.trained, claimed))
    (found,) = findings(data, without_runs(claimed))
    assert (found.difference, found.verdict) == (pytest.approx(198.0), "holds")
    # Welch's by hand: variances 400 and 0.04 of three values each; Satterthwaite's degrees of freedom are 2.0004.
    assert found.high - found.difference == pytest.approx(4.3024 * np.sqrt(400.04 / 3), rel=1e-3)
    (row,) = claims_table([found], 0.95).rows
    assert [cell.text for cell in row[2:4]] == ["denoised, T = 100: 200.00 ± 20.00 ms", "soft, T = 100: 2.00 ± 0.20 ms"]
