"""Score against the number of action samples N_a."""

from __future__ import annotations

from matplotlib.figure import Figure

from dac.report.cells import MEAN_STD, best_of, diverged_mark, diverged_notes
from dac.report.data import Experiment, ReportData, in_order, select
from dac.report.item import Item, Picture
from dac.report.panels import band_line, fix_ticks, grid_of, handle, label_of, legend, looks
from dac.report.score_panels import DASHED, around, data_mean, score_label
from dac.report.statistics import Summary
from dac.report.symbols import assigned, named_on_axis
from dac.report.table import Table, Text, mean_std, slug


def action_samples_table(data: ReportData, summary: Summary) -> Table:
    """Task × variant × number of action samples N_a: the kept policies evaluated again, without training."""
    experiment, points = summary.experiment, summary.action_samples
    counts = sorted(points["action_samples"].unique())
    ordered = in_order(points, experiment).sort_values(["task", "variant", "action_samples"])
    several = len(experiment.variants) > 1
    rows = []
    for (task, variant), group in ordered.groupby(["task", "variant"], sort=False, observed=True):
        found = group.set_index("action_samples").reindex(counts)
        means, stds = found["mean"].tolist(), found["std"].tolist()
        runs = (experiment.name, str(task), str(variant))
        texts = [Text(mean_std(m, s), bold, runs) for m, s, bold in zip(means, stds, best_of(means), strict=True)]
        mark = diverged_mark(summary.cells[str(task), str(variant)])
        names = [str(task), assigned(experiment.varied, str(variant)) + mark] if several else [f"{task}{mark}"]
        rows.append((*map(Text, names), Text(str(int(group["seeds"].iloc[0]))), *texts))
    notes = (
        f"Mean over kept policies and {_episodes_per_policy(data, experiment)} episodes of each, per run; then "
        f"{MEAN_STD[0].lower()}{MEAN_STD[1:]}",
        "Bold: the highest mean of a row.",
        "These policies were evaluated after training, in episodes of their own: at the N_a of the training, too, the "
        "numbers are not those of the evaluations during training.",
        *diverged_notes(summary.cells.values()),
    )
    return Table(
        name=f"{slug(experiment.name)}-action-samples",
        caption=f"{experiment.title}: normalised score against the number of action samples N_a.",
        header=("Task", *(["Variant"] if several else []), "Seeds", *(f"N_a = {count}" for count in counts)),
        rows=tuple(rows),
        frame=ordered[["task", "variant", "action_samples", "mean", "std", "seeds"]],
        notes=notes,
    )


def _episodes_per_policy(data: ReportData, experiment: Experiment) -> str:
    kept = select(data.evaluations, experiment.name)
    policy = ["task", "variant", "seed", "action_samples", "step"]
    counts = sorted(kept.groupby(policy)["episodes"].sum().unique())
    return " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))


def action_samples_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Score of the kept policies against the number of action samples, on a log2 axis."""
    experiment, points = summary.experiment, summary.action_samples
    look = looks(data)
    counts = sorted(points["action_samples"].unique())
    grid = grid_of(experiment.tasks, width, named_on_axis("action_samples"), score_label(data))
    for task, axis in grid.axes.items():
        for variant in experiment.variants:
            line = points[(points["task"] == task) & (points["variant"] == variant)].sort_values("action_samples")
            drawn = look[experiment.name, variant]
            band_line(axis, line["action_samples"], line, drawn, marker=drawn.marker)
        data_mean(data, axis, task)
        axis.set_xscale("log", base=2)
        fix_ticks(axis, counts, [f"{count:g}" for count in counts])
    drawn_variants = [(look[experiment.name, v], label_of(experiment, v)) for v in experiment.variants]
    legend(grid, [handle(drawn, name, drawn.marker) for drawn, name in drawn_variants])
    return grid.figure


def action_samples_caption(data: ReportData, summary: Summary) -> str:
    """What the figure shows."""
    return f"Score of the kept policies against the number of action samples. {around(data)} {DASHED}"


# The robust table is of the scores during training, which an experiment on N_a alone is not about.
ITEM = Item(place=30, tables=(action_samples_table,), picture=Picture(action_samples_figure, action_samples_caption))
