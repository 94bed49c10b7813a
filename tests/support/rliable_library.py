"""rliable's own estimators, to compare with: its module does not import with pandas 3 as it stands."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

import pandas.util._decorators


def rliable_library() -> ModuleType:
    """`rliable.library`, with the pandas decorator that arch 7 calls with pandas 2's arguments left out."""

    def leave_out(*_: Any, **__: Any) -> Callable[[Any], Any]:
        return lambda function: function

    with mock.patch.object(pandas.util._decorators, "deprecate_kwarg", leave_out):
        from rliable import library
    return library
