"""Which tables a report has, and what each says."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import pandas as pd

from dac.envs.bandit import BEST_ACTION, MODE_SHARE, SUPPORT_RADIUS
from dac.report import bandit, published
from dac.report.data import Experiment, ReportData
from dac.report.statistics import ALL_TASKS, Cell, Estimate, Summary
from dac.report.table import NONE, Table, Text, mean_std, number, slug

MEAN_STD = "Mean ± sample standard deviation (ddof = 1) over seeds; – where there is none (one seed)."
BOLD = "Bold: the highest mean among this study's variants (equal to one decimal counts as equal)."
_BANDIT_DIGITS = {"reward": 3, "inside": 1, "modes": 1}
_SUITES = (
    (r"antmaze", "AntMaze"),
    (r"pointmaze", "PointMaze"),
    (r"kitchen", "Kitchen"),
    (r"halfcheetah|hopper|walker2d", "Locomotion"),
    (r"adroit|\b(pen|door|hammer|relocate)\b", "Adroit"),
)
SUITE_DATASETS = {
    "Locomotion": {
        f"d4rl:{env}-{level}-v2"
        for env in ("halfcheetah", "hopper", "walker2d")
        for level in ("medium", "medium-replay", "medium-expert")
    },
    "AntMaze": {
        f"d4rl:antmaze-{maze}-v0"
        for maze in ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
    },
    "Kitchen": {f"d4rl:kitchen-{kind}-v0" for kind in ("complete", "partial", "mixed")},
}  # as published averages have them


def experiment_tables(data: ReportData, summary: Summary) -> list[Table]:
    """The tables an experiment asks for with `show`, and the robust one if it shows scores of the training."""
    show = summary.experiment.show
    tables = [scores_table(data, summary)] if "scores" in show else []
    tables += [sweep_table(summary)] if "sweep" in show else []
    tables += [action_samples_table(summary)] if "action_samples" in show else []
    tables += [bandit_table(data, summary)] if "bandit" in show else []
    # The robust table is of the scores during training, which an experiment on N_a alone is not about.
    return [*tables, robust_table(data, summary)] if {"scores", "curves", "comparison", "sweep"} & {*show} else tables


def bandit_table(data: ReportData, summary: Summary) -> Table:
    """Behaviour set × variant: mean expected reward, share inside the support, modes covered."""
    experiment = summary.experiment
    frame = bandit.measures(data, experiment)
    names = dict.fromkeys([*experiment.variants, bandit.FRESH])
    rows = [_bandit_row(data, summary, frame, task, variant) for task in experiment.tasks for variant in names]
    return Table(
        name=f"{slug(experiment.name)}-actions",
        caption=f"{experiment.title}: actions drawn from the trained policies.",
        header=("Set", "Actions", "Seeds", "Mean reward", "Inside the support (%)", "Modes covered"),
        rows=tuple(rows),
        frame=frame,
        notes=(
            MEAN_STD,
            f"Mean reward: mean of −‖a − {BEST_ACTION}‖ over {_drawn(data, experiment)} drawn actions; 0 is best.",
            f"Inside the support: nearer than {SUPPORT_RADIUS} to a recorded action. A mode (a Gaussian, a moon, both "
            f"circles) is covered if {100 * MODE_SHARE:g} % of the drawn actions or more are inside and nearest to it.",
            *diverged_notes(summary),
            f"{bandit.FRESH}: fresh actions of the behaviour set itself, as many as were recorded.",
        ),
    )


def _bandit_row(data: ReportData, summary: Summary, frame: pd.DataFrame, task: str, variant: str) -> tuple[Text, ...]:
    runs = frame[(frame["task"] == task) & (frame["variant"] == variant)]
    fresh = variant == bandit.FRESH
    name = variant if fresh else f"{variant}{_mark(summary.cells[task, variant])}"
    shown = [_digits(runs[measure], digits, alone=fresh) for measure, digits in _BANDIT_DIGITS.items()]
    shown[-1] += f" of {data.bandits[summary.experiment.name, task].behaviour.mode_count}"
    return (Text(task), Text(name), Text(NONE if fresh else str(len(runs))), *map(Text, shown))


def _digits(values: pd.Series, digits: int, alone: bool) -> str:
    """Mean ± sample standard deviation; the mean alone where there is but one value by its nature."""
    spread = NONE if len(values) < 2 else f"{values.std():.{digits}f}"
    return f"{values.mean():.{digits}f}" + ("" if alone else f" ± {spread}")


def _drawn(data: ReportData, experiment: Experiment) -> str:
    actions = data.actions[data.actions["experiment"] == experiment.name]
    counts = sorted(actions.groupby(["task", "variant", "seed"]).size().unique())
    return " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))


def scores_table(data: ReportData, summary: Summary) -> Table:
    """Task × variant, mean ± std over seeds, with the data's mean and, where comparable, published scores."""
    experiment = summary.experiment
    published.check_methods(experiment.published)
    comparable = any(data.published_id(experiment.name, task) for task in experiment.tasks)
    methods = experiment.published if comparable else ()
    rows = [_score_row(data, summary, task, methods) for task in experiment.tasks]
    averages = [
        _average_row(data, summary, suite, tasks, methods)
        for suite, tasks in suites(data, experiment.tasks)
        if len(tasks) > 1
    ]
    return Table(
        name=f"{slug(experiment.name)}-scores",
        caption=f"{experiment.title}: normalised score, mean ± standard deviation over seeds.",
        header=(
            "Task",
            "Seeds",
            "Dataset",
            *experiment.variants,
            *(f"{method} (published)" for method in methods),
        ),
        rows=(*rows, *averages),
        frame=_scores_frame(data, summary, methods),
        notes=_score_notes(data, summary, methods, averages=bool(averages)),
    )


def suites(data: ReportData, tasks: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Tasks by benchmark suite ("Locomotion", ...), in order of appearance; others are left out."""
    groups: dict[str, list[str]] = {}
    for task in tasks:
        name = " ".join(str(data.task_rows[task][key]) for key in ("dataset", "env")).lower()
        suite = next((title for pattern, title in _SUITES if re.search(pattern, name)), None)
        if suite is not None:
            groups.setdefault(suite, []).append(task)
    return list(groups.items())


def _score_row(data: ReportData, summary: Summary, task: str, methods: Sequence[str]) -> tuple[Text, ...]:
    variants = summary.experiment.variants
    cells = [summary.cells[task, variant] for variant in variants]
    best = _best([cell.mean for cell in cells])
    shown = [Text(_cell_text(cell), bold) for cell, bold in zip(cells, best, strict=True)]
    theirs = [_published(data, summary.experiment, task, method) for method in methods]
    return (
        Text(task),
        Text(_seeds(cells)),
        Text(number(data.task_number(task, "data_score_mean"))),
        *shown,
        *(Text(NONE if score is None else mean_std(score.mean, score.std)) for score in theirs),
    )


def _average_row(
    data: ReportData, summary: Summary, suite: str, tasks: Sequence[str], methods: Sequence[str]
) -> tuple[Text, ...]:
    """Means over the tasks of a suite; empty for a published method that lacks one of them."""
    variants = summary.experiment.variants
    means = [_mean(summary.cells[task, variant].mean for task in tasks) for variant in variants]
    cells = [summary.cells[task, variant] for task in tasks for variant in variants]
    theirs = [_mean(_published_mean(data, summary.experiment, task, method) for task in tasks) for method in methods]
    return (
        Text(_average_name(data, suite, tasks)),
        Text(_seeds(cells)),
        Text(number(_mean(data.task_number(task, "data_score_mean") for task in tasks))),
        *(Text(number(mean), bold) for mean, bold in zip(means, _best(means), strict=True)),
        *(Text(number(mean)) for mean in theirs),
    )


def _average_name(data: ReportData, suite: str, tasks: Sequence[str]) -> str:
    """The suite's own name only where all of it is there: its published averages are of all its datasets."""
    if {data.task_rows[task]["dataset"] for task in tasks} == SUITE_DATASETS.get(suite):
        return f"{suite} average"
    return f"Average of these {len(tasks)} tasks ({suite})"


def _scores_frame(data: ReportData, summary: Summary, methods: Sequence[str]) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for task in summary.experiment.tasks:
        dataset_mean = data.task_number(task, "data_score_mean")
        rows.append({"task": task, "method": "dataset", "source": "dataset", "mean": dataset_mean})
        for variant in summary.experiment.variants:
            cell = summary.cells[task, variant]
            numbers = {"mean": cell.mean, "std": cell.std, "seeds": cell.seeds, "diverged": cell.diverged}
            rows.append({"task": task, "method": variant, "source": "this study", **numbers})
        for method in methods:
            if score := _published(data, summary.experiment, task, method):
                numbers = {"mean": score.mean, "std": math.nan if score.std is None else score.std}
                rows.append({"task": task, "method": method, "source": score.source, **numbers})
    frame = pd.DataFrame(rows, columns=["task", "method", "mean", "std", "seeds", "diverged", "source"])
    return frame.astype({"seeds": "Int64", "diverged": "Int64"})


def _score_notes(data: ReportData, summary: Summary, methods: Sequence[str], averages: bool) -> tuple[str, ...]:
    experiment = summary.experiment
    notes = [MEAN_STD, "Dataset: mean score of the episodes trained on."]
    notes += [BOLD] if len(experiment.variants) > 1 else []
    notes += ["Averages: mean of the tasks' means."] if averages else []
    notes += diverged_notes(summary)
    notes += _source_notes(data, experiment, methods)
    if experiment.published:
        notes += incomparable_notes(data, experiment)
    return tuple(notes)


def _source_notes(data: ReportData, experiment: Experiment, methods: Sequence[str]) -> list[str]:
    """Where the published scores come from, one note per source."""
    sources: dict[str, list[str]] = {}
    for method in methods:
        scores = [score for task in experiment.tasks if (score := _published(data, experiment, task, method))]
        for source in dict.fromkeys(score.source for score in scores):
            sources.setdefault(source, []).append(method)
    return [f"Published {', '.join(names)}: {source}." for source, names in sources.items()]


def incomparable_notes(data: ReportData, experiment: Experiment) -> list[str]:
    """Why no published number stands beside some tasks, one note per reason; empty where all are comparable."""
    reasons: dict[str, list[str]] = {}
    for task in experiment.tasks:
        for reason in data.differences[experiment.name, task]:
            reasons.setdefault(reason, []).append(task)
    return [
        f"Not comparable with published scores: {', '.join(tasks)} ({reason})." for reason, tasks in reasons.items()
    ]


def diverged_notes(summary: Summary) -> list[str]:
    """What † means; empty where no run diverged."""
    counts = sorted({cell.diverged for cell in summary.cells.values()} - {0})
    marks = ", ".join(f"†{count}" for count in counts)
    return [f"{marks} diverged: that many of the cell's runs; they count with their recorded scores."] if counts else []


def robust_table(data: ReportData, summary: Summary) -> Table:
    """Interquartile mean over runs with its bootstrap interval, per task and over all tasks × seeds."""
    experiment = summary.experiment
    tasks = [*experiment.tasks, ALL_TASKS] if len(experiment.tasks) > 1 else list(experiment.tasks)
    rows, records = [], []
    for task in tasks:
        estimates = [summary.robust[task, variant] for variant in experiment.variants]
        best = _best([estimate.point for estimate in estimates])
        texts = [Text(_interval_text(estimate), bold) for estimate, bold in zip(estimates, best, strict=True)]
        rows.append((Text("All tasks" if task == ALL_TASKS else task), *texts))
        for variant, estimate in zip(experiment.variants, estimates, strict=True):
            bounds = {"iqm": estimate.point, "low": estimate.low, "high": estimate.high}
            records.append({"task": task, "variant": variant, **bounds})
    percent = f"{100 * data.settings.confidence:g} %"
    note = (
        f"Interquartile mean over runs [{percent} stratified bootstrap interval, "
        f"{data.settings.bootstrap_samples} resamples of seeds within tasks]; no interval for one seed."
    )
    notes = [note, *([BOLD.replace("mean", "interquartile mean")] if len(experiment.variants) > 1 else [])]
    return Table(
        name=f"{slug(experiment.name)}-robust",
        caption=f"{experiment.title}: interquartile mean of the normalised score over runs.",
        header=("Task", *experiment.variants),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
        notes=tuple(notes),
    )


def action_samples_table(summary: Summary) -> Table:
    """Task × variant × number of action samples N_a: the kept policies evaluated again, without training."""
    experiment, points = summary.experiment, summary.action_samples
    counts = sorted(points["action_samples"].unique())
    ordered = _in_order(points, experiment).sort_values(["task", "variant", "action_samples"])
    rows = []
    for (task, variant), group in ordered.groupby(["task", "variant"], sort=False, observed=True):
        found = group.set_index("action_samples").reindex(counts)
        means, stds = found["mean"].tolist(), found["std"].tolist()
        texts = [Text(mean_std(m, s), bold) for m, s, bold in zip(means, stds, _best(means), strict=True)]
        label = str(variant) + _mark(summary.cells[str(task), str(variant)])
        rows.append((Text(str(task)), Text(label), Text(str(int(group["seeds"].iloc[0]))), *texts))
    notes = (
        f"Mean over kept policies and episodes per run; then {MEAN_STD[0].lower()}{MEAN_STD[1:]}",
        "Bold: the highest mean of a row.",
        *diverged_notes(summary),
    )
    return Table(
        name=f"{slug(experiment.name)}-action-samples",
        caption=f"{experiment.title}: normalised score against the number of action samples N_a.",
        header=("Task", "Variant", "Seeds", *(f"N_a = {count}" for count in counts)),
        rows=tuple(rows),
        frame=ordered[["task", "variant", "action_samples", "mean", "std", "seeds"]],
        notes=notes,
    )


def sweep_table(summary: Summary) -> Table:
    """Value of the varied setting × task, mean ± std over seeds."""
    experiment = summary.experiment
    best = {task: _best([summary.cells[task, v].mean for v in experiment.variants]) for task in experiment.tasks}
    rows, records = [], []
    for index, variant in enumerate(experiment.variants):
        cells = [summary.cells[task, variant] for task in experiment.tasks]
        texts = [Text(_cell_text(cell), best[task][index]) for task, cell in zip(experiment.tasks, cells, strict=True)]
        rows.append((Text(variant), Text(_seeds(cells)), *texts))
        for task, cell in zip(experiment.tasks, cells, strict=True):
            numbers = {"mean": cell.mean, "std": cell.std, "seeds": cell.seeds, "diverged": cell.diverged}
            records.append({"value": variant, "task": task, **numbers})
    varied = experiment.varied or "variant"
    return Table(
        name=f"{slug(experiment.name)}-sweep",
        caption=f"{experiment.title}: normalised score against {varied}.",
        header=(varied, "Seeds", *experiment.tasks),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
        notes=(MEAN_STD, "Bold: the highest mean of a column.", *diverged_notes(summary)),
    )


def provenance_frame(runs: pd.DataFrame) -> pd.DataFrame:
    """Every run once, with the experiments that use it: what was trained, on which bytes, where and when."""
    key = ["task", "run", "seed"]
    shared = runs.groupby(key, sort=True)["experiment"].agg(lambda names: ";".join(dict.fromkeys(names)))
    once = runs.sort_values([*key, "experiment"]).drop_duplicates(key).drop(columns=["experiment", "variant"])
    frame = once.merge(shared.rename("experiments").reset_index(), on=key, how="left", validate="one_to_one")
    columns = [
        "task",
        "run",
        "seed",
        "status",
        "steps",
        "dataset_sha256",
        "machine",
        "device",
        "torch",
        "simulator",
        "finished",
    ]
    return frame[[*columns, "device_seconds", "experiments"]]


def _published(data: ReportData, experiment: Experiment, task: str, method: str) -> published.PublishedScore | None:
    identity = data.published_id(experiment.name, task)
    return published.score(identity, method) if identity else None


def _published_mean(data: ReportData, experiment: Experiment, task: str, method: str) -> float:
    score = _published(data, experiment, task, method)
    return score.mean if score else math.nan


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def _best(means: Sequence[float]) -> list[bool]:
    shown = [number(mean) for mean in means]
    finite = [float(text) for text in shown if text != NONE]
    if len(means) < 2 or not finite:
        return [False] * len(means)
    return [text == number(max(finite)) for text in shown]


def _cell_text(cell: Cell) -> str:
    return mean_std(cell.mean, cell.std) + _mark(cell)


def _mark(cell: Cell) -> str:
    return f" †{cell.diverged}" if cell.diverged else ""


def _interval_text(estimate: Estimate) -> str:
    if not math.isfinite(estimate.low):
        return number(estimate.point)
    return f"{number(estimate.point)} [{number(estimate.low)}, {number(estimate.high)}]"


def _seeds(cells: Iterable[Cell]) -> str:
    counts = sorted({cell.seeds for cell in cells})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def _in_order(points: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    return points.assign(
        task=pd.Categorical(points["task"], experiment.tasks, ordered=True),
        variant=pd.Categorical(points["variant"], experiment.variants, ordered=True),
    )
