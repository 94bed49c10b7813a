"""Which evaluations the scores of a table are of, ours and published ones: a maximum is no match for a mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from dac.report import published
from dac.report.cells import score_text, seeds_text
from dac.report.data import Experiment, ReportData, select
from dac.report.statistics import Summary, as_planned, best_scores, mean_score, score_matrix
from dac.report.symbols import assigned
from dac.report.table import NONE, Table, Text, number, slug

BEST = "best evaluation"


def selection_table(data: ReportData, summary: Summary) -> Table | None:
    """By method what a run's score is, seeds, episodes, and the average over the comparable tasks.

    This study's variants stand there twice, by the paper's rule and by their best evaluation. None where no cell of the
    experiment is comparable with a published score.
    """
    experiment = summary.experiment
    tasks = [task for task in experiment.tasks if data.published_id(experiment.name, task)]
    if not tasks or not experiment.published:
        return None
    quoted = {method: _scores(data, experiment, tasks, method) for method in experiment.published}
    records = [
        *_ours(data, summary, tasks),
        *(_theirs(method, found, len(tasks)) for method, found in quoted.items() if found),
    ]
    return Table(
        name=f"{slug(experiment.name)}-selection",
        caption=f"{experiment.title}: which evaluations the scores are of.",
        header=(
            "Scores of",
            "A run's score",
            "Seeds",
            "Episodes",
            f"Average of {len(tasks)} task{'s' if len(tasks) > 1 else ''}",
        ),
        rows=tuple(tuple(Text(str(record[key])) for key in _SHOWN) for record in records),
        frame=pd.DataFrame(records).drop(columns=["shown"]),
        notes=(
            f"Tasks: {', '.join(tasks)}.",
            f"A run's best evaluation is a maximum over all of them: it compares with ours by that rule alone. "
            f"{published.NOT_STATED}: by no source that was read.",
            *_sources(quoted),
        ),
    )


_SHOWN = ("scores_of", "selection", "seeds", "episodes", "shown")


def selection_note(data: ReportData, experiment: Experiment, methods: Sequence[str]) -> list[str]:
    """What the published scores of a table are of, in a sentence; none where it has none."""
    rules: dict[str, list[str]] = {}
    for method in methods:
        for score in _scores(data, experiment, experiment.tasks, method):
            names = rules.setdefault(score.protocol.selection, [])
            names += [] if method in names else [method]
    said = "; ".join(f"{', '.join(names)}: {rule}" for rule, names in rules.items())
    return (
        [f"What a run's score is of. Ours: mean of the last {data.settings.window} evaluations; {said}."]
        if said
        else []
    )


def _ours(data: ReportData, summary: Summary, tasks: Sequence[str]) -> Iterator[dict[str, object]]:
    experiment = summary.experiment
    best = as_planned(data, experiment, best_scores(summary.evaluations))
    rules = ((f"mean of the last {data.settings.window} evaluations", summary.run_scores), (BEST, best))
    for variant in experiment.variants:
        if any(data.differences[experiment.name, task, variant] for task in tasks):
            continue
        cells = [summary.cells[task, variant] for task in tasks]
        for rule, scores in rules:
            average = mean_score(score_matrix(scores, tasks, variant).mean(axis=1))
            yield {
                "scores_of": f"{assigned(experiment.varied, variant)} (this study)",
                "selection": rule,
                "seeds": seeds_text(cells),
                "episodes": _episodes(data, experiment, tasks, variant),
                "mean": average.mean,
                "std": average.std,
                "shown": score_text(average),
            }


def _episodes(data: ReportData, experiment: Experiment, tasks: Sequence[str], variant: str) -> str:
    """Episodes of an evaluation of a run."""
    rows = select(data.curves, experiment.name, variant=variant)
    rows = rows[rows["task"].isin(list(tasks))]
    return _listed(int(count) for count in rows.groupby(["task", "seed", "step"])["episodes"].sum().unique())


def _theirs(method: str, found: Sequence[published.PublishedScore], tasks: int) -> dict[str, object]:
    mean = math.fsum(score.mean for score in found) / tasks if len(found) == tasks else math.nan
    return {
        "scores_of": method,
        "selection": "; ".join(dict.fromkeys(score.protocol.selection for score in found)),
        "seeds": _listed(score.protocol.seeds for score in found),
        "episodes": _listed(score.protocol.episodes for score in found),
        "mean": mean,
        "std": math.nan,
        "shown": number(mean),
    }


def _listed(counts: Iterable[int | None]) -> str:
    found = dict.fromkeys(counts)
    return ", ".join(NONE if count is None else str(count) for count in found)


def _scores(
    data: ReportData, experiment: Experiment, tasks: Sequence[str], method: str
) -> list[published.PublishedScore]:
    """A method's published scores on the comparable ones of some tasks."""
    identities = [identity for task in tasks if (identity := data.published_id(experiment.name, task))]
    return [score for identity in identities if (score := published.score(identity, method))]


def _sources(quoted: dict[str, list[published.PublishedScore]]) -> list[str]:
    """What states the rules, a note for each."""
    sources: dict[str, list[str]] = {}
    for method, found in quoted.items():
        for source in dict.fromkeys(score.protocol.source for score in found):
            sources.setdefault(source, []).append(method)
    return [f"{', '.join(names)}: {source}." for source, names in sources.items()]
