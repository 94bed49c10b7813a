"""The numbers of runs as a page takes them from the store: compared with run.json, and as many as there must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv
from pyarrow.parquet import ParquetFile

from dac.study import store
from dac.study.identity import Evaluation, Run
from dac.study.plan import evaluation_steps, kept_steps
from dac.system.errors import UserError

# A table by column, (rows,) each, or (rows, n) of a column of lists. A page reads so many small files that to make a
# frame of each would take longer than reading them.
Columns = dict[str, np.ndarray]
ReadEvaluation = Callable[[Run, Evaluation], Columns]  # `read_evaluation`, or one that remembers

_AGAIN = "It is not what its run should have written: delete it and start snakemake again."


def read_curve(run: Run) -> Columns:
    """A run's learning curve, a row per episode in order of step and episode: step, episode, return.

    Raises:
        UserError: it is not what run.json records, or not a curve of all episodes.
    """
    path, settings = store.verified_file(run, "curve.csv"), run.group.settings
    columns = _numbers(path, _read_csv, ("step", "episode"), ("return",))
    return _complete(path, columns, evaluation_steps(settings.steps, settings.eval_interval), settings.eval_episodes)


def read_evaluation(run: Run, evaluation: Evaluation) -> Columns:
    """The episodes of an evaluation of a run's kept policies, a row each in order of step and episode.

    Raises:
        UserError: it is not what run.json records, or not an evaluation of all episodes of that run.
    """
    path = store.verified_evaluation(run, evaluation)
    columns = _numbers(path, _read_parquet, ("step", "episode", "seed", "action_samples"), ("return",))
    columns = _complete(path, columns, kept_steps(run.group.settings), evaluation.episodes)
    if (columns["seed"] != run.seed).any() or (columns["action_samples"] != evaluation.action_samples).any():
        raise UserError(
            f"{path}: its rows are of another run or another N_a. Delete the file and start snakemake again."
        )
    return columns


def data_of(run: Run, content: dict[str, Any]) -> dict[str, Any]:
    """What a run.json says of the data: episodes, steps, and of their return mean, std and max.

    Raises:
        UserError: it does not say so.
    """
    data = content["data"]
    returns = data.get("return")
    named = [data.get("episodes"), data.get("steps")]
    named += [returns.get(key) if isinstance(returns, dict) else None for key in ("mean", "std", "max")]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in named):
        path = store.run_directory(run) / "run.json"
        raise UserError(f"{path}: it does not say how many data it is of, and their returns. {_AGAIN}")
    return dict(data)


def _read_csv(path: Path) -> pa.Table:
    return csv.read_csv(path, read_options=csv.ReadOptions(use_threads=False))


def _read_parquet(path: Path) -> pa.Table:
    """In this thread: of files as small as these, others take most of the time."""
    with ParquetFile(path) as file:
        return file.read(use_threads=False)


def _numbers(path: Path, read: Callable[[Path], pa.Table], counts: Sequence[str], values: Sequence[str]) -> Columns:
    """The columns of numbers, and of lists of them, of a table in a file: some of whole numbers, and some others, must
    be there.
    """
    try:
        table = read(path)
        names = table.schema.names
        kinds = {field.name: field.type for field in table.schema if names.count(field.name) == 1}
        lists = [name for name, kind in kinds.items() if pa.types.is_list(kind)]
        flat = {name: table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False) for name in lists}
        columns = {name: column.reshape(len(table), -1) for name, column in flat.items()}
    except (ValueError, OSError, KeyError, TypeError, ArithmeticError, NotImplementedError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{path}: not readable as a table ({type(error).__name__}: {said}). {_AGAIN}") from error
    for name in (*counts, *values):
        kind = kinds.get(name)
        missing = 0 if kind is None else table[name].null_count
        whole = kind is not None and pa.types.is_integer(kind) and not missing
        if not whole and (name in counts or kind is None or not _is_number(kind)):
            found = "no such column" if kind is None else f"values of {kind}" + f", {missing} missing" * bool(missing)
            raise UserError(f"{path}: {name}: found {found}; it must be there once, and hold numbers. {_AGAIN}")
    return columns | {name: table[name].to_numpy() for name, kind in kinds.items() if _is_number(kind)}


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _complete(path: Path, columns: Columns, steps: list[int], episodes: int) -> Columns:
    """The rows in order; a mean over episodes that are missing, or there twice, is another number: refuse it.

    Raises:
        UserError: names the file and the first step with another number of rows.
    """
    order = np.lexsort((columns["episode"], columns["step"]))
    ordered = {name: column[order] for name, column in columns.items()}
    if np.array_equal(ordered["step"], np.repeat(sorted(steps), episodes)) and np.array_equal(
        ordered["episode"], np.tile(np.arange(episodes), len(steps))
    ):
        return ordered
    found = {int(step): ordered["episode"][ordered["step"] == step].tolist() for step in np.unique(ordered["step"])}
    expected = {step: list(range(episodes)) for step in steps}
    step = next(step for step in [*steps, *found] if found.get(step) != expected.get(step))
    raise UserError(
        f"{path}: it has the episodes {found.get(step, [])} at step {step}, expected are {expected.get(step, [])}. "
        f"{_AGAIN}"
    )
