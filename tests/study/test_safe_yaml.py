from __future__ import annotations

import time
from pathlib import Path

import pytest
from ruamel.yaml.error import YAMLError

from dac.study import check, safe_yaml
from dac.system.errors import UserError


def bomb(first: str, alias: str, levels: int = 9) -> str:
    """Nine aliases of nine aliases of …; in 400 bytes, billions of values."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {alias.format(','.join([f'*a{i - 1}'] * 9))}" for i in range(1, levels + 1)]
    return "\n".join(lines)


def test_json_types_are_read() -> None:
    text = "a: {b: [1, 2.5, 5e-05, true, null, x]}\nc: &c 3\nd: *c\ne: 2020-01-02\n"
    expected = {"a": {"b": [1, 2.5, 5e-05, True, None, "x"]}, "c": 3, "d": 3, "e": "2020-01-02"}
    assert safe_yaml.read(text) == expected


@pytest.mark.parametrize("text", [bomb("[x,x,x,x,x]", "[{}]"), bomb("{a: 1}", "{{<<: [{}]}}")])
def test_an_alias_bomb_is_counted_before_it_goes_off(text: str) -> None:
    started = time.process_time()
    with pytest.raises(safe_yaml.TooMuchError, match=r"its aliases stand for [\d,]{10,} values"):
        safe_yaml.read(text)
    assert time.process_time() - started < 2


def test_as_many_values_as_are_allowed_are_read() -> None:
    row = "[" + ",".join(["1"] * 99) + "]"
    text = f"a: &a {row}\nb: [" + ",".join(["*a"] * 900) + "]"
    assert len(safe_yaml.read(text)["b"]) == 900
    with pytest.raises(safe_yaml.TooMuchError, match="stand for 100,"):
        safe_yaml.read(text.replace("[*a", "[" + "*a," * 100 + "*a"))


@pytest.mark.parametrize("text", ["[" * 31 + "]" * 31, "[" * 5000, "- " * 5000 + "x", "{a: " * 31 + "1" + "}" * 31])
def test_depth_has_a_limit(text: str) -> None:
    with pytest.raises(safe_yaml.TooMuchError, match="more than 30 levels"):
        safe_yaml.read(text)


def test_a_text_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(safe_yaml.TooMuchError, match="it has 200,003 bytes; allowed are 200,000"):
        safe_yaml.read("a: " + "x" * 200_000)


@pytest.mark.parametrize("text", ["a: &a [*a]", "!!python/object/apply:os.system [ls]", "? [1, 2]\n: x", "a: 1\na: 2"])
def test_what_json_does_not_have_is_refused(text: str) -> None:
    with pytest.raises((YAMLError, TypeError, ValueError)):
        safe_yaml.read(text)


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(bomb("[x,x,x,x,x]", "[{}]"))
    with pytest.raises(UserError, match=r"params\.yaml: not readable as YAML: its aliases stand for"):
        check.load(path)
