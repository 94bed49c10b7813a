"""The page a person reads: `README.md` of a study, with its tables inline and its figures as images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dac.report import figures, published_marks, tables
from dac.report.bandit import SHOWN_ACTIONS
from dac.report.comparable import PAPER_SEEDS
from dac.report.data import Experiment, ReportData, select
from dac.report.made_with import not_the_papers
from dac.report.statistics import Summary
from dac.report.symbols import named
from dac.report.table import NONE, Table, Text, mean_std, number, slug

_IMAGE_FORMATS = ("png", "svg")


@dataclass(frozen=True)
class Opening:
    """What a page begins with.

    Attributes:
        answer, reproduced: whether the paper was reproduced, in a line and as a table, if a task is the paper's.
        claims: what the study is to show, if it is to show something.
        settings: what it was made with.
    """

    answer: str
    reproduced: Table | None
    claims: Table | None
    settings: Table

    def tables(self) -> list[Table]:
        """All that there are."""
        return [table for table in (self.reproduced, self.claims, self.settings) if table is not None]


def page(data: ReportData, summaries: Sequence[Summary], made: Sequence[Sequence[Table]], opening: Opening) -> str:
    """The whole page as Markdown; `made` holds the tables of every summary."""
    reproduced, claims = opening.reproduced, opening.claims
    parts = [
        f"# SYNTHETIC: {data.study}" if data.synthetic else f"# {data.study}",
        "**No number here was measured: runs of this page are invented ones.**" if data.synthetic else "",
        data.description.strip(),
        f"## Was it reproduced?\n\n**{opening.answer}.**\n\n{_table(reproduced)}" if reproduced else "",
        f"## What it shows\n\n{_table(claims)}" if claims else "",
        _contents(data.experiments),
        protocol(data, summaries),
        f"## What it was made with\n\n{_table(opening.settings)}",
        "\n".join(["What is not the paper's besides the settings:", "", *not_the_papers(data)]),
    ]
    for summary, its_tables in zip(summaries, made, strict=True):
        parts.append(_experiment(data, summary, its_tables))
    parts.append(_provenance(data))
    return "\n\n".join(part for part in parts if part) + "\n"


def protocol(data: ReportData, summaries: Sequence[Summary]) -> str:
    """How the numbers of this page were made, in sentences."""
    bandits = any("bandit" in experiment.show for experiment in data.experiments)
    if not any(experiment.shows_scores for experiment in data.experiments):
        return "\n".join(["## Protocol", "", *_bandit_protocol(), _divergence(data.runs)])
    settings = data.settings
    percent = f"{100 * settings.confidence:g} %"
    band = "one sample standard deviation" if settings.curve_band == "sd" else f"the {percent} bootstrap interval"
    sentences = [
        "- **Score.** Normalised score 100 (return − reference minimum) / (reference maximum − reference minimum).",
        f"- **Paper's protocol.** A run's score is the mean of its last {_window(data, summaries)} "
        f"evaluations during training, each the mean of {_episodes(data)} episodes. A cell is the "
        "mean ± sample standard deviation over seeds (ddof = 1).",
        "- **Robust protocol.** Interquartile mean over runs with a "
        f"{percent} percentile interval of the stratified bootstrap (Agarwal et al. 2021; "
        f"{settings.bootstrap_samples} resamples of seeds within every task, random seed "
        f"{settings.bootstrap_seed}).",
        f"- **Figures.** Lines are means over seeds; the band of a curve is {band} over seeds.",
        "- **Published scores** stand in tables and figures only where some cell of the task is of the published data, "
        f"in D4RL's environment, at the paper's settings and evaluation protocol, with {PAPER_SEEDS} seeds or more; "
        "another cell of that row says by a letter in what it differs. Where a page asks whether the paper was "
        "reproduced they are quoted at any number of seeds. They are not measured here, and were evaluated with an "
        "older simulator (docs/tasks.md).",
        *(_bandit_protocol() if bandits else []),
        _divergence(data.runs),
    ]
    return "\n".join(["## Protocol", "", *sentences])


def _bandit_protocol() -> list[str]:
    return [
        "- **Bandit.** A run is measured by the actions that its last policy draws, one sample each and none chosen by "
        "Q. A cell is the mean ± sample standard deviation over seeds (ddof = 1). The paper shows a figure alone: "
        "there are no published numbers to stand beside these."
    ]


def figure_caption(data: ReportData, summary: Summary, kind: str) -> str:
    """What a figure shows."""
    dashed = "Dashed grey: mean score of the data, or a note where it is far away."
    band = {
        "sd": "one sample standard deviation",
        "ci": f"{100 * data.settings.confidence:g} % bootstrap interval",
    }
    around = f"Lines: mean over seeds; band: {band[data.settings.curve_band]} over seeds."
    experiment = summary.experiment
    quoted = (
        f" Thin black: the published curve of DAC, mean of {data.settings.window} evaluations, with its standard "
        "deviation over seeds."
        if published_marks.has_published_curve(data, experiment)
        else ""
    )
    places = [published_marks.paper_place(data, experiment, task) for task in experiment.tasks]
    marked = " Dotted: the paper's value." if any(place is not None for place in places) else ""
    what = {
        "curves": f"Score during training. {around} {dashed} Dotted: its best episode.{quoted} "
        "Where early values lie far outside, the axis fits the second half of the training.",
        "comparison": f"Score of the variants: mean ± sample standard deviation, small dots: seeds. {dashed}",
        "sweep": f"Score against {named(experiment.varied or 'variant')}. Line: mean over seeds; band: one sample "
        f"standard deviation; small dots: seeds. {dashed}{marked}",
        "bandit": f"Grey: recorded actions, the darker the higher their expected reward. Dashed: level curves of the "
        "Q that the panel's own run learned (ensemble mean of the target critics, one seed). Coloured: "
        f"{SHOWN_ACTIONS} actions drawn from that run's policy (one sample each, no choice by Q). Star: best action.",
        "action_samples": f"Score of the kept policies against the number of action samples. {around} {dashed}",
    }
    return f"{summary.experiment.title}. {what[kind]}"


def _contents(experiments: Sequence[Experiment]) -> str:
    entries = [f"- [{experiment.title}](#{_anchor(experiment)})" for experiment in experiments]
    return "\n".join([*entries, "- [Provenance](#provenance)"])


def _anchor(experiment: Experiment) -> str:
    return f"experiment-{slug(experiment.name)}"


def _experiment(data: ReportData, summary: Summary, its_tables: Sequence[Table]) -> str:
    experiment = summary.experiment
    parts = [f'<a id="{_anchor(experiment)}"></a>\n\n## {experiment.title}', experiment.description.strip()]
    parts += [_table(table) for table in its_tables if table.inline]
    parts += [f"{table.caption} {_links(table)}" for table in its_tables if not table.inline]
    parts += [_figure(data, summary, kind) for kind in figures.figure_kinds(experiment)]
    return "\n\n".join(part for part in parts if part)


def _table(table: Table) -> str:
    return f"**{table.caption}** {_links(table)}\n\n{table.markdown().rstrip()}"


def _links(table: Table) -> str:
    links = [f"[{suffix}](tables/{table.name}.{suffix})" for suffix in ("csv", "md", "tex")]
    return f"({' · '.join([*links, f'[tex with caption](tables/{table.name}-float.tex)'])})"


def _figure(data: ReportData, summary: Summary, kind: str) -> str:
    name = figures.figure_name(summary.experiment, kind)
    caption = figure_caption(data, summary, kind)
    formats = data.settings.figure_formats
    image = next((suffix for suffix in _IMAGE_FORMATS if suffix in formats), None)
    shown = f"![{caption}](figures/{name}.{image})\n\n" if image else ""
    links = [f"[{suffix}](figures/{name}.{suffix})" for suffix in formats]
    if "pdf" in formats:
        links.append(f"[pdf, one column wide](figures/{name}-column.pdf)")
    return f"{shown}*{caption}* ({' · '.join(links)})"


def _window(data: ReportData, summaries: Sequence[Summary]) -> str:
    fewest = min(summary.window[0] for summary in summaries if summary.experiment.shows_scores)
    window = data.settings.window
    return str(window) if fewest >= window else f"{window} (all of them where a run has fewer: at least {fewest})"


def _episodes(data: ReportData) -> str:
    key = ["experiment", "task", "variant", "seed", "step"]
    scored = [experiment.name for experiment in data.experiments if experiment.shows_scores]
    curves = data.curves[data.curves["experiment"].isin(scored)]
    counts = sorted(curves.groupby(key)["episodes"].sum().unique())
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _divergence(runs: pd.DataFrame) -> str:
    once = runs.drop_duplicates(["task", "run", "seed"])
    count = int((once["status"] == "diverged").sum())
    if not count:
        return f"- **Divergence.** None of the {len(once)} runs diverged."
    return (
        f"- **Divergence.** {count} of the {len(once)} runs diverged (a loss was not finite), marked † with "
        "their number. Such a run stops learning and its evaluations continue with the frozen policy: it "
        "counts in every mean and interval with the scores as recorded."
    )


def _provenance(data: ReportData) -> str:
    once = tables.provenance_frame(data.runs)
    dates = once["finished"].replace("", None).dropna().astype(str)
    span = f" They finished between {dates.min()} and {dates.max()}." if len(dates) else ""
    parts = [
        "## Provenance",
        f"{len(once)} runs, {device_time(once['device_seconds'])}.{span} Every run, with machine, versions "
        "and dates: [tables/provenance.csv](tables/provenance.csv). Scores of every run: [scores.csv](scores.csv), "
        "averages: [metrics.json](metrics.json), curves: [curves.csv](curves.csv)"
        + (", published scores: [published.csv](published.csv)." if len(tables.published_frame(data)) else "."),
        "### Data",
        _data_table(data, once),
        "### Machines",
        _machine_table(once),
        _mixed_simulators(data.runs),
        "### Runs",
        *(_run_table(data, experiment) for experiment in data.experiments),
    ]
    return "\n\n".join(part for part in parts if part)


def device_time(seconds: pd.Series[float]) -> str:
    """How long devices trained for runs, from each run's share in seconds; in minutes below an hour."""
    unknown = int(seconds.isna().sum())
    if unknown == len(seconds):
        return "device time not recorded"
    total = float(seconds.sum())
    amount = f"{total / 3600:.1f} hours" if total >= 3600 else f"{total / 60:.1f} minutes"
    note = f" ({unknown} of them without a record)" if unknown else ""
    return f"{amount} of device time for training in all{note}, each pack counted once"


def _data_table(data: ReportData, once: pd.DataFrame) -> str:
    header = (
        "Task",
        "Dataset",
        "Environment",
        "Episodes",
        "Steps",
        "Return (mean ± std, max)",
        "sha256",
        "Comparable",
    )
    rows = []
    for task in dict.fromkeys(task for experiment in data.experiments for task in experiment.tasks):
        row = data.task_rows[task]
        mean, std, top = (data.task_number(task, f"data_return_{part}") for part in ("mean", "std", "max"))
        hashes = sorted({str(sha)[:12] for sha in once.loc[once["task"] == task, "dataset_sha256"]})
        found = [data.published_id(item.name, task) for item in data.experiments if task in item.tasks]
        comparable = "yes" if any(found) else "no"
        counts = [f"{data.task_number(task, column):.0f}" for column in ("episodes", "steps")]
        spread = f"{mean_std(mean, std)}, {number(top)}"
        rows.append((task, str(row["dataset"]), str(row["env"]), *counts, spread, ", ".join(hashes), comparable))
    return _plain_table("data", header, rows)


def _machine_table(once: pd.DataFrame) -> str:
    groups = once.groupby(["machine", "device", "torch", "simulator"], sort=True, dropna=False)
    rows = [(*map(str, key), str(len(group))) for key, group in groups]
    return _plain_table("machines", ("Machine", "Device", "torch", "Simulator", "Runs"), rows)


def _mixed_simulators(runs: pd.DataFrame) -> str:
    """A warning where episodes of one task were simulated by different versions; empty where none were."""
    lines = []
    for task, group in runs.groupby("task", sort=False):
        packages: dict[str, set[str]] = {}
        for found in "; ".join(group["simulator"]).replace("; ", ", ").split(", "):
            package, _, version = found.rpartition(" ")
            packages.setdefault(package, set()).add(version)
        # Of what is not recorded nothing is known.
        mixed = [f"{name} {' and '.join(sorted(seen))}" for name, seen in packages.items() if len(seen) > 1]
        lines += [f"- {task}: {', '.join(mixed)}"] if mixed else []
    if not lines:
        return ""
    head = (
        "**Different simulators.** Episodes of one task are of different versions, for which alone scores may differ:"
    )
    return "\n".join([head, "", *lines])


def _run_table(data: ReportData, experiment: Experiment) -> str:
    rows = []
    runs = select(data.runs, experiment.name)
    for task in experiment.tasks:
        for variant in experiment.variants:
            cell = runs[(runs["task"] == task) & (runs["variant"] == variant)]
            for name, group in cell.groupby("run", sort=True):
                seeds = ", ".join(str(seed) for seed in sorted(group["seed"]))
                steps = ", ".join(str(step) for step in sorted(group["steps"].unique()))
                diverged = ", ".join(str(seed) for seed in sorted(group.loc[group["status"] == "diverged", "seed"]))
                rows.append((task, variant, str(name), seeds, steps, diverged or NONE))
    header = ("Task", "Variant", "Run", "Seeds", "Steps", "Diverged seeds")
    return f"{experiment.title}\n\n{_plain_table('runs', header, rows)}"


def _plain_table(name: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = tuple(tuple(Text(text) for text in row) for row in rows)
    return Table(name, "", header, cells, pd.DataFrame()).markdown().rstrip()
