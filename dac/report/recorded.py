"""The numbers of runs as a page takes them from the store: compared with run.json, and as many as there must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_integer_dtype, is_numeric_dtype
from pyarrow.parquet import ParquetFile
from pyarrow.types import is_large_string, is_string

from dac.study import store
from dac.study.identity import Evaluation, Run
from dac.study.plan import evaluation_steps, kept_steps
from dac.system.errors import UserError

ReadEvaluation = Callable[[Run, Evaluation], pd.DataFrame]  # `read_evaluation`, or one that remembers

_AGAIN = "It is not what its run should have written: delete it and start snakemake again."


def read_curve(run: Run) -> pd.DataFrame:
    """A run's learning curve, a row per episode in order of step and episode: step, episode, return.

    Raises:
        UserError: it is not what run.json records, or not a curve of all episodes.
    """
    path, settings = store.verified_file(run, "curve.csv"), run.group.settings
    frame = _numbers(path, pd.read_csv, ("step", "episode"), ("return",))
    return _complete(path, frame, evaluation_steps(settings.steps, settings.eval_interval), settings.eval_episodes)


def read_evaluation(run: Run, evaluation: Evaluation) -> pd.DataFrame:
    """The episodes of an evaluation of a run's kept policies, a row each in order of step and episode.

    Raises:
        UserError: it is not what run.json records, or not an evaluation of all episodes of that run.
    """
    path = store.verified_evaluation(run, evaluation)
    frame = _numbers(path, _read_parquet, ("step", "episode", "seed", "action_samples"), ("return",))
    frame = _complete(path, frame, kept_steps(run.group.settings), evaluation.episodes)
    if set(frame["seed"]) != {run.seed} or set(frame["action_samples"]) != {evaluation.action_samples}:
        raise UserError(
            f"{path}: its rows are of another run or another N_a. Delete the file and start snakemake again."
        )
    return frame


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


def _read_parquet(path: Path) -> pd.DataFrame:
    """All but texts, in this thread: of files as small as these, others and pandas' notes take most of the time."""
    with ParquetFile(path) as file:
        names = [
            field.name for field in file.schema_arrow if not (is_string(field.type) or is_large_string(field.type))
        ]
        frame: pd.DataFrame = file.read(names, use_threads=False).to_pandas(use_threads=False, ignore_metadata=True)
    return frame


def _numbers(
    path: Path, read: Callable[[Path], pd.DataFrame], counts: Sequence[str], values: Sequence[str]
) -> pd.DataFrame:
    """A table in a file, which has some columns of whole numbers and some of numbers."""
    try:
        frame = read(path)
    except (ValueError, OSError, KeyError, TypeError, ArithmeticError, NotImplementedError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{path}: not readable as a table ({type(error).__name__}: {said}). {_AGAIN}") from error
    for name in (*counts, *values):
        dtype = frame[name].dtype if list(frame.columns).count(name) == 1 else None
        fits = is_integer_dtype if name in counts else is_numeric_dtype
        if dtype is None or not fits(dtype) or is_bool_dtype(dtype):
            found = "no such column" if dtype is None else f"values of {dtype}"
            raise UserError(f"{path}: {name}: found {found}; it must be there once, and hold numbers. {_AGAIN}")
    return frame


def _complete(path: Path, frame: pd.DataFrame, steps: list[int], episodes: int) -> pd.DataFrame:
    """The rows in order; a mean over episodes that are missing, or there twice, is another number: refuse it.

    Raises:
        UserError: names the file and the first step with another number of rows.
    """
    counts = np.arange(episodes)
    if np.array_equal(frame["step"], np.repeat(steps, episodes)) and np.array_equal(
        frame["episode"], np.tile(counts, len(steps))
    ):
        return frame  # as runs write it; all else below takes its time
    wanted = {(step, episode) for step in steps for episode in range(episodes)}
    if len(frame) == len(wanted) and set(zip(frame["step"], frame["episode"], strict=True)) == wanted:
        return frame.sort_values(["step", "episode"], ignore_index=True)
    found = {int(str(step)): sorted(numbers) for step, numbers in frame.groupby("step")["episode"]}
    expected = {step: list(range(episodes)) for step in steps}
    step = next(step for step in [*steps, *found] if found.get(step) != expected.get(step))
    raise UserError(
        f"{path}: it has the episodes {found.get(step, [])} at step {step}, expected are {expected.get(step, [])}. "
        f"{_AGAIN}"
    )
