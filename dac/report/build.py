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
from dac.report.figures import two_processes_pay
from dac.report.films import films_of
from dac.report.learned_q import learned
from dac.report.recorded import data_of, read_curve, read_evaluation
from dac.report.render import render
from dac.study import pages, states, store, timings
from dac.study.identity import Evaluation, Group, Run
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
COMPLETE = ("done", "diverged")  # kinds of states of runs that a page can show
SIMULATORS = ("gymnasium", "gymnasium-robotics", "mujoco")


def build(plan: StudyPlan) -> None:
    """Write a study's page from its complete runs.

    Raises:
        UserError: a run is not complete, a file is damaged, or runs of one dataset were trained on different data.
    """
    key = pages.key_of(plan)  # before anything is read: what another process changes meanwhile is not in the page
    with tempfile.TemporaryDirectory() as folder:
        try:
            data = report_data(plan)
        except UserError as error:
            raise _with_hint(plan, error) from error
        render(data, Path(folder))
        pages.publish(plan, Path(folder), key)


def _with_hint(plan: StudyPlan, error: UserError) -> UserError:
    """Of a study that is not complete the error says what shows the rest of it."""
    found = states.of_study(plan).values()
    there = sum(state.kind in COMPLETE for state in found)
    if there in (0, len(found)):
        return error
    return UserError(
        f"{error}\n{there:,} of the {len(found):,} runs of {plan.name} are complete: "
        f"`dac report {plan.name} --partial` writes a page of these."
    )


def build_partial(plan: StudyPlan) -> Path:
    """Write a page of what is there of a study, while the rest is missing or in training; returns its folder.

    It lies in work/, which neither git nor DVC keeps.

    Raises:
        UserError: nothing is there yet; as `build`.
    """
    there = [run for run, state in states.of_study(plan).items() if state.kind in COMPLETE]
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
    shown = {cell.experiment for cell in plan.cells} | {cell.experiment for cell in plan.timed}
    experiments = tuple(_experiment(plan, name) for name in study.experiments if name in shown)
    contents = {run: store.read_run(run) for run in (plan.runs() if there is None else there)}
    pairs = [(cell, run) for cell, run in _cells(plan) if run in contents]
    drawn = _bandit_runs(plan, contents)
    with learned(drawn, level_grid(), apart=two_processes_pay(experiments)) as learned_q:
        read = cache(read_evaluation)  # experiments share runs
        return ReportData(
            study=plan.name,
            description=study.description,
            experiments=experiments,
            settings=PageSettings(**plan.params.report.model_dump()),
            curves=_means("curves", _curves(pairs)),
            evaluations=_means("evaluations", _evaluations(pairs, read)),
            runs=pd.DataFrame([_run(cell, run, contents[run]) for cell, run in pairs], columns=COLUMNS["runs"]),
            tasks=pd.DataFrame(_tasks(plan, contents), columns=COLUMNS["tasks"]),
            actions=_frame("actions", _actions(pairs, _bandit_cells(plan), read)),
            times=pd.DataFrame(times.rows_of(plan), columns=COLUMNS["times"]),
            films=films_of(plan, contents),
            differences={(cell.experiment, cell.task, cell.variant): differences(plan, cell) for cell in plan.cells},
            candidates=tuple(_candidates(plan)),
            made_with=_made_with(plan),
            synthetic=any(content.get("synthetic") for content in contents.values()),
            planned=None if there is None else Planned(plan.seeds, len(plan.runs()), len(contents)),
            bandits=_bandits(plan, contents, dict(zip(drawn, learned_q(), strict=True))),
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
    """The means of many runs' evaluations as one table.

    Args:
        parts: whose a run's evaluations are, by column, and what `_scored` makes of them.
    """
    listed = list(parts)
    if not listed:
        return pd.DataFrame(columns=list(COLUMNS[name]))  # of a study that has no runs
    keys, frames = zip(*listed, strict=True)
    # One look-up for all rows: a table of every run with columns of its own would take longer than reading it.
    part = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    whose = pd.DataFrame(list(keys)).take(part).reset_index(drop=True)
    return pd.concat([whose, pd.concat(frames, ignore_index=True)], axis=1)[list(COLUMNS[name])]


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


def _curves(pairs: Iterable[tuple[Cell, Run]]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    scored: dict[Run, pd.DataFrame] = {}  # no run's episodes stay in memory: they would be most of what a page takes
    for cell, run in pairs:
        if run not in scored:
            scored[run] = _scored(read_curve(run), run.group.settings.eval_episodes, cell.evaluations[0].reference)
        yield _whose(cell, run), scored[run]


def _evaluations(
    pairs: Iterable[tuple[Cell, Run]], read: ReadEvaluation
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The recorded evaluations; an experiment's variant name takes the place of the settings' label in the file."""
    for cell, run in pairs:
        for evaluation in cell.evaluations:
            whose = {**_whose(cell, run), "action_samples": evaluation.action_samples}
            yield whose, _scored(read(run, evaluation), evaluation.episodes, evaluation.reference)


def _whose(cell: Cell, run: Run) -> dict[str, Any]:
    return {"experiment": cell.experiment, "task": cell.task, "variant": cell.variant, "seed": run.seed}


def _scored(rows: pd.DataFrame, episodes: int, reference: tuple[float, float]) -> pd.DataFrame:
    """Step, episodes, and mean score of every evaluation; a file may have scores by reference returns of before.

    Args:
        rows: one for each episode, so many of each evaluation, in order.
    """
    scores = normalised_score(rows["return"].to_numpy(dtype=np.float64), *reference).reshape(-1, episodes)
    # An episode that blew up is to be seen in the mean, whatever else is there.
    means = np.where(np.isnan(scores), np.inf, scores).mean(axis=1)
    return pd.DataFrame({"step": rows["step"].to_numpy()[::episodes], "episodes": episodes, "score": means})


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
            frame = frame.assign(experiment=cell.experiment, task=cell.task, variant=cell.variant)
            x, y = np.stack(frame["action"].to_list()).astype(np.float64).T
            yield frame.assign(x=x, y=y)


def _bandit_seeds(plan: StudyPlan, there: Collection[Run]) -> dict[tuple[str, str], int]:
    """By experiment and task of a bandit the seed that is drawn: the first that all variants have, or else most."""
    runs: dict[tuple[str, str], list[Group]] = {}
    for cell in _bandit_cells(plan):
        runs.setdefault((cell.experiment, cell.task), []).append(cell.group)
    return {
        key: max(plan.seeds, key=lambda seed: sum(Run(group, seed) in there for group in groups))
        for key, groups in runs.items()
    }


def _bandit_runs(plan: StudyPlan, there: Collection[Run]) -> list[Run]:
    """The runs of bandits that are drawn, each once."""
    seeds = _bandit_seeds(plan, there)
    runs = dict.fromkeys(Run(cell.group, seeds[cell.experiment, cell.task]) for cell in _bandit_cells(plan))
    return [run for run in runs if run in there]


def _bandits(plan: StudyPlan, there: Collection[Run], q: Mapping[Run, np.ndarray]) -> dict[tuple[str, str], BanditTask]:
    """The bandits' tasks by experiment and name, with the Q that every variant's run of one seed learned."""
    found = {}
    for (experiment, task), seed in _bandit_seeds(plan, there).items():
        cells = [cell for cell in _bandit_cells(plan) if (cell.experiment, cell.task) == (experiment, task)]
        name = cells[0].group.dataset.name
        of_variant = {cell.variant: q[run] for cell in cells if (run := Run(cell.group, seed)) in q}
        found[experiment, task] = BanditTask(name, behaviour(name), seed, level_grid(), of_variant)
    return found


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
