"""D4RL's files, from the addresses that have them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from dac.datasets.download import download
from dac.rows import layout
from dac.study.catalog import D4RLFile
from dac.system.errors import UserError


def fetch(file: D4RLFile, destination: Path, mirrors: Sequence[str] = ()) -> str:
    """Download one of D4RL's files, check it, and put it in place in one step; see `download.download`.

    One whose sha256 nobody has published, so that any file would do, must be readable as data in D4RL's layout.

    Args:
        mirrors: asked before the authors' own server, each a folder with the same layout below it.

    Returns:
        the sha256 of the file, in hex.

    Raises:
        UserError: no address gives the file that the catalog describes.
    """
    return download(
        file.id,
        addresses(file, mirrors),
        destination,
        size=file.size,
        sha256=file.sha256,
        check=_problem if file.sha256 is None else None,
    )


def _problem(path: Path) -> str | None:
    """Why a file is no data in D4RL's layout, None if it is."""
    try:
        layout.read(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ").rstrip(".")
    return None


def addresses(file: D4RLFile, mirrors: Sequence[str] = ()) -> list[str]:
    """Where to ask for a file, in order: DAC_D4RL_MIRROR (several separated by blanks), `mirrors`, its own address.

    Raises:
        UserError: an entry of DAC_D4RL_MIRROR is no http, https or file address.
    """
    below = file.url.partition("/offline_rl/")[2] or file.url.rpartition("/")[2]
    folders = [*os.environ.get("DAC_D4RL_MIRROR", "").split(), *mirrors]
    for folder in folders:
        if not re.match(r"(https?|file)://.", folder):
            raise UserError(
                f"DAC_D4RL_MIRROR: found {folder!r}; allowed are addresses with http://, https:// or file://, "
                "separated by blanks, such as file:///disk/d4rl."
            )
    return [*(f"{folder.rstrip('/')}/{below}" for folder in folders), file.url]
