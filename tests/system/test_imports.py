"""What is imported is not searched for garbage."""

from __future__ import annotations

import gc

import pytest

from dac.system import imports


@pytest.mark.parametrize("enabled", [True, False])
def test_no_collection_in_the_block_and_as_before_after_it(enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ImportError), imports.of_what_stays():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is enabled
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()


def test_later_collections_leave_out_what_was_made_in_the_block() -> None:
    before = gc.get_freeze_count()
    try:
        with imports.of_what_stays():
            made = [[] for _ in range(1000)]
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()
