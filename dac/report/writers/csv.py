"""Numbers as CSV."""

from __future__ import annotations

import pandas as pd

NUMBER_FORMAT = "%.4f"


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """The frame as CSV, every float with four decimals and Unix line ends."""
    text: str = frame.to_csv(index=False, float_format=NUMBER_FORMAT, lineterminator="\n")
    return text.encode()
