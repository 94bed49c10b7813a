from __future__ import annotations

import pytest

from dac.study import seed_names
from dac.system.errors import UserError

NAMES = {
    (0,): "0",
    (0, 1): "0-1",
    (0, 1, 2): "0..2",
    tuple(range(32)): "0..31",
    (7, 0, 1, 2, 9, 11, 12, 13, 14): "7-0..2-9-11..14",
    (2, 1, 0): "2-1-0",
    (2**31 - 1,): "2147483647",
}


@pytest.mark.parametrize("numbers", NAMES)
def test_a_name_and_back(numbers: tuple[int, ...]) -> None:
    assert seed_names.name(numbers) == NAMES[numbers]
    assert seed_names.parse(NAMES[numbers]) == list(numbers)


def test_names_without_ranges_are_understood() -> None:
    assert seed_names.parse("0-1-2-5") == [0, 1, 2, 5]


@pytest.mark.parametrize("text", ["", "a", "0-0", "0..2-1", "3..1", "0-", "-1", "0..", "0...3", "0..2..4", "0,1", "٣"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--seeds: found .* allowed are different numbers"):
        seed_names.parse(text)
