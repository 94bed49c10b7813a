"""The marks on the types of settings, as pydantic reads them."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from dac.agent.allowed import Limits, OneOf


@pytest.mark.parametrize(
    ("allowed", "value", "refused", "said"),
    [
        (Annotated[str, OneOf(("one", "two"))], "two", "three", "Input should be 'one' or 'two'"),
        (Annotated[int, Limits(ge=1)], 1, 0, "greater than or equal to 1"),
        (Annotated[float, Limits(gt=0, le=2)], 2.0, 0.0, "greater than 0"),
        (Annotated[float, Limits(gt=0, le=2)], 0.5, 2.5, "less than or equal to 2"),
        (Annotated[int, Limits(ge=1)] | None, None, 0, "greater than or equal to 1"),
        (Annotated[tuple[int, ...], Limits(min_length=1)], (3,), (), "at least 1 item"),
    ],
)
def test_what_is_allowed_and_what_is_not(allowed: Any, value: object, refused: object, said: str) -> None:
    adapter: TypeAdapter[object] = TypeAdapter(allowed)
    assert adapter.validate_python(value) == value
    with pytest.raises(ValidationError, match=said):
        adapter.validate_python(refused)
