"""What a report is made from: the experiments of a study and the rows its runs left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from dac.envs.bandit import Behaviour
from dac.study import shown
from dac.study.params import Claim, ReportSettings
from dac.system.errors import UserError

_KEY = ("experiment", "task", "variant", "seed")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "curves": (*_KEY, "step", "episodes", "score"),
    "evaluations": (*_KEY, "step", "action_samples", "episodes", "score"),
    "actions": (*_KEY, "x", "y"),
    "runs": (
        *_KEY, "run", "status", "steps", "dataset_sha256", "machine", "device", "torch", "simulator",
        "finished", "device_seconds",
    ),
    "times": (
        "experiment", "task", "variant", "value", "repeat", "step_ms", "actor_ms", "machine", "device", "threads",
        "compiled", "torch", "timing",
    ),
    "tasks": (
        "task", "dataset", "env", "episodes", "steps", "data_return_mean", "data_return_std",
        "data_return_max", "data_score_mean", "data_score_max", "reference_min", "reference_max",
        "published_id",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """One experiment of a study: tasks × variants, and what the page shows of them.

    `tasks` and `variants` are in display order. `varied` names the setting on the x axis of a sweep and is
    None where the variants are not values of one setting. `show` holds names of `dac.report.items`. `published` lists
    the methods of `published_scores.csv` that stand beside this study's scores, on comparable tasks only. `claims` is
    what it is to show, see `report.claims`.
    """

    name: str
    title: str
    description: str
    tasks: tuple[str, ...]
    variants: tuple[str, ...]
    varied: str | None
    show: tuple[str, ...]
    published: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        unknown = [item for item in self.show if item not in shown.names()]
        if unknown:
            raise ValueError(f"experiment {self.name!r}: cannot show {unknown}; allowed: {', '.join(shown.names())}")

    @property
    def shows_scores(self) -> bool:
        """Whether anything of it is a score; a bandit is measured by its drawn actions, and times by a clock."""
        return set(self.show) != {"bandit"} and not self.times_steps

    @property
    def times_steps(self) -> bool:
        """Whether gradient steps are timed for it, and no run is trained."""
        return "timing" in self.show


class PageSettings(ReportSettings):
    """How raw episodes become numbers and pictures, `report` of params.yaml, and how pictures are saved."""

    figure_formats: tuple[str, ...] = ("png", "pdf")
    dpi: int = 150


@dataclass(frozen=True)
class Candidate:
    """The cell of a study that is nearest to the paper's runs on one of its datasets.

    `differences` is in what its runs differ from the paper's, the number of seeds aside; empty where in nothing.
    """

    task: str
    dataset: str
    experiment: str
    variant: str
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class BanditTask:
    """What the figure of a bandit's task shows besides the drawn actions.

    `set` names its behaviour set and `behaviour` holds the recorded actions. `q` is by variant the ensemble mean of the
    critics that its run of `seed` learned, on the grid × grid points, its first axis the action's second component.
    """

    set: str
    behaviour: Behaviour
    seed: int
    grid: np.ndarray
    q: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Film:
    """A film of a trained policy.

    Attributes:
        task, variant, seed, step: of which run the policy is, and for how many gradient steps it was trained.
        action_samples: N_a. gif: the file's contents.
        episode_seed, steps, returned, score: of the episode, of which the film shows the first `shown` steps.
    """

    task: str
    variant: str
    seed: int
    step: int
    action_samples: int
    gif: bytes = field(repr=False)
    episode_seed: int
    steps: int
    shown: int
    returned: float
    score: float


@dataclass(frozen=True)
class Planned:
    """What a study is to have, of which its partial page shows what is there.

    Attributes:
        seeds: of each cell. runs: how many in all. there: how many of them are there.
    """

    seeds: tuple[int, ...]
    runs: int
    there: int


@dataclass(frozen=True)
class ReportData:
    """All inputs of a report. The columns of the frames are in `COLUMNS`.

    `curves`: one row per evaluation during training, or several of one, each the mean score of so many
    episodes. `evaluations`: the same of the kept policies, for every number of action samples. `runs`: one row per
    experiment and run. `tasks`: one row per task; `published_id` is its dataset in `published_scores.csv`, or None.
    `times`: one row for every time that gradient steps of an experiment were timed.
    `actions`: one row per action drawn in a bandit's task; `bandits`: those tasks by experiment and name.
    `differences`: by experiment, task and variant, in what a cell differs from what published scores are of; these may
    stand beside a cell only where the entry is empty.
    `candidates`: for each task on a dataset of the paper, what may be compared with its score, if anything.
    `films`: by experiment, the film of it or, in a sentence, why there is none.
    `made_with`: by experiment, task and variant, the settings of its runs.
    `synthetic`: whether any run is an invented one. `planned`: of a partial page, what is to be there; else None, and
    every cell has all of its runs.
    `score` is the normalised score 100 (return - reference_min) / (reference_max - reference_min).
    """

    study: str
    description: str
    experiments: tuple[Experiment, ...]
    settings: PageSettings
    curves: pd.DataFrame
    evaluations: pd.DataFrame
    runs: pd.DataFrame
    tasks: pd.DataFrame
    actions: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS["actions"])))
    times: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS["times"])))
    bandits: Mapping[tuple[str, str], BanditTask] = field(default_factory=dict)
    films: Mapping[str, Film | str] = field(default_factory=dict)
    differences: Mapping[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    made_with: Mapping[tuple[str, str, str], Mapping[str, Any]] = field(default_factory=dict)
    synthetic: bool = False
    planned: Planned | None = None
    task_rows: Mapping[str, Mapping[str, object]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, columns in COLUMNS.items():
            missing = [column for column in columns if column not in getattr(self, name).columns]
            if missing:
                raise ValueError(f"report data: frame {name!r} lacks the columns {missing}")
        rows = {str(row["task"]): row for row in self.tasks.to_dict("records")}
        object.__setattr__(self, "task_rows", rows)

    @property
    def trained(self) -> tuple[Experiment, ...]:
        """The experiments that have runs."""
        return tuple(experiment for experiment in self.experiments if not experiment.times_steps)

    def task_number(self, task: str, column: str) -> float:
        """A number of the `tasks` frame; NaN where it is unknown."""
        value = self.task_rows[task][column]
        return float("nan") if value is None or value is pd.NA else float(value)  # type: ignore[arg-type]

    def published_id(self, experiment: str, task: str) -> str | None:
        """The dataset whose published scores may stand beside some cell of a task; None where beside none."""
        identity = self.task_rows[task]["published_id"]
        if all(self.differences[key] for key in self.differences if key[:2] == (experiment, task)):
            return None
        return identity if isinstance(identity, str) and identity else None


def select(frame: pd.DataFrame, experiment: str, task: str | None = None, variant: str | None = None) -> pd.DataFrame:
    """The rows of one experiment, and of one task or variant of it where given."""
    keep = frame["experiment"] == experiment
    if task is not None:
        keep &= frame["task"] == task
    if variant is not None:
        keep &= frame["variant"] == variant
    return frame[keep]


def in_order(points: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Rows with task and variant as categories: sorted by these they stand in the order of an experiment."""
    return points.assign(
        task=pd.Categorical(points["task"], experiment.tasks, ordered=True),
        variant=pd.Categorical(points["variant"], experiment.variants, ordered=True),
    )


def refuse_mixed_datasets(data: ReportData) -> None:
    """Stop where runs of one dataset were trained on different bytes: their scores must not be averaged.

    Raises:
        UserError: names the dataset, every hash with its runs, and the runs to make again (all but those of
        the most
            common hash; of equally common ones, the one whose runs finished last stays).
    """
    dataset_of = {task: str(row["dataset"]) for task, row in data.task_rows.items()}
    runs = data.runs.drop_duplicates(["task", "run", "seed"])
    for dataset, group in runs.groupby(runs["task"].map(dataset_of), sort=True):
        if group["dataset_sha256"].nunique(dropna=False) > 1:
            raise UserError(_mixed_message(str(dataset), group))


def _mixed_message(dataset: str, runs: pd.DataFrame) -> str:
    groups = {str(sha): group for sha, group in runs.groupby("dataset_sha256", dropna=False)}
    kept = max(groups, key=lambda sha: (len(groups[sha]), str(groups[sha]["finished"].max()), sha))
    found = "".join(f"\n  {sha[:12]}…: {_run_paths(group)}" for sha, group in sorted(groups.items()))
    remake = pd.concat([group for sha, group in groups.items() if sha != kept])
    return (
        f"dataset {dataset!r}: its runs were trained on different files (sha256 of the data):{found}\n"
        f"A report averages only runs of one file. Re-make: {_run_paths(remake)} "
        f"(delete these folders under results/runs and run the study again), or re-make the others."
    )


def _run_paths(runs: pd.DataFrame) -> str:
    return ", ".join(sorted(f"{row.task}/{row.run}/seed-{row.seed}" for row in runs.itertuples()))
