"""What an edit of params.yaml, of the code or of the store makes the workflow execute: exactly what it touches.

Every case is asked of Snakemake and of DVC, in one working copy where case follows case, and in fresh clones after
`dvc pull`. What was executed is read from work/journal.jsonl.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from project import (
    TOOLS,
    Project,
    Work,
    clone_of,
    copy_of,
    evaluations,
    made,
    nothing,
    page_alone,
    runs,
    work_of,
)

pytestmark = pytest.mark.workflow

Edit = Callable[[Project], None]


@dataclass(frozen=True)
class Case:
    """What a user does, and what must be executed when the studies are asked for after it."""

    name: str
    edit: Edit
    expected: Work
    studies: tuple[str, ...] = ("mini",)


SEEDS = "studies.mini.seeds"
RHO = "tasks.replay.settings.lcb_coefficient"
COMMENTED = (
    "params.yaml",
    "Snakefile",
    "dvc.yaml",
    "workflow/rules/common.smk",
    "workflow/rules/train.smk",
    "dac/training/trainer.py",
    "dac/study/versions.py",
)
DATASETS = ["collect:InvertedDoublePendulum-v5/expert", "collect:InvertedDoublePendulum-v5/medium-replay"]


def study_at(*seeds: int) -> list[str]:
    """Names of the runs of the study mini, as it stands in the base, at some seeds."""
    return [name for group in ("replay/lcb0.5", "replay/min", "expert/lcb1") for name in runs(group, *seeds)]


EVERYTHING = Work(DATASETS, study_at(0, 1, 2), evaluations(study_at(0, 1, 2)), ["mini"])


def change(key: str, value: Any) -> Edit:
    """Set a key of params.yaml."""
    return lambda project: project.set_param(key, value)


def leave(_: Project) -> None:
    """Change nothing."""


def comment(project: Project) -> None:
    """Add a comment to the parameters, the rules, the stages and the code, and reword a docstring."""
    for name in COMMENTED:
        with (project.path / name).open("a") as stream:
            stream.write("# A comment.\n")
    project.edit(
        "dac/training/evaluate.py", '"""Evaluation of trained runs:', '"""Evaluation of runs that are trained:'
    )


def delete_run(name: str) -> Edit:
    """Delete one seed's files from the store."""
    return lambda project: shutil.rmtree(project.run_folder(name))


def delete_page(project: Project) -> None:
    (project.path / "results/mini/README.md").unlink()


def delete_store(project: Project) -> None:
    shutil.rmtree(project.path / "results/runs")
    shutil.rmtree(project.path / "results/datasets")


def bump_version(project: Project) -> None:
    """A change of code after which the Q-target `min` computes other numbers."""
    project.edit("dac/study/versions.py", '"min": 1', '"min": 2')


# In this order, each from the state that the one before left.
IN_ONE_COPY = [
    Case("nothing", leave, nothing()),
    Case("comments", comment, nothing()),
    Case("pack_size", change("compute.pack_size", 2), nothing()),
    Case("add a seed", change(SEEDS, [0, 1, 2, 3]), made("replay/lcb0.5/3", "replay/min/3", "expert/lcb1/3")),
    Case("remove the last seed", change(SEEDS, [0, 1, 2]), page_alone()),
    Case("rho of one task", change(RHO, 0.75), made(*runs("replay/lcb0.75", 0, 1, 2))),
    Case("rho back", change(RHO, 0.5), page_alone()),
    Case("remove a middle seed", change(SEEDS, [0, 2]), page_alone()),
    Case("episodes", change("evaluation.episodes", 3), Work(evaluated=evaluations(study_at(0, 2)), reported=["mini"])),
    Case("report setting", change("report.window", 1), page_alone()),
    Case("reference returns", change("tasks.replay.reference_returns", [-10.0, 40.0]), page_alone()),
    Case("delete a run", delete_run("replay/lcb0.5/2"), made("replay/lcb0.5/2")),
    Case("delete the page", delete_page, page_alone()),
    Case("delete the page again", delete_page, page_alone()),
    Case("version bump", bump_version, made(*runs("replay/min", 0, 2))),
]
# Then, by tool. The study other has seeds 1 and 3 of replay besides seed 2, which both have: in the store since
# "add a seed", but not at the present number of episodes.
IN_ONE_COPY_AT_LAST = {
    "snakemake": [
        Case(
            "two studies in one call, of which both lack a run",
            delete_run("replay/lcb0.5/2"),
            Work(
                trained=["replay/lcb0.5/2"],
                evaluated=[*evaluations(["replay/lcb0.5/2"]), "replay/lcb0.5/1 N_a 1", "replay/lcb0.5/3 N_a 1"],
                reported=["mini", "other"],
            ),
            ("mini", "other"),
        )
    ],
    "dvc": [
        Case(
            "a second study",
            change("dvc_study", "other"),
            Work(evaluated=["replay/lcb0.5/1 N_a 1", "replay/lcb0.5/3 N_a 1"], reported=["other"]),
            ("other",),
        ),
        Case(
            "delete the store",
            delete_store,
            Work(
                collected=["collect:InvertedDoublePendulum-v5/medium-replay"],
                trained=runs("replay/lcb0.5", 1, 2, 3),
                evaluated=[f"replay/lcb0.5/{seed} N_a 1" for seed in (1, 2, 3)],
                reported=["other"],
            ),
            ("other",),
        ),
    ],
}

IN_CLONES = [
    Case("nothing", leave, nothing()),
    Case("comments", comment, nothing()),
    Case("add a seed", change(SEEDS, [0, 1, 2, 3]), made("replay/lcb0.5/3", "replay/min/3", "expert/lcb1/3")),
    Case("remove a middle seed", change(SEEDS, [0, 2]), page_alone()),
    Case("rho of one task", change(RHO, 0.75), made(*runs("replay/lcb0.75", 0, 1, 2))),
    Case("rho back", change(RHO, 0.25), page_alone()),  # 0.25 is where the base once stood
    Case("episodes", change("evaluation.episodes", 3), Work(evaluated=EVERYTHING.evaluated, reported=["mini"])),
    Case("report setting", change("report.window", 1), page_alone()),
    Case("reference returns", change("tasks.replay.reference_returns", [-10.0, 40.0]), page_alone()),
    Case("delete a run", delete_run("replay/lcb0.5/1"), made("replay/lcb0.5/1")),
    Case("delete the page", delete_page, page_alone()),
    Case("version bump", bump_version, made(*runs("replay/min", 0, 1, 2))),
]
# Seeds 1 and 2 of replay are shared; both studies lack seed 1, which is trained once; seed 3 is other's alone.
SECOND_STUDY_IN_CLONES = {
    "snakemake": Case(
        "two studies in one call",
        delete_run("replay/lcb0.5/1"),
        Work(
            trained=["replay/lcb0.5/1", "replay/lcb0.5/3"],
            evaluated=[*evaluations(["replay/lcb0.5/1"]), "replay/lcb0.5/3 N_a 1"],
            reported=["mini", "other"],
        ),
        ("mini", "other"),
    ),
    "dvc": Case(
        "a second study",
        change("dvc_study", "other"),
        Work(trained=["replay/lcb0.5/3"], evaluated=["replay/lcb0.5/3 N_a 1"], reported=["other"]),
        ("other",),
    ),
}


def check(project: Project, tool: str, case: Case) -> None:
    """Do what the case says, ask the tool for the studies, and look at what ran and at what is there."""
    case.edit(project)
    assert project.make(tool, *case.studies) == case.expected
    for study in case.studies:
        project.assert_settled(study)


@pytest.fixture(scope="module")
def pulled(quick_base: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A fresh clone after `dvc pull`, which cases copy; its code is compiled, since each copy would do that anew."""
    clone = clone_of(quick_base, tmp_path_factory.mktemp("pulled") / "project")
    clone.succeed("dvc", "pull")
    clone.succeed("compileall", "-q", "dac")
    return clone


@pytest.mark.parametrize("tool", TOOLS)
def test_one_copy(quick_base: Project, tmp_path: Path, tool: str, subtests: pytest.Subtests) -> None:
    """The cases one after another, as in a user's session."""
    project = copy_of(quick_base, tmp_path / "project")
    for case in [*IN_ONE_COPY, *IN_ONE_COPY_AT_LAST[tool]]:
        with subtests.test(case.name):
            check(project, tool, case)


def test_an_empty_store_makes_everything(base: Project) -> None:
    """The base's first `snakemake mini`, which began with nothing but code and params.yaml.

    That nothing was left to do afterwards is asserted where the base is built: other tests copy it now.
    """
    events = base.journal()
    first_page = [event["event"] for event in events].index("report")
    assert work_of(events[: first_page + 1]) == EVERYTHING


@pytest.mark.parametrize("tool", TOOLS)
def test_a_clone_without_data_makes_everything(quick_base: Project, tmp_path: Path, tool: str) -> None:
    """Before `dvc pull` all is made anew, and on one machine the numbers are the same."""
    clone = clone_of(quick_base, tmp_path / "project")
    tables = {name: clone.table(name) for name in ("main-scores", "target-scores", "target-action-samples")}
    check(clone, tool, Case("no data", leave, EVERYTHING))
    for name, table in tables.items():
        assert clone.table(name).equals(table), name


@pytest.mark.parametrize(
    ("tool", "case"),
    [
        pytest.param(tool, case, id=f"{case.name}-{tool}".replace(" ", "-"))
        for tool in TOOLS
        for case in [*IN_CLONES, SECOND_STUDY_IN_CLONES[tool]]
    ],
)
def test_a_clone_after_pull(pulled: Project, tmp_path: Path, tool: str, case: Case) -> None:
    check(copy_of(pulled, tmp_path / "project"), tool, case)
