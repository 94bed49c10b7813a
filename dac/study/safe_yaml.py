"""YAML as JSON's types, within limits: a text of a few lines can stand for more values than a machine's memory holds.

An anchor with an alias in a list of aliases multiplies what it stands for, and each `[` is a level that is read by a
call within a call. What a text stands for is counted before any of it is made.
"""

from __future__ import annotations

import json
from typing import Any

from ruamel.yaml import YAML, Node
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

# The paper's params.yaml has 30 kB, 1,800 values and 7 levels.
MOST_BYTES = 200_000
MOST_VALUES = 100_000
MOST_LEVELS = 30


class TooMuchError(ValueError):
    """A text that stands for more than `read` takes."""


class _Counting(SafeConstructor):
    """Makes nothing of a document that stands for too much."""

    def construct_document(self, node: Node) -> Any:
        values = _values(node, {}, level=1)
        if values > MOST_VALUES:
            raise TooMuchError(f"its aliases stand for {values:,} values; allowed are {MOST_VALUES:,}")
        return super().construct_document(node)


def read(text: str) -> Any:
    """The contents of a YAML text as JSON's types.

    Raises:
        YAMLError, TypeError, ValueError: it is not YAML, JSON has no such value, or it stands for too much.
    """
    size = len(text.encode())
    if size > MOST_BYTES:
        raise TooMuchError(f"it has {size:,} bytes; allowed are {MOST_BYTES:,}")
    # YAML 1.2, as DVC reads and writes it: 5e-05 is a number, and no key stands twice. A value of another type than
    # JSON's, such as a date, becomes text: the schema then names its place.
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Counting
    try:
        return json.loads(json.dumps(yaml.load(text), default=str))
    except RecursionError:
        raise _too_deep() from None


def _values(node: Node, known: dict[int, int], level: int) -> int:
    """How many values a node stands for, each alias as often as it is used; `known` has those counted before."""
    if level > MOST_LEVELS:
        raise _too_deep()
    if isinstance(node, ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 1  # an alias within itself is refused later
        parts = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
        assert isinstance(node, MappingNode | SequenceNode)
        known[id(node)] = 1 + sum(_values(part, known, level + 1) for part in parts)
    return known[id(node)]


def _too_deep() -> TooMuchError:
    return TooMuchError(f"it has more than {MOST_LEVELS} levels, one in another")
