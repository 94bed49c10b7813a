"""D4RL's files, from the folders and addresses that may have them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from dac.datasets.download import download, local_path
from dac.rows import checks, layout
from dac.rows.raw import episode_stops
from dac.study.catalog import D4RLFile, Report, d4rl_mirrors
from dac.study.params import MIRROR_PATTERN
from dac.system import paths
from dac.system.errors import UserError

LOG = logging.getLogger(__name__)


def fetch(file: D4RLFile, destination: Path, mirrors: Sequence[str] | None = None) -> str:
    """Bring one of D4RL's files here, check it, and put it in place in one step; see `download.download`.

    One whose sha256 nobody has published, so that any file would do, must hold data in D4RL's layout that can be
    trained on. Where one is not what the catalog has of one source alone, that is said.

    Args:
        mirrors: the user's, see `addresses`.

    Returns:
        the sha256 of the file, in hex.

    Raises:
        UserError: no address gives the file that the catalog describes.
    """
    digest = download(
        file.id,
        addresses(file, mirrors),
        destination,
        size=file.size,
        sha256=file.sha256,
        check=_problem if file.sha256 is None else None,
    )
    if file.report is not None:
        _compare(file.id, file.report, digest, destination)
    return digest


def _compare(name: str, report: Report, digest: str, path: Path) -> None:
    """Say where a file is not what one source says of it."""
    said = f"one source alone ({report.source}) says"
    if report.sha256 not in (None, digest):
        LOG.warning(
            f"{name}: the sha256 of {path} is {digest}; {said} {report.sha256}. It is used: nobody else says which is "
            f"right. To take the other, move the file away, delete the entry d4rl:{name} in datasets.lock, and name a "
            "mirror that has it."
        )
    if report.rows is not None:
        raw = layout.read(path)
        rows, episodes = len(raw), len(episode_stops(raw))
        if (rows, episodes) != (report.rows, report.episodes):
            LOG.warning(
                f"{name}: {path} has {rows} rows in {episodes} episodes; {said} {report.rows} in {report.episodes}. It "
                "is used: look at it with `dac datasets describe`."
            )


def _problem(path: Path) -> str | None:
    """Why a file cannot be trained on, None if it can."""
    try:
        checks.read(path, published=True)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ").rstrip(".")
    return None


def addresses(file: D4RLFile, mirrors: Sequence[str] | None = None) -> list[str]:
    """Where to look for a file, in order.

    These are the folder of this project's files and that of D4RL itself (D4RL_DATASET_DIR), in which it may have D4RL's
    own name; the user's mirrors, those of DAC_D4RL_MIRROR (several separated by blanks) and `mirrors`; its authors'
    server; and the mirrors of the catalog. A mirror has D4RL's layout below it, or all files in one folder under D4RL's
    names or ids.

    Args:
        mirrors: folders, or http, https or file addresses; None where the user names none. Where the user names an
            empty list the catalog's are left out, too.

    Raises:
        UserError: an entry of DAC_D4RL_MIRROR is none of these.
    """
    own = file.url.rpartition("/")[2]
    flat = [own, f"{file.id}.hdf5"]
    below = file.url.partition("/offline_rl/")[2] or own
    cache = os.environ.get("D4RL_DATASET_DIR") or "~/.d4rl/datasets"
    here = [*_in_folder(str(paths.D4RL), [own]), *_in_folder(cache, flat)]
    named = [*_environments_mirrors(), *(mirrors or ())]
    theirs = [address for folder in named for address in _in_folder(folder, [below, *flat])]
    known = [] if mirrors is not None and not mirrors else [f"{address}/{own}" for address in d4rl_mirrors()]
    return list(dict.fromkeys([*here, *theirs, file.url, *known]))


def nearest(file: D4RLFile, mirrors: Sequence[str] | None = None) -> str:
    """Where a file would come from: the first folder of this machine that has it, else the first address to ask."""
    asked = addresses(file, mirrors)
    present = (address for address in asked if (path := local_path(address)) is not None and _may_be_there(path))
    remote = (address for address in asked if local_path(address) is None)
    return next(present, None) or next(remote)


def _environments_mirrors() -> list[str]:
    folders = os.environ.get("DAC_D4RL_MIRROR", "").split()
    for folder in folders:
        if not re.match(MIRROR_PATTERN, folder):
            raise UserError(
                f"DAC_D4RL_MIRROR: found {folder!r}; allowed are folders and addresses with http://, https:// or "
                "file://, separated by blanks, such as /disk/d4rl."
            )
    return folders


def _in_folder(folder: str, names: Sequence[str]) -> list[str]:
    """Addresses of a file that has one of these names; of a folder on this machine the one that is there."""
    possible = [f"{folder.rstrip('/')}/{name}" for name in dict.fromkeys(names)]
    if local_path(folder) is None:
        return possible
    there = [address for address in possible if (path := local_path(address)) is not None and _may_be_there(path)]
    return there or possible[:1]


def _may_be_there(path: Path) -> bool:
    """Whether a file is there; also where that may not be looked at, which is told when the file is asked for."""
    try:
        return path.is_file()
    except OSError:
        return True
