"""Tables in HTML."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas as pd

from dac.report.table import Table, Text
from dac.report.writers.html import html

KEY = ("guidance", "own_hopper", "soft")
TABLE = Table(
    "t",
    "A <caption>.",
    ("Task", "Score & more", "Verdict"),
    (
        (Text("own_hopper"), Text("68.2 ± 4.0", bold=True, of=KEY), Text("reproduced")),
        (Text("other"), Text("1.0", of=("guidance", "other", "soft")), Text("not comparable: " + "words " * 6)),
        (Text("Average"), Text("34.6"), Text("–")),
    ),
    pd.DataFrame(),
)


def rows() -> list[ElementTree.Element]:
    return ElementTree.fromstring(html(TABLE, {KEY: 7})).findall("tbody/tr")


def test_it_is_well_formed_with_heads_of_columns_and_rows() -> None:
    table = ElementTree.fromstring(html(TABLE, {}))
    assert table.findtext("caption") == "A <caption>."
    heads = table.findall("thead/tr/th")
    assert [head.findtext("button") for head in heads] == ["Task", "Score & more", "Verdict"]
    assert {head.get("scope") for head in heads} == {"col"}
    name = rows()[0][0]
    assert (name.tag, name.get("scope"), name.text) == ("th", "row", "own_hopper")


def test_a_number_of_runs_that_the_page_knows_is_a_button() -> None:
    first, second, average = rows()
    button = first[1].find("button")
    assert button is not None
    assert (button.get("data-cell"), button.findtext("strong")) == ("7", "68.2 ± 4.0")
    assert second[1].text == "1.0" and average[1].text == "34.6"


def test_words_stand_left_long_ones_fold_and_averages_are_no_row_among_others() -> None:
    first, second, average = rows()
    assert [cell.get("class") for cell in first[1:]] == [None, "text"]
    assert second[2].get("class") == "text long"
    assert [row.get("class") for row in (first, second, average)] == [None, None, "total"]
