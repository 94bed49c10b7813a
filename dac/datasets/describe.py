"""`dac datasets`: what data are configured and here, and what a task's data look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tabulate import tabulate  # type: ignore[import-untyped]

from dac.datasets import convert, folder
from dac.datasets.load import load, place
from dac.datasets.simulator import resimulate
from dac.envs import normalised_score
from dac.rows.checks import misplaced_ends
from dac.rows.raw import RawDataset, episode_returns, statistics
from dac.study import store
from dac.study.identity import Dataset
from dac.study.params import Params
from dac.study.sources import source_of
from dac.study.task_data import dataset_of, environment, references
from dac.system.errors import UserError


def listing(params: Params) -> str:
    """Every configured dataset: its tasks, whether it is here and its contents are right, and where it comes from."""
    tasks: dict[Dataset, list[str]] = {}
    wrong: dict[str, list[str]] = {}
    problems = []
    for name, task in params.tasks.items():
        try:
            tasks.setdefault(dataset_of(params, name), []).append(name)
        except UserError as error:
            key = f"params.yaml: tasks.{name}.dataset: "
            source, data = source_of(task.dataset)
            if source.made == "given" and source.file and source.file(data).is_file():
                wrong.setdefault(f"{task.dataset}\n{str(error).removeprefix(key)}", []).append(name)
            else:
                problems.append(str(error))
    mirrors = params.compute.d4rl_mirrors
    rows = [
        (dataset.id, ", ".join(names), _local(dataset), _verified(dataset), place(dataset, mirrors) or "-")
        for dataset, names in tasks.items()
    ]
    for what, names in wrong.items():
        dataset_id, _, problem = what.partition("\n")
        rows.append((dataset_id, ", ".join(names), "here", f"WRONG: {problem}", "-"))
    headers = ("dataset", "tasks", "here", "contents", "from")
    text = tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True)
    return "\n".join([text, *problems]) + "\n"


def _local(dataset: Dataset) -> str:
    made = dataset.kind.made
    if made == "drawn":
        return "drawn when needed"
    problem = store.dataset_problem(dataset)
    if problem:
        return problem if made == "given" else f"to be {made}"
    if store.folder_problem(dataset) and dataset.file is not None:
        return f"{dataset.file.stat().st_size / 1e6:.1f} MB, to be converted"
    files = [dataset.path / name for name in folder.describe(dataset.path)["files"]]
    return f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def _verified(dataset: Dataset) -> str:
    """Of a file its sha256 against the catalog's or the lock's; of what is converted its arrays against their note."""
    if dataset.kind.made == "drawn" or store.dataset_problem(dataset):
        return "-"
    try:
        if dataset.file is not None and dataset.file.is_file():
            convert.check_source(dataset, dataset.file)
        if store.folder_problem(dataset) is None:
            load(dataset)
    except UserError as error:
        return f"WRONG: {error}"
    return "verified"


def describe(params: Params, task: str, figure: Path) -> str:
    """A task's data in numbers, and the histogram of its episode returns as a picture at `figure`.

    Raises:
        UserError: the data are not here or not usable.
    """
    dataset = dataset_of(params, task)
    if problem := store.dataset_problem(dataset):
        how = {
            "collected": "`snakemake <study>_datasets` collects it for a study that lacks runs on it",
            "given": "put the file there or correct params.yaml",
        }.get(dataset.kind.made, f"`dac fetch {task}` downloads it")
        raise UserError(f"{dataset.id}: {problem} ({dataset.file or dataset.path}); {how}.")
    raw, digest = load(dataset)
    found, reference = statistics(raw), references(params.tasks[task], task)
    scores = normalised_score(episode_returns(raw), *reference)
    returns, length = found["return"], found["length"]
    rows = [
        ("dataset", dataset.id),
        ("sha256", digest),
        ("environment", environment(params.tasks[task], task)),
        ("episodes", f"{found['episodes']:,}"),
        ("steps", f"{found['steps']:,}"),
        ("episode length", f"{length['mean']:.1f} mean, {length['min']} to {length['max']}"),
        ("return", f"{returns['mean']:.2f} ± {returns['std']:.2f}, {returns['min']:.2f} to {returns['max']:.2f}"),
        ("return quantiles", ", ".join(f"{name} {value:.2f}" for name, value in returns["quantiles"].items())),
        ("normalised score", f"{scores.mean():.2f} ± {scores.std():.2f}, best {scores.max():.2f}"),
        ("score references", f"{reference[0]:g} is 0, {reference[1]:g} is 100"),
        ("ends", _ends(raw)),
        ("observations", _ranges(raw.observations)),
        ("actions", _ranges(raw.actions)),
        ("simulator", _simulator(raw, environment(params.tasks[task], task))),
        ("figure", str(figure)),
    ]
    _histogram(task, scores, figure)
    return f"{tabulate(rows, tablefmt='plain', disable_numparse=True)}\n"


def _ends(raw: RawDataset) -> str:
    terminal = int(raw.terminals.sum())
    timed_out = int((raw.timeouts & ~raw.terminals).sum())
    counts = f"{terminal} terminal ({100 * terminal / len(raw):.3f} % of steps), {timed_out} time-outs"
    misplaced = misplaced_ends(raw)
    return f"{counts}; LOOK: {misplaced}" if misplaced else counts


def _simulator(raw: RawDataset, env_id: str) -> str:
    found = resimulate(raw, env_id)
    if found is None:
        return f"{env_id} was not compared: its observation is not its whole state, or no episode has two rows"
    return (
        f"{found.rows} recorded steps done again in {env_id} deviate by {found.median:.1e} of the step's change "
        f"(median; 95 % below {found.upper:.1e})" + "".join(f"; LOOK: {doubt}" for doubt in found.doubts)
    )


def _ranges(values: np.ndarray) -> str:
    return (
        f"{values.shape[1]} numbers, {values.min():.3g} to {values.max():.3g}, mean of |x| {np.abs(values).mean():.3g}"
    )


def _histogram(task: str, scores: np.ndarray, path: Path) -> None:
    import seaborn
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axis = figure.subplots()
    seaborn.histplot(x=scores, bins=min(40, max(10, len(scores) // 5)), ax=axis, color="0.45")
    axis.axvline(scores.mean(), linestyle="--", color="black", linewidth=1)
    title = f"{task}: {len(scores)} episodes, mean {scores.mean():.1f} (dashed)"
    axis.set(xlabel="Normalised return of an episode", ylabel="Episodes", title=title)
    axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
