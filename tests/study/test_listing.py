from __future__ import annotations

from pathlib import Path

import pytest
from tiny import Project, publish, publish_evaluation

from dac.study import listing
from dac.study.identity import Evaluation


def test_the_list_of_runs(project: Project) -> None:
    project.set("studies.other", {**project.settings["studies"]["tiny"], "seeds": [1]})
    plan = project.plan()
    for run in plan.runs():
        publish(run, status="diverged" if run.seed else "complete")
    publish_evaluation(plan.runs()[0], Evaluation(1, 1, (0.0, 1.0)))
    found = listing.runs(project.load())
    assert [run.row for run in found] == [
        {
            "run": f"pendulum/{plan.cells[0].group.name}/seed-0", "varied": "", "state": "complete", "evaluations": "1",
            "MB": "0.0", "used by": "tiny",
        },
        {
            "run": f"pendulum/{plan.cells[0].group.name}/seed-1", "varied": "", "state": "diverged", "evaluations": "0",
            "MB": "0.0", "used by": "tiny, other",
        },
    ]  # fmt: skip
    assert listing.runs(project.load(), tasks=["replay"]) == []
    project.set("tasks.pendulum.settings.eta", 2.0)
    assert {run.studies for run in listing.runs(project.load())} == {()}


def test_the_value_that_an_experiment_varies_is_listed(project: Project) -> None:
    project.set("experiments.main", {"title": "Main", "tasks": ["pendulum"], "vary": {"diffusion_steps": [2, 5]}})
    runs = project.set("studies.tiny.seeds", [0]).plan().runs()
    for run in runs:
        publish(run)
    found = {item.name: item.row["varied"] for item in listing.runs(project.load())}
    assert found == {str(runs[0]): "diffusion_steps=2", str(runs[1]): "diffusion_steps=5"}
    project.set("experiments.main.vary", {"diffusion_steps": [2]})
    assert [item.varied for item in listing.runs(project.load())] == ["", ""]


def test_runs_are_summed_up_by_task(project: Project) -> None:
    project.set("studies.tiny.experiments", ["guidance"])
    first, *others = project.plan().runs()
    publish(first, status="diverged")
    for run in others:
        publish(run)
    (listing.paths.RUNS / str(others[0]) / "curve.csv").unlink()
    project.set("studies.tiny.experiments", ["main"])
    pendulum, total = listing.summary(listing.runs(project.load()))
    assert pendulum == {
        "task": "pendulum", "settings": "2", "runs": "4", "diverged": "1", "damaged": "1", "evaluations": "0",
        "MB": "0.0", "unused": "2", "used by": "tiny",
    }  # fmt: skip
    assert total == {**pendulum, "task": "total"}


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "of no study"])
def test_damage_in_the_list_of_runs(planned: bool, project: Project) -> None:
    plan = project.set("studies.tiny.seeds", [0, 1, 2]).plan()
    folders = [publish(run) for run in plan.runs()]
    (folders[1] / "run.json").unlink()
    if not planned:
        project.set("tasks.pendulum.settings.eta", 2.0)
    found = listing.runs(project.load())
    assert [Path(run.name).name for run in found] == ["seed-0", "seed-1", "seed-2"]
    assert [run.state for run in found] == ["complete", "incomplete: no run.json", "complete"]
    assert [run.damaged for run in found] == [False, True, False]
