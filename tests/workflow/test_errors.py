"""Mistakes and damage: a clear message, a non-zero exit, and nothing run or written where it does not belong."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from project import TIMEOUT, Project, Work, copy_of, made, page_alone, work_of

pytestmark = pytest.mark.workflow

RHO = "tasks.replay.settings.lcb_coefficient"
CHANGED = "changed since this job was planned"

COMMANDS = {
    "snakemake": ("snakemake", "mini", "--cores", "1"),
    "dac-plan": ("dac", "plan"),
    "dvc": ("dvc", "repro"),
}


def change(key: str, value: object) -> Callable[[Project], None]:
    return lambda project: project.set_param(key, value)


def add_study_named_train(project: Project) -> None:
    project.set_param("studies.train", project.params["studies"]["other"])


# What the user does, and what the message must say: the place, what was found, what is allowed.
MISTAKES = {
    "unknown key": (
        change("agent.lcb_coeficient", 1.0),
        ["agent.lcb_coeficient", "unknown key", "Did you mean 'lcb_coefficient'?"],
    ),
    "wrong type": (
        change("agent.critic_lr", "fast"),
        ["agent.critic_lr", "found 'fast'", "valid number"],
    ),
    "number in quotes": (
        lambda project: project.edit("params.yaml", "learning_rate: 1.0e-3", "learning_rate: '5e-4'"),
        ["collect.InvertedDoublePendulum-v5.sac.learning_rate", "found '5e-4'", "without quotes"],
    ),
    "duplicate seed": (
        change("studies.mini.seeds", [0, 1, 1]),
        ["studies.mini.seeds[2]", "1 stands twice"],
    ),
    "unknown task": (
        change("experiments.main.tasks", ["replay", "exprt"]),
        ["experiments.main.tasks[1]", "unknown task 'exprt'", "Did you mean 'expert'?"],
    ),
    "unknown varied key": (
        change("experiments.target.vary", {"q_targt": ["lcb", "min"]}),
        ["experiments.target.vary.q_targt", "no such setting", "Did you mean 'q_target'?"],
    ),
    "study named like a rule": (
        add_study_named_train,
        ["studies.train", "a study may not take the name of a rule", "choose another name"],
    ),
}


@pytest.fixture(scope="module")
def finished(quick_base: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_of(quick_base, tmp_path_factory.mktemp("errors") / "project")


@pytest.fixture
def project(finished: Project) -> Iterator[Project]:
    """The module's project; params.yaml is put back afterwards."""
    yield finished
    finished.git("checkout", "params.yaml")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_params_is_explained_and_nothing_runs(project: Project, mistake: str, command: str) -> None:
    make, parts = MISTAKES[mistake]
    make(project)
    before, journal = project.store(), project.journal()
    status, output = project.run(*COMMANDS[command])
    assert status != 0, output
    assert all(part in output for part in ["params.yaml: 1 problem; nothing was run.", *parts]), output
    assert "Traceback" not in output
    assert project.store() == before
    assert project.journal() == journal


def test_a_study_that_does_not_exist(project: Project) -> None:
    status, output = project.run("dac", "plan", "mni")
    assert status == 1
    assert "no study 'mni'; allowed: mini, other. Did you mean 'mini'?" in output


@pytest.mark.parametrize("step", ["train", "evaluate", "collect", "report"])
def test_a_job_of_an_old_plan_refuses(project: Project, step: str) -> None:
    """A command as Snakemake planned it, started after params.yaml was edited."""
    folder = project.run_folder("replay/lcb0.5/0")
    group = (folder.parent.parent.name, folder.parent.name, "--seeds", "0")
    efp = next(folder.glob("evaluation-*.parquet")).stem.removeprefix("evaluation-")
    (dataset,) = (project.path / "results/datasets").glob("*-expert-*")
    arguments, key, value = {
        "train": (group, RHO, 0.75),
        "evaluate": ((*group, "--evaluations", efp), "evaluation.episodes", 3),
        "collect": (
            ("InvertedDoublePendulum-v5", "--datasets", dataset.name[-12:]),
            "collect.InvertedDoublePendulum-v5.seed",
            1,
        ),
        "report": (("mini", "--plan", "0123456789ab"), "report.window", 1),
    }[step]
    project.set_param(key, value)
    before, journal = project.store(), project.journal()
    status, output = project.run("dac", step, *arguments)
    assert status == 1, output
    assert "changed since this" in output
    assert "Nothing was written" in output
    assert "the new plan is used" in output
    assert project.store() == before
    assert project.journal() == journal


def test_an_edit_while_a_study_runs(quick_base: Project, tmp_path: Path) -> None:
    """The training that was planned before the edit refuses; started again, the edited study is what is made."""
    project = copy_of(quick_base, tmp_path / "project")
    for folder in (project.path / "results/runs/replay").glob("soft-H2-lcb0.5-*"):
        shutil.rmtree(folder)
    for folder in (project.path / "results/datasets").glob("*-medium-replay-*"):
        shutil.rmtree(folder)
    shutil.rmtree(project.path / "logs")
    before, lines = project.store(), len(project.journal())

    process = project.start("snakemake", "mini", "--cores", "2", "--show-failed-logs")
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and not list(project.path.glob("logs/collect/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    project.set_param(RHO, 0.25)  # the data are being collected, the training waits for them
    status, output = project.finish(process)

    assert status != 0, output
    assert CHANGED in output
    assert "it no longer describes replay/soft-H2-lcb0.5" in output
    assert "Traceback" not in output
    assert work_of(project.journal()[lines:]) == Work(collected=["collect:InvertedDoublePendulum-v5/medium-replay"])
    assert {name for name in project.store() - before if not name.startswith("results/datasets/")} == set()

    assert project.make("snakemake", "mini") == page_alone()  # the base has the runs at 0.25
    project.assert_settled()


def test_a_damaged_policy(quick_base: Project, tmp_path: Path) -> None:
    """Other contents of the same size: the evaluation names the file. Another size: its seed alone is trained again."""
    project = copy_of(quick_base, tmp_path / "project")
    folder = project.run_folder("replay/lcb0.5/1")
    (policy,) = folder.glob("policy-*.safetensors")
    name = policy.relative_to(project.path)
    whole = policy.read_bytes()
    policy.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for path in folder.glob("evaluation-*.parquet"):
        path.unlink()
    journal = project.journal()
    status, output = project.run("snakemake", "mini", "--cores", "1", "--show-failed-logs")
    assert status != 0, output
    assert f"{name}: its contents are not what run.json records" in output
    assert f"Delete {name} and start again: this run alone is re-made" in output
    assert "Traceback" not in output
    assert project.journal() == journal

    policy.write_bytes(whole[: len(whole) // 2])
    assert project.make("snakemake", "mini") == made("replay/lcb0.5/1")
    assert policy.read_bytes() == whole  # on one machine the same run gives the same bytes
    project.assert_settled()
