"""`dac status`: how far a study is, as text for a terminal."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Sequence

from rich.text import Text
from tabulate import tabulate  # type: ignore[import-untyped]

from dac.cost import speeds
from dac.cost.left import Left, left
from dac.study import job_logs, seed_names, states, store
from dac.study.identity import Run
from dac.study.plan import StudyPlan
from dac.study.states import Kind, State
from dac.study.timings import problem
from dac.system import durations, signals
from dac.system.paths import LOGS
from dac.watch.screen import Display, cells

WIDTH = 100
SECONDS = 5.0  # between two looks of --watch: at the paper's scale one takes a second
SHOWN = 12  # lines of each part, at most; --all shows all
# Columns, with the kinds that they count.
COLUMNS: dict[str, tuple[Kind, ...]] = {
    "done": ("done", "diverged"),
    "diverged": ("diverged",),
    "evaluate": ("trained", "evaluating"),
    "training": ("training",),
    "interrupted": ("interrupted",),
    "waiting": ("waiting",),
    "failed": ("failed",),
}


def watch(plan: StudyPlan) -> None:
    """The status, drawn anew again and again until Ctrl-C."""
    with signals.until_ctrl_c(), Display() as display:
        while True:
            lines = text(plan, SHOWN).splitlines()[: display.console.height - 3]
            shown = "\n".join([*lines, "", "Ctrl-C ends this display alone."])
            display.update(Text(shown, no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(SECONDS)


def text(plan: StudyPlan, most: int | None = SHOWN) -> str:
    """A line that sums up, a table by experiment, and what runs, failed and diverged.

    Args:
        most: lines of each of these parts; None: all.
    """
    found = states.of_study(plan)
    speed = speeds.calibration(plan.params.compute)
    rest = left(found, plan.evaluations(), plan.params.compute.pack_size, speed)
    parts = [_wrapped(_summary(plan, found.values(), rest), ""), _table(plan, found, rest)]
    parts += [_times(plan), _running(found.values()), _failed(plan, found), _diverged(found.values())]
    return "\n\n".join("\n".join(_cut(part, most)) for part in parts if part) + "\n"


def _cut(part: Sequence[str], most: int | None) -> Sequence[str]:
    # The table is never cut: it has a line for each experiment.
    if most is None or len(part) <= most + 1 or part[0].startswith("experiment"):
        return part
    return [*part[: most + 1], f"  and {len(part) - most - 1} more: `dac status --all` shows all"]


def _summary(plan: StudyPlan, found: Iterable[State], rest: Left) -> str:
    runs = list(found)
    done = [state for state in runs if state.kind in COLUMNS["done"]]
    working = len({state.job.job for state in runs if state.job is not None})
    if not runs:
        return f"{plan.name}: nothing is trained for it"
    if len(done) == len(runs):
        return f"{plan.name}: all {len(runs):,} runs are done"
    seconds = rest.of(state.run for state in runs) / max(1, working)
    beside = f"with {working} jobs at once" if working > 1 else "with one job at a time"
    basis = "at its runs' speeds" if rest.measured else "as `dac plan` estimates"
    counted = f"{plan.name}: {len(done):,} of {len(runs):,} runs are done"
    return f"{counted}; about {durations.rounded(seconds)} left {beside}, {basis}"


def _table(plan: StudyPlan, found: dict[Run, State], rest: Left) -> list[str]:
    rows = [["experiment", "runs", *COLUMNS, "left"]]
    for name in plan.params.studies[plan.name].experiments:
        if plan.params.experiments[name].times_steps:
            continue  # it has no runs
        groups = {cell.group for cell in plan.cells if cell.experiment == name}
        rows.append(_row(name, [state for run, state in found.items() if run.group in groups], rest))
    rows.append(_row("total, each once", list(found.values()), rest))
    aligned = ["left", *["right"] * (len(rows[0]) - 1)]
    return str(tabulate(rows, tablefmt="plain", colalign=aligned, disable_numparse=True)).splitlines()


def _row(name: str, runs: list[State], rest: Left) -> list[str]:
    counts = [sum(state.kind in kinds for state in runs) for kinds in COLUMNS.values()]
    seconds = rest.of(state.run for state in runs)
    return [name, f"{len(runs):,}", *(f"{count:,}" for count in counts), durations.rounded(seconds) if seconds else "–"]


def _times(plan: StudyPlan) -> list[str]:
    """How many times of gradient steps are there, of a study that asks for some."""
    timings = plan.timings()
    measured = [timing for timing in timings if not problem(timing)]
    return [f"times of gradient steps: {len(measured)} of {len(timings)} are measured"] if timings else []


def _running(found: Iterable[State]) -> list[str]:
    jobs = {state.job.job: state.job for state in found if state.job is not None}
    rows = [[f"  {name}", *others] for name, *others in map(cells, jobs.values())]
    if not rows:
        return []
    shown = tabulate(rows, tablefmt="plain", colalign=["left", *["right"] * 4], disable_numparse=True)
    return ["now (steps, speed, last evaluation):", *str(shown).splitlines()]


def _failed(plan: StudyPlan, found: dict[Run, State]) -> list[str]:
    lines = []
    missing = dict.fromkeys(run.group.dataset for run in found if store.run_problem(run))
    for dataset in (dataset for dataset in missing if store.dataset_problem(dataset)):
        log = job_logs.of_data(dataset)
        if log and (error := job_logs.failure(log)):
            lines += [*_wrapped(f"{dataset.id}: {error}"), f"    {log}"]
    alike: dict[tuple[str, str, str], list[int]] = {}
    for state in found.values():
        if state.kind == "failed":
            group = f"{state.run.group.task}/{state.run.group.name}"
            alike.setdefault((group, state.error, str(state.log)), []).append(state.run.seed)
    for (group, error, log_path), seeds in alike.items():
        lines += [*_wrapped(f"{group} {seed_names.name(seeds)}: {error}"), f"    {log_path}"]
    return [f"failed, with the last line of the log in {LOGS}/:", *lines] if lines else []


def _wrapped(line: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        line,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _diverged(found: Iterable[State]) -> list[str]:
    alike: dict[str, list[int]] = {}
    for state in found:
        if state.kind == "diverged":
            alike.setdefault(f"{state.run.group.task}/{state.run.group.name}", []).append(state.run.seed)
    return ["diverged:", *(f"  {group} {seed_names.name(seeds)}" for group, seeds in alike.items())] if alike else []
