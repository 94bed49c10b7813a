"""What values a setting may have, as marks on its type: `AgentConfig` reads them, and so does pydantic."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OneOf:
    """A text, one of some names."""

    names: Collection[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {"type": "literal", "expected": list(self.names)}


@dataclass(frozen=True)
class Limits:
    """A number of at least `ge`, more than `gt`, at most `le`; or a tuple of at least `min_length` values."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    min_length: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return handler(source) | {name: limit for name, limit in vars(self).items() if limit is not None}
