"""Which tables and figures an experiment has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dac.report.data import Experiment, ReportData
from dac.report.items import items, pictures_of, tables_of
from dac.report.statistics import summarise
from dac.study import shown

Make = Callable[..., Experiment]


@pytest.mark.parametrize(
    ("show", "names"),
    [
        (("action_samples",), ["guidance-action-samples"]),
        (("curves",), ["guidance-robust"]),
        (
            ("scores", "action_samples"),
            ["guidance-scores", "guidance-selection", "guidance-action-samples", "guidance-robust"],
        ),
    ],
)
def test_the_robust_table_is_of_the_training_and_stands_where_that_is_shown(
    show: tuple[str, ...],
    names: list[str],
    build: Callable[..., ReportData],
    experiment: Callable[..., Experiment],
) -> None:
    data = build([experiment(show=show)])
    assert [table.name for table in tables_of(data, summarise(data, data.experiments[0]))] == names


def test_a_sweep_is_a_table_of_scores_and_none_stands_twice_on_the_page(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    data = build([experiment(variants=("2", "10"), varied="ensemble_size", show=("sweep",))])
    made = tables_of(data, summarise(data, data.experiments[0]))
    assert [(table.name, table.inline) for table in made] == [
        ("guidance-scores", True),
        ("guidance-selection", True),  # published scores stand beside them
        ("guidance-robust", False),
    ]


def test_only_what_is_asked_for_is_drawn(experiment: Make) -> None:
    assert list(pictures_of(experiment(show=("scores",)))) == []
    assert list(pictures_of(experiment(show=("curves", "scores", "comparison")))) == ["comparison", "curves"]


def test_every_item_can_be_shown_and_has_a_place_of_its_own() -> None:
    assert set(items()) == set(shown.names()) >= {"scores", "curves", "bandit"}
    places = [item.place for item in items().values()]
    assert places == sorted(set(places))
