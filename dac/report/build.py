"""From a study's plan and the store to its page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dac.envs import normalised_score
from dac.envs.bandit import behaviour
from dac.report import published, times
from dac.report.bandit import level_grid
from dac.report.comparable import differences, run_differences
from dac.report.data import COLUMNS, BanditTask, Candidate, Experiment, PageSettings, Planned, ReportData
from dac.report.films import films_of
from dac.report.recorded import data_of, read_curve, read_evaluation
from dac.report.render import render
from dac.report.statistics import mean_over_episodes
from dac.study import pages, states, store, timings
from dac.study.identity import Evaluation, Run
from dac.study.plan import Cell, StudyPlan
from dac.study.records import provenance_record
from dac.study.task_data import references
from dac.study.timings import TIMED_SETTINGS
from dac.system import paths
from dac.system.errors import UserError
from dac.system.provenance import device_seconds

ReadEvaluation = Callable[[Run, Evaluation], pd.DataFrame]

# Of a task of a partial page that no run of says what it was trained on.
UNKNOWN_DATA: dict[str, Any] = {
    "episodes": pd.NA,
    "steps": pd.NA,
    "return": {"mean": np.nan, "std": np.nan, "max": np.nan},
}
SIMULATORS = ("gymnasium", "gymnasium-robotics", "mujoco")


def build(plan: StudyPlan) -> None:
    """Write a study's page from its complete runs.

    Raises:
        UserError: a run is not complete, a file is damaged, or runs of one dataset were trained on different data.
    """
    key = pages.key_of(plan)  # before anything is read: what another process changes meanwhile is not in the page
    with tempfile.TemporaryDirectory() as folder:
        render(report_data(plan), Path(folder))
        pages.publish(plan, Path(folder), key)


def build_partial(plan: StudyPlan) -> Path:
    """Write a page of what is there of a study, while the rest is missing or in training; returns its folder.

    It lies in work/, which neither git nor DVC keeps.

    Raises:
        UserError: nothing is there yet; as `build`.
    """
    there = [run for run, state in states.of_study(plan).items() if state.kind in ("done", "diverged")]
    if not there:
        raise UserError(
            f"studies.{plan.name}: no run is trained and evaluated yet, so there is nothing to show; "
            f"`dac status {plan.name}` says how far its runs are."
        )
    folder = paths.PARTIAL / plan.name
    with tempfile.TemporaryDirectory() as rendered:
        render(report_data(_with_whole_timings(plan), there), Path(rendered))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(rendered, folder)
    return folder


def _with_whole_timings(plan: StudyPlan) -> StudyPlan:
    """A plan without the experiments that lack some of their times: a ratio needs both of its sides."""
    lacking = {cell.experiment for cell in plan.timed if timings.problem(cell.timing)}
    return replace(plan, timed=tuple(cell for cell in plan.timed if cell.experiment not in lacking))


def report_data(plan: StudyPlan, there: Collection[Run] | None = None) -> ReportData:
    """Everything a study's page is made of, read from the store; contents are compared with run.json.

    Args:
        there: of a partial page, the runs that are in the store; None: all of the study's.
    """
    study = plan.params.studies[plan.name]
    contents = {run: store.read_run(run) for run in (plan.runs() if there is None else there)}
    shown = {cell.experiment for cell in plan.cells} | {cell.experiment for cell in plan.timed}
    pairs = [(cell, run) for cell, run in _cells(plan) if run in contents]
    curves = {run: read_curve(run) for run in contents}
    read = cache(read_evaluation)  # experiments share runs
    return ReportData(
        study=plan.name,
        description=study.description,
        experiments=tuple(_experiment(plan, name) for name in study.experiments if name in shown),
        settings=PageSettings(**plan.params.report.model_dump()),
        curves=_means("curves", _curves(pairs, curves)),
        evaluations=_means("evaluations", _evaluations(pairs, read)),
        runs=pd.DataFrame([_run(cell, run, contents[run]) for cell, run in pairs], columns=COLUMNS["runs"]),
        tasks=pd.DataFrame(_tasks(plan, contents), columns=COLUMNS["tasks"]),
        actions=_frame("actions", _actions(pairs, _bandit_cells(plan), read)),
        times=pd.DataFrame(times.rows_of(plan), columns=COLUMNS["times"]),
        bandits=_bandits(plan, contents),
        films=films_of(plan, contents),
        differences={(cell.experiment, cell.task, cell.variant): differences(plan, cell) for cell in plan.cells},
        candidates=tuple(_candidates(plan)),
        made_with=_made_with(plan),
        synthetic=any(content.get("synthetic") for content in contents.values()),
        planned=None if there is None else Planned(plan.seeds, len(plan.runs()), len(contents)),
    )


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


def _means(name: str, parts: Iterator[tuple[dict[str, Any], pd.DataFrame]]) -> pd.DataFrame:
    """Episodes of many runs as one table of their evaluations' means.

    Args:
        parts: whose a run's episodes are, by column, and their steps and scores.
    """
    listed = list(parts)
    if not listed:
        return pd.DataFrame(columns=list(COLUMNS[name]))  # of a study that has no runs
    keys, frames = zip(*listed, strict=True)
    part = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    means = mean_over_episodes(pd.concat(frames, ignore_index=True).assign(part=part), ["part", "step"])
    # One look-up for all rows: a table of every run with columns of its own would take longer than reading it.
    whose = pd.DataFrame(list(keys)).take(means["part"].to_numpy()).reset_index(drop=True)
    return pd.concat([whose, means], axis=1)[list(COLUMNS[name])]


def _frame(name: str, frames: Iterator[pd.DataFrame]) -> pd.DataFrame:
    columns = list(COLUMNS[name])
    listed = [frame[columns] for frame in frames]
    return pd.concat(listed, ignore_index=True) if listed else pd.DataFrame(columns=columns)


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


def _curves(
    pairs: Iterable[tuple[Cell, Run]], curves: Mapping[Run, pd.DataFrame]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    for cell, run in pairs:
        yield _whose(cell, run), _scored(curves[run], cell.evaluations[0].reference)


def _evaluations(
    pairs: Iterable[tuple[Cell, Run]], read: ReadEvaluation
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The recorded evaluations; an experiment's variant name takes the place of the settings' label in the file."""
    for cell, run in pairs:
        for evaluation in cell.evaluations:
            whose = {**_whose(cell, run), "action_samples": evaluation.action_samples}
            yield whose, _scored(read(run, evaluation), evaluation.reference)


def _whose(cell: Cell, run: Run) -> dict[str, Any]:
    return {"experiment": cell.experiment, "task": cell.task, "variant": cell.variant, "seed": run.seed}


def _scored(episodes: pd.DataFrame, reference: tuple[float, float]) -> pd.DataFrame:
    """Steps of episodes and the scores of their returns; a file may have others, by reference returns of before."""
    scores = normalised_score(episodes["return"].to_numpy(), *reference)
    return pd.DataFrame({"step": episodes["step"].to_numpy(), "score": scores})


def _bandit_cells(plan: StudyPlan) -> list[Cell]:
    """The cells of experiments that show a bandit."""
    return [cell for cell in plan.cells if "bandit" in plan.params.experiments[cell.experiment].show]


def _actions(
    pairs: Iterable[tuple[Cell, Run]], bandits: Collection[Cell], read: ReadEvaluation
) -> Iterator[pd.DataFrame]:
    """The actions that the last policies of bandits draw, none chosen among several."""
    for cell, run in pairs:
        if cell in bandits:
            evaluation = next(evaluation for evaluation in cell.evaluations if evaluation.draws_one)
            frame = read(run, evaluation)
            frame = frame[frame["step"] == cell.group.settings.steps]
            frame = frame.assign(experiment=cell.experiment, variant=cell.variant)
            x, y = np.stack(frame["action"].to_list()).astype(np.float64).T
            yield frame.assign(x=x, y=y)


def _bandits(plan: StudyPlan, there: Collection[Run]) -> dict[tuple[str, str], BanditTask]:
    """The bandits' tasks by experiment and name, with the Q that every variant's run of one seed learned.

    It is the first seed that all variants have, or else most of them.
    """
    cells: dict[tuple[str, str], list[Cell]] = {}
    for cell in _bandit_cells(plan):
        cells.setdefault((cell.experiment, cell.task), []).append(cell)
    grid = level_grid()
    found = {}
    for key, variants in cells.items():
        name = variants[0].group.dataset.name
        seed = max(plan.seeds, key=lambda seed: sum(Run(cell.group, seed) in there for cell in variants))
        found_of = [cell for cell in variants if Run(cell.group, seed) in there]
        learned = {cell.variant: _learned_q(cell, seed, grid) for cell in found_of}
        found[key] = BanditTask(name, behaviour(name), seed, grid, learned)
    return found


def _learned_q(cell: Cell, seed: int, grid: np.ndarray) -> np.ndarray:
    """Ensemble mean of the Q of a cell's run on the grid × grid actions, the first axis the second component."""
    import torch

    from dac.agent.networks import q_values
    from dac.training.policies import load_policies

    second, first = np.meshgrid(grid, grid, indexing="ij")
    actions = torch.as_tensor(np.column_stack([first.ravel(), second.ravel()]), dtype=torch.float32)
    policy = load_policies(cell.group, [Run(cell.group, seed)], cell.group.settings.steps, torch.device("cpu"))
    q = q_values(policy.critic, torch.zeros(1, 1, 1), actions.unsqueeze(0)).mean(1)
    return np.asarray(q.view(len(grid), len(grid)).numpy())


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
