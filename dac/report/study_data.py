"""Everything that a study's page is made of, read from the store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from dac.envs import normalised_score
from dac.report import bandit_runs, published, times
from dac.report.bandit import level_grid
from dac.report.comparable import differences, run_differences
from dac.report.data import COLUMNS, Candidate, Experiment, PageSettings, Planned, ReportData
from dac.report.figures import two_processes_pay
from dac.report.films import films_of
from dac.report.learned_q import learned
from dac.report.recorded import Columns, ReadEvaluation, data_of, read_curve, read_evaluation
from dac.study import store
from dac.study.identity import Run
from dac.study.plan import Cell, StudyPlan
from dac.study.records import provenance_record
from dac.study.task_data import references
from dac.study.timings import TIMED_SETTINGS
from dac.system.provenance import device_seconds

# Of a task of a partial page that no run of says what it was trained on.
UNKNOWN_DATA: dict[str, Any] = {
    "episodes": pd.NA,
    "steps": pd.NA,
    "return": {"mean": np.nan, "std": np.nan, "max": np.nan},
}
SIMULATORS = ("gymnasium", "gymnasium-robotics", "mujoco")


def report_data(plan: StudyPlan, there: Collection[Run] | None = None) -> ReportData:
    """Everything a study's page is made of, read from the store; contents are compared with run.json.

    Args:
        there: of a partial page, the runs that are in the store; None: all of the study's.
    """
    study, shown = plan.params.studies[plan.name], experiments(plan)
    contents = {run: store.read_run(run) for run in (plan.runs() if there is None else there)}
    pairs = [(cell, run) for cell, run in _cells(plan) if run in contents]
    drawn = bandit_runs.drawn_runs(plan, contents)
    with learned(drawn, level_grid(), apart=two_processes_pay(shown)) as learned_q:
        read = cache(read_evaluation)  # experiments share runs
        return ReportData(
            study=plan.name,
            description=study.description,
            experiments=shown,
            settings=PageSettings(**plan.params.report.model_dump()),
            curves=_joined("curves", _curves(pairs)),
            evaluations=_joined("evaluations", _evaluations(pairs, read)),
            runs=pd.DataFrame([_run(cell, run, contents[run]) for cell, run in pairs], columns=COLUMNS["runs"]),
            tasks=pd.DataFrame(_tasks(plan, contents), columns=COLUMNS["tasks"]),
            actions=_joined("actions", bandit_runs.actions(pairs, bandit_runs.cells_of(plan), read)),
            times=pd.DataFrame(times.rows_of(plan), columns=COLUMNS["times"]),
            films=films_of(plan, contents),
            differences={(cell.experiment, cell.task, cell.variant): differences(plan, cell) for cell in plan.cells},
            candidates=tuple(_candidates(plan)),
            made_with=_made_with(plan),
            synthetic=any(content.get("synthetic") for content in contents.values()),
            planned=None if there is None else Planned(plan.seeds, len(plan.runs()), len(contents)),
            bandits=bandit_runs.bandits(plan, contents, dict(zip(drawn, learned_q(), strict=True))),
        )


def experiments(plan: StudyPlan) -> tuple[Experiment, ...]:
    """What a study's page has a section of each."""
    shown = {cell.experiment for cell in plan.cells} | {cell.experiment for cell in plan.timed}
    return tuple(_experiment(plan, name) for name in plan.params.studies[plan.name].experiments if name in shown)


def _made_with(plan: StudyPlan) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The settings of runs, and those that a timed step's cost depends on, the one that is varied aside."""
    found = {
        (cell.experiment, cell.task, cell.variant): {
            **cell.group.settings.as_json(),
            "reward_scaling": cell.group.reward_scaling,
        }
        for cell in plan.cells
    }
    for cell in plan.timed:
        settings, varied = cell.timing.group.settings.as_json(), plan.params.experiments[cell.experiment].vary or {}
        kept = {key: settings[key] for key in TIMED_SETTINGS if key not in varied}
        found[cell.experiment, cell.task, cell.variant] = kept
    return found


def _candidates(plan: StudyPlan) -> Iterator[Candidate]:
    """For each task on a dataset with a published score of DAC, the cell that is nearest to the paper's."""
    for task in dict.fromkeys(cell.task for cell in plan.cells):
        cells = [cell for cell in plan.cells if cell.task == task]
        dataset = cells[0].group.dataset
        if dataset.kind.published and published.score(dataset.name, "DAC") is not None:
            found = {cell: run_differences(plan, cell) for cell in cells}
            nearest = min(cells, key=lambda cell: len(found[cell]))
            yield Candidate(task, dataset.name, nearest.experiment, nearest.variant, found[nearest])


def _cells(plan: StudyPlan) -> Iterator[tuple[Cell, Run]]:
    return ((cell, Run(cell.group, seed)) for cell in plan.cells for seed in plan.seeds)


def _joined(name: str, parts: Iterator[tuple[Cell, Run, Columns]]) -> pd.DataFrame:
    """A table of `ReportData` of the rows of many runs, which need not say whose they are."""
    listed = list(parts)
    if not listed:
        return pd.DataFrame(columns=list(COLUMNS[name]))  # of a study that has no runs
    cells, runs, rows = zip(*listed, strict=True)
    joined = {column: np.concatenate([part[column] for part in rows]) for column in rows[0]}
    keys = {
        "experiment": [cell.experiment for cell in cells],
        "task": [cell.task for cell in cells],
        "variant": [cell.variant for cell in cells],
        "seed": [run.seed for run in runs],
    }
    # One look-up for all rows: a table of every run with columns of its own would take longer than reading it.
    lengths = [len(next(iter(part.values()))) for part in rows]
    whose = pd.DataFrame(keys).take(np.repeat(np.arange(len(rows)), lengths)).reset_index(drop=True)
    return whose.assign(**joined)[list(COLUMNS[name])]


def _experiment(plan: StudyPlan, name: str) -> Experiment:
    settings = plan.params.experiments[name]
    return Experiment(
        name=name,
        title=settings.title,
        description=settings.description,
        tasks=settings.tasks,
        variants=settings.variant_names,
        varied=next(iter(settings.vary)) if settings.vary else None,
        show=settings.show,
        published=settings.published,
        claims=settings.claims,
    )


def _curves(pairs: Iterable[tuple[Cell, Run]]) -> Iterator[tuple[Cell, Run, Columns]]:
    scored: dict[Run, Columns] = {}  # no run's episodes stay in memory: they would be most of what a page takes
    for cell, run in pairs:
        if run not in scored:
            scored[run] = _scored(read_curve(run), run.group.settings.eval_episodes, cell.evaluations[0].reference)
        yield cell, run, scored[run]


def _evaluations(pairs: Iterable[tuple[Cell, Run]], read: ReadEvaluation) -> Iterator[tuple[Cell, Run, Columns]]:
    """The recorded evaluations; an experiment's variant name takes the place of the settings' label in the file."""
    for cell, run in pairs:
        for evaluation in cell.evaluations:
            scored = _scored(read(run, evaluation), evaluation.episodes, evaluation.reference)
            yield cell, run, scored | {"action_samples": np.full(len(scored["step"]), evaluation.action_samples)}


def _scored(rows: Columns, episodes: int, reference: tuple[float, float]) -> Columns:
    """Step, episodes, and mean score of every evaluation; a file may have scores by reference returns of before.

    Args:
        rows: one for each episode, so many of each evaluation, in order.
    """
    scores = normalised_score(rows["return"], *reference).reshape(-1, episodes)
    # An episode that blew up is to be seen in the mean, whatever else is there.
    means = np.where(np.isnan(scores), np.inf, scores).mean(axis=1)
    return {"step": rows["step"][::episodes], "episodes": np.full(len(means), episodes), "score": means}


def _run(cell: Cell, run: Run, content: dict[str, Any]) -> dict[str, Any]:
    made = provenance_record(store.run_directory(run)) or {}
    shown = [store.evaluation_key(run, evaluation, content) for evaluation in cell.evaluations]
    return {
        "experiment": cell.experiment,
        "task": cell.task,
        "variant": cell.variant,
        "seed": run.seed,
        "run": run.group.name,
        "status": content["status"],
        "steps": content["steps"],
        "dataset_sha256": content["dataset_sha256"],
        "machine": made.get("machine", "not recorded"),
        "device": made.get("device", "not recorded"),
        "torch": made.get("versions", {}).get("torch", "not recorded"),
        "simulator": "; ".join(_simulators(made, shown)),
        "finished": made.get("finished", ""),
        "device_seconds": device_seconds(made),
    }


def _simulators(made: dict[str, Any], shown: Iterable[str]) -> list[str]:
    """The simulators that a run's episodes are of, those of its curve and of the evaluations shown, each once."""
    evaluations = made.get("evaluations", {})
    versions = (item.get("versions", {}) for item in (made, *(evaluations.get(key, {}) for key in shown)))
    named = (", ".join(f"{name} {item[name]}" for name in SIMULATORS if name in item) for item in versions)
    return list(dict.fromkeys(name or "not recorded" for name in named))


def _tasks(plan: StudyPlan, contents: dict[Run, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    groups = {cell.task: cell.group for cell in plan.cells}
    for name, group in groups.items():
        reference = references(plan.params.tasks[name], name)
        known = [run for run in (Run(group, plan.seeds[0]), *contents) if run in contents and run.group.task == name]
        data = data_of(known[0], contents[known[0]]) if known else UNKNOWN_DATA
        returns = np.array([data["return"]["mean"], data["return"]["max"]])
        score_mean, score_max = normalised_score(returns, *reference)
        yield {
            "task": name,
            "dataset": group.dataset.id,
            "env": group.env,
            "episodes": data["episodes"],
            "steps": data["steps"],
            "data_return_mean": data["return"]["mean"],
            "data_return_std": data["return"]["std"],
            "data_return_max": data["return"]["max"],
            "data_score_mean": score_mean,
            "data_score_max": score_max,
            "reference_min": reference[0],
            "reference_max": reference[1],
            "published_id": group.dataset.name if group.dataset.kind.published else None,
        }
