"""From a planned dataset to its arrays on this machine: fetched, converted, checked, as its source has it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from dac.datasets import folder
from dac.rows.raw import RawDataset
from dac.study.identity import Dataset, Group
from dac.system.errors import UserError

LOG = logging.getLogger(__name__)


def _functions(source: str) -> Any:
    """The module of a source's functions; only the one that is needed is imported."""
    return import_module(f"dac.datasets.sources.{source}")


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    """A dataset's rows and their sha256: of the file where it is one, else of the contents.

    A file that was not converted yet is converted first.

    Raises:
        UserError: it is not there, is not readable, or its contents are not what its identity or its note says.
    """
    found: tuple[RawDataset, str] = _functions(dataset.source).load(dataset)
    return found


def fetch(dataset: Dataset, mirrors: Sequence[str] | None) -> None:
    """Bring a dataset here, ready to train on: downloaded where it has to be, checked and converted.

    Raises:
        UserError: it cannot be had, or its contents are not usable.
    """
    _functions(dataset.source).fetch(dataset, mirrors)


def identify(dataset_id: str, mirrors: Sequence[str] | None) -> None:
    """Bring here what a dataset's identity is read off, where nothing else says it.

    Raises:
        UserError: it cannot be had.
    """
    source, _, name = dataset_id.partition(":")
    functions = _functions(source)
    if hasattr(functions, "identify"):
        functions.identify(name, mirrors)


def place(dataset: Dataset, mirrors: Sequence[str] | None) -> str | None:
    """Where `fetch` would take a dataset from: a place on this machine, or who is asked first; None if made here."""
    functions = _functions(dataset.source)
    return functions.place(dataset, mirrors) if hasattr(functions, "place") else None


def refuse_other_version(group: Group) -> None:
    """Stop where data that name their environment are of another version of it than their task is evaluated in.

    Raises:
        UserError: names both.
    """
    if not group.dataset.kind.recovers or group.env == group.dataset.id:
        return
    recorded = folder.describe(group.dataset.path)["env_id"]
    if recorded is None or _unprefixed(recorded) == _unprefixed(group.env):
        return
    if _family(recorded) != _family(group.env):
        LOG.info("%s: recorded in %s, evaluated in %s", group.dataset.id, recorded, group.env)
        return
    raise UserError(
        f"params.yaml: tasks.{group.task}.env: found {group.env}; {group.dataset.id} was recorded in {recorded}, "
        f"and versions of an environment differ in observations and rewards. Give {recorded}, or a dataset of "
        f"{group.env}."
    )


def _unprefixed(env_id: str) -> str:
    """An environment's id without the module that registers it."""
    return env_id.rpartition(":")[2]


def _family(env_id: str) -> str:
    """An environment's id without its version."""
    return re.sub(r"-v\d+$", "", _unprefixed(env_id))
