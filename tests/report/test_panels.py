"""How variants look."""

from __future__ import annotations

from collections.abc import Callable

from dac.report.data import Experiment
from dac.report.panels import looks


def test_a_variant_looks_the_same_in_every_experiment(experiment: Callable[..., Experiment]) -> None:
    first, second = experiment(), experiment(name="other", variants=("hard", "bc_only", "soft"))
    table = looks([first, second])
    assert table["guidance", "soft"] == table["other", "soft"]
    assert table["guidance", "bc_only"] == table["other", "bc_only"]
    assert len({table["other", variant].colour for variant in second.variants}) == 3


def test_thirty_variants_differ_in_look(experiment: Callable[..., Experiment]) -> None:
    many = experiment(variants=tuple(f"v{i}" for i in range(30)))
    assert len({(look.colour, look.marker, str(look.dashes)) for look in looks([many]).values()}) == 30
