"""The bandit of Fig. 2: a table of the drawn actions, and how they lie over the learned Q."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dac.envs.bandit import BEST_ACTION, MODE_SHARE, SUPPORT_RADIUS, Behaviour, expected_reward
from dac.report.bandit import fresh_name
from dac.report.cells import MEAN_STD, diverged_mark, diverged_notes
from dac.report.data import Experiment, ReportData, select
from dac.report.item import Item, Picture
from dac.report.panels import COLUMN_WIDTH, TEXT_WIDTH, Look, looks
from dac.report.statistics import Summary
from dac.report.table import NONE, Table, Text, number, slug

SHOWN_ACTIONS = 100
_BANDIT_DIGITS = {"reward": 3, "inside": 1, "modes": 1}
# Behaviour is grey in every figure of a report; the darker, the higher the reward.
_REWARDS = LinearSegmentedColormap.from_list("rewards", ["0.9", "0.35"])


def bandit_table(data: ReportData, summary: Summary) -> Table:
    """Behaviour set × variant: mean expected reward, share inside the support, modes covered."""
    experiment = summary.experiment
    frame = summary.drawn[summary.drawn["task"].isin(experiment.tasks)].reset_index(drop=True)
    names = dict.fromkeys([*experiment.variants, fresh_name(experiment)])
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
            *diverged_notes(summary.cells.values()),
            f"{fresh_name(experiment)}: fresh actions of the behaviour set itself, as many as were recorded.",
        ),
    )


def _bandit_row(data: ReportData, summary: Summary, frame: pd.DataFrame, task: str, variant: str) -> tuple[Text, ...]:
    runs = frame[(frame["task"] == task) & (frame["variant"] == variant)]
    fresh = variant == fresh_name(summary.experiment)
    name = variant if fresh else f"{variant}{diverged_mark(summary.cells[task, variant])}"
    shown = [_digits(runs[measure], digits, alone=fresh) for measure, digits in _BANDIT_DIGITS.items()]
    shown[-1] += f" of {data.bandits[summary.experiment.name, task].behaviour.mode_count}"
    cell = (summary.experiment.name, task, variant)
    return (
        Text(task),
        Text(name),
        Text(NONE if fresh else str(len(runs))),
        *(Text(text, of=None if fresh else cell) for text in shown),
    )


def _digits(values: pd.Series, digits: int, alone: bool) -> str:
    """Mean ± sample standard deviation; the mean alone where there is but one value by its nature."""
    spread = NONE if len(values) < 2 else f"{values.std():.{digits}f}"
    return f"{values.mean():.{digits}f}" + ("" if alone else f" ± {spread}")


def _drawn(data: ReportData, experiment: Experiment) -> str:
    actions = data.actions[data.actions["experiment"] == experiment.name]
    counts = sorted(actions.groupby(["task", "variant", "seed"]).size().unique())
    return " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))


def bandit_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """A row per behaviour set, a panel per variant: actions by reward, level curves of the Q that it learned, drawn
    actions.

    A narrow one has the sets as its columns where that makes larger panels.
    """
    experiment, look = summary.experiment, looks(data)
    turned = width < 4 and 1 < len(experiment.tasks) < len(experiment.variants)
    places = [(task, variant) for task in experiment.tasks for variant in experiment.variants]
    if turned:
        places = [(task, variant) for variant in experiment.variants for task in experiment.tasks]
    columns = len(experiment.tasks) if turned else len(experiment.variants)
    width = min(width, max(2.6 * columns, COLUMN_WIDTH))  # the legend needs as much
    rows = len(places) // columns
    figure = Figure(figsize=(width, width / columns * rows + 0.7))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    _frame(axes[0, 0])
    panel = width / columns
    # Marks of the size that panels of a text's width have would cover a small one.
    scale = min(1.0, panel / (TEXT_WIDTH / 5))
    for axis, (task, variant) in zip(axes.flat, places, strict=True):
        bandit = data.bandits[experiment.name, task]
        _behaviour(axis, bandit.behaviour, scale)
        if variant in bandit.q:
            _level_curves(axis, bandit.grid, bandit.q[variant], labelled=panel > 1.6)
        else:
            axis.set_xlabel("no run yet")  # of a partial page
        actions = select(data.actions, experiment.name, task, variant)
        drawn = actions[actions["seed"] == bandit.seed].head(SHOWN_ACTIONS)
        _drawn_actions(axis, drawn, look[experiment.name, variant], scale)
        axis.plot(*BEST_ACTION, marker="*", markersize=8, color="black", markeredgecolor="white", zorder=5)
    for axis, (task, variant) in zip(axes[0], places, strict=False):
        axis.set_title(_folded(task.removeprefix("bandit-") if turned else variant, panel))
    for axis, (task, variant) in zip(axes[:, 0], places[::columns], strict=True):
        axis.set_ylabel(_folded(variant if turned else task.removeprefix("bandit-"), panel))
    columns, close = (4, {}) if width > 4 else (2, {"columnspacing": 1.0, "handletextpad": 0.3, "handlelength": 1.6})
    figure.legend(handles=_handles(), loc="outside lower center", ncols=columns, **close)
    return figure


def _folded(name: str, panel: float) -> str:
    """A name on as many lines as it needs beside a panel so many inches wide."""
    return textwrap.fill(name, max(6, int(panel * 12)))


def _drawn_actions(axis: Axes, drawn: pd.DataFrame, look: Look, scale: float) -> None:
    size, edge = 9 * scale**2, 0.3 * scale
    axis.scatter(
        drawn["x"], drawn["y"], s=size, color=look.colour, marker=look.marker, edgecolors="white", linewidths=edge,
        zorder=4,
    )  # fmt: skip


def _behaviour(axis: Axes, recorded: Behaviour, scale: float) -> None:
    x, y = recorded.actions.T
    rewards, norm = expected_reward(recorded.actions), Normalize(-1.7, 0.0)
    # One picture of a thousand points: as shapes they would be most of a PDF.
    axis.scatter(x, y, s=4 * scale**2, c=rewards, cmap=_REWARDS, norm=norm, linewidths=0, zorder=2, rasterized=True)
    axis.set_aspect("equal")
    axis.grid(visible=False)


def _frame(axis: Axes) -> None:
    """The square of all actions, for all panels: these share their axes."""
    axis.set_xticks([-1, 0, 1])
    axis.set_yticks([-1, 0, 1])
    axis.set_xlim(-1.05, 1.05)
    axis.set_ylim(-1.05, 1.05)


def _level_curves(axis: Axes, grid: np.ndarray, q: np.ndarray, labelled: bool) -> None:
    lines = axis.contour(grid, grid, q, levels=7, colors="0.55", linestyles="dashed", linewidths=0.6, zorder=1)
    if labelled:
        axis.clabel(lines, fontsize=5.5, fmt=number)


def _handles() -> list[Line2D]:
    """The legend of what all panels have; which variant a panel is of stands at its edge."""

    def points(label: str, colour: str, marker: str, size: float) -> Line2D:
        return Line2D([], [], color=colour, marker=marker, markersize=size, linestyle="none", label=label)

    curves = Line2D([], [], color="0.55", linestyle="dashed", linewidth=0.8, label="learned Q")
    return [
        points("recorded (darker: higher reward)", "0.5", "o", 3),
        points("drawn by the policy", "tab:blue", "o", 4),
        curves,
        points("best action", "black", "*", 8),
    ]


def bandit_caption(data: ReportData, summary: Summary) -> str:
    """What the figure shows."""
    return (
        "Grey: recorded actions, the darker the higher their expected reward. Dashed: level curves of the Q that the "
        "panel's own run learned (ensemble mean of the target critics, one seed). Coloured: "
        f"{SHOWN_ACTIONS} actions drawn from that run's policy (one sample each, no choice by Q). Star: best action."
    )


ITEM = Item(place=50, tables=(bandit_table,), picture=Picture(bandit_figure, bandit_caption))
