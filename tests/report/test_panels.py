"""How variants look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dac.report.data import Experiment, ReportData
from dac.report.panels import looks

Build = Callable[..., ReportData]


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
