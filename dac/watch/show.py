"""`dac show`: all that is known of one run, as text for a terminal."""

from __future__ import annotations

import itertools
import json
import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from safetensors import safe_open

from dac.envs import normalised_score
from dac.study import job_logs, origin, plan, states, store
from dac.study.identity import Evaluation, Group, Run
from dac.study.params import Params
from dac.study.records import provenance_record, run_record
from dac.study.states import State
from dac.study.task_data import references
from dac.system import durations
from dac.system.provenance import device_seconds

WIDTH = 100
INDENT = 12  # of what stands behind a title
BLOCKS = "▁▂▃▄▅▆▇█"


def text(params: Params, run: Run) -> str:
    """What a run is of, how far it is, its scores, settings, data, machine, log and curve, and how to make it again."""
    evaluations = tuple(_asked(params, run))
    state = states.state(run, evaluations, states.running_jobs())
    reference = references(params.tasks[run.group.task], run.group.task)
    curve = _curve(run)
    parts = {
        "run": [str(run), _how_far(state)],
        "used by": list(_users(params, run)),
        "score": list(_scores(params, run, evaluations, curve, reference)),
        "settings": settings(params, run.group),
        "data": data(run),
        "made": _made(run),
        "log": [str(log) for step in ("train", "evaluate") if (log := job_logs.of_run(run, step))],
        "curve": _plot(curve, reference),
        "again": origin.remake_commands(run.group, [run.seed], evaluations),
    }
    if state.error:
        parts["failed"] = [state.error]
    return parts_text(parts)


def parts_text(parts: Mapping[str, Sequence[str]]) -> str:
    """Lines by their title, which stands left of the first; parts without lines are left out."""
    return "\n".join(_part(title, lines) for title, lines in parts.items() if lines) + "\n"


def _part(title: str, lines: Sequence[str]) -> str:
    # Paths and commands stay whole, to be copied.
    return textwrap.indent("\n".join(lines), " " * INDENT).replace(" " * INDENT, title.ljust(INDENT), 1)


def _asked(params: Params, run: Run) -> Iterator[Evaluation]:
    """The evaluations that all studies ask of a run."""
    cells = (cell for cell in plan.cells_of_task(params, run.group.task) if cell.group == run.group)
    return iter(dict.fromkeys(evaluation for cell in cells for evaluation in cell.evaluations))


def _users(params: Params, run: Run) -> Iterator[str]:
    """Its cells: experiment and variant, by study."""
    for name, study in params.studies.items():
        found = plan.cells_of_study_and_task(params, name, run.group.task)
        cells = [f"{cell.experiment} ({cell.variant})" for cell in found if cell.group == run.group]
        if cells and run.seed in study.seeds:
            yield from textwrap.wrap(f"study {name}: {', '.join(cells)}", WIDTH - INDENT, break_on_hyphens=False)


def _how_far(state: State) -> str:
    steps = f"{state.step:,} of {state.run.group.settings.steps:,} steps"
    return f"{state.kind}, {steps}" + (f", {state.job.speed:,.0f} steps/s" if state.job and state.job.speed else "")


def _scores(
    params: Params, run: Run, evaluations: Sequence[Evaluation], curve: pd.Series, reference: tuple[float, float]
) -> Iterator[str]:
    last = curve.tail(params.report.window).mean()
    if len(curve):
        name = f"mean of the last {min(len(curve), params.report.window)} evaluations in training"
        yield f"{_score(last, reference)}  {name}"
    for evaluation in evaluations:
        if store.has_evaluation(run, evaluation):
            returns = pd.read_parquet(store.verified_evaluation(run, evaluation))["return"]
            yield (
                f"{_score(returns.mean(), reference)}  N_a {evaluation.action_samples}, {len(returns)} episodes after "
                f"training, standard deviation {_score(returns.std(), (0.0, reference[1] - reference[0]))}"
            )


def _score(mean_return: float, reference: tuple[float, float]) -> str:
    return _number(float(normalised_score(mean_return, *reference)))


def _number(score: float) -> str:
    return f"{round(score, 1) + 0.0:.1f}"  # no negative zero


def settings(params: Params, group: Group) -> list[str]:
    """The settings of a group that are not the defaults, in lines."""
    differing = origin.differing_settings(params, group)
    shown = [
        f"{key} {json.dumps(value)} (default {json.dumps(default)})" for key, (default, value) in differing.items()
    ]
    return textwrap.wrap(", ".join(shown), WIDTH - INDENT) or ["the defaults of params.yaml"]


def data(run: Run) -> list[str]:
    """What a run was trained on and evaluated in, in lines."""
    content = run_record(store.run_directory(run))
    sha256 = f", sha256 {content['dataset_sha256']}" if content else ""
    return [f"{run.group.dataset.id}{sha256}", f"evaluated in {run.group.env}"]


def _made(run: Run) -> list[str]:
    made = provenance_record(store.run_directory(run))
    if made is None:
        return []
    seconds = device_seconds(made)
    took = f", {durations.rounded(seconds)} of it" if seconds > 0 else ""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(made.get("versions", {}).items()))
    line = f"{made.get('finished', 'at a time not recorded')} on {made.get('machine', '?')}, {made.get('device', '?')}"
    return [f"{line}{took}", *textwrap.wrap(versions, WIDTH - INDENT)]


# The learning curve


def _curve(run: Run) -> pd.Series:
    """Mean return by step of a run's evaluations in training so far; of one in training as they are saved."""
    if store.run_problem(run) is None:
        rows = pd.read_csv(store.verified_file(run, "curve.csv"))
    else:
        rows = pd.DataFrame(_saved_curve(run), columns=["step", "episode", "return", "length"])
    return rows.groupby("step")["return"].mean()


def _saved_curve(run: Run) -> list[list[float]]:
    found = states.saved(run)
    if not found:
        return []
    with safe_open(found[max(found)], "numpy") as content:
        rows: list[list[float]] = json.loads(content.metadata()["curve"])
    return rows


def _plot(curve: pd.Series, reference: tuple[float, float]) -> list[str]:
    """A line of blocks, one for each evaluation or for the mean of some that follow each other."""
    if len(curve) < 2:
        return []
    scores = [float(score) for score in normalised_score(curve.to_numpy(), *reference)]
    line = sparkline(scores, WIDTH - INDENT)
    heights = f"lowest score {_number(min(scores))}, highest {_number(max(scores))}"
    return [line, f"{heights}, steps {curve.index[0]:,} to {curve.index[-1]:,}"]


def sparkline(values: Sequence[float], width: int) -> str:
    """Values as blocks of eight heights, the lowest to the highest; of more than `width`, means of neighbours."""
    count = min(width, len(values))
    edges = [round(index * len(values) / count) for index in range(count + 1)]
    means = [statistics.fmean(values[start:end]) for start, end in itertools.pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)
