from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny import Project, publish, publish_evaluation, publish_study, write_rows

from dac.study import store, versions, why
from dac.study.identity import Evaluation, Run
from dac.system.hashing import sha256_of


def explain(project: Project, study: str = "tiny") -> list[str]:
    return why.explain_study(project.load(), study)


def reason(project: Project, seed: int = 0) -> str | None:
    return why.explain_run(Run(project.group(), seed))


def test_a_complete_study(project: Project) -> None:
    publish_study(project.plan())
    assert explain(project) == ["tiny: complete, nothing to do"]
    assert reason(project) is None


def test_an_empty_store(project: Project) -> None:
    name = project.group().name
    assert explain(project) == [
        f"train pendulum/{name}/seed-0: missing: no run of this task and seed is in the store",
        f"train pendulum/{name}/seed-1: missing: no run of this task and seed is in the store",
        "report tiny: missing",
    ]


def test_missing_data(project: Project) -> None:
    found = explain(project.set("experiments.main.tasks", ["replay"]))
    assert found[0] == "collect or fetch collect:InvertedPendulum-v5/medium-replay: missing"


def test_a_changed_setting(project: Project) -> None:
    publish_study(project.plan())
    project.set("tasks.pendulum.settings.lcb_coefficient", 0.75)
    found = explain(project)
    name = project.group().name
    assert found == [
        f"train pendulum/{name}/seed-0: new setting lcb_coefficient: 0.5 → 0.75",
        f"train pendulum/{name}/seed-1: new setting lcb_coefficient: 0.5 → 0.75",
        "report tiny: its runs, their results or the report's settings changed",
    ]


def test_the_nearest_relative_counts(project: Project) -> None:
    publish(Run(project.group(), 0))
    publish(Run(project.set("tasks.pendulum.settings.eta", 2.0).group(), 0))
    project.set("tasks.pendulum.settings.guidance", "hard")
    changes = 'guidance: "soft" → "hard"'
    assert reason(project) == f"new setting {changes}"
    project.set("tasks.pendulum.settings.eta", 3.0)
    assert reason(project) == f"new setting eta: 1.0 → 3.0; {changes}"


def test_a_setting_that_is_switched_off(project: Project) -> None:
    publish(Run(project.group(), 0))
    project.set("tasks.pendulum.settings.q_target", "min")
    assert reason(project) == 'new setting lcb_coefficient: 0.5 → not set; q_target: "lcb" → "min"'


def test_a_new_seed(project: Project) -> None:
    publish_study(project.plan())
    project.set("studies.tiny.seeds", [0, 1, 2])
    assert reason(project, 2) == "missing: a new seed, or its files were deleted"
    assert len(explain(project)) == 2


def test_other_data_and_a_new_version(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(Run(project.group(), 0))
    old = sha256_of(Path("data/pendulum.hdf5"))
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    Path("datasets.lock").unlink()
    new = sha256_of(Path("data/pendulum.hdf5"))
    assert reason(project) == f'new setting dataset.sha256: "{old}" → "{new}"'
    publish(Run(project.group(), 0))
    monkeypatch.setattr(versions, "COMMON", versions.COMMON + 1)
    assert reason(project) == f"new setting versions.common: {versions.COMMON - 1} → {versions.COMMON}"


def test_a_damaged_run(project: Project) -> None:
    folder = publish(Run(project.group(), 0))
    (folder / "curve.csv").unlink()
    assert reason(project) == "incomplete: curve.csv is missing"
    (folder / "run.json").write_text("{")
    assert reason(project) == "corrupt: run.json is not readable"
    assert reason(project.set("tasks.pendulum.settings.eta", 2.0)) == (
        "missing: no run of this task and seed is in the store"
    )


def test_a_changed_evaluation(project: Project) -> None:
    publish_study(project.plan())
    name = project.group().name
    assert explain(project.set("evaluation.episodes", 3))[:1] == [
        f"evaluate pendulum/{name}/seed-0: new setting episodes: 2 → 3 (N_a 1 × 3 episodes, N_a 3 × 3 episodes)"
    ]
    project.set("evaluation", {"action_samples": [1, 3, 5], "episodes": 2})
    assert re.search(r"seed-0: new setting action_samples: [13] → 5 \(N_a 5 × 2 episodes\)$", explain(project)[0])


def test_an_evaluation_whose_file_is_gone(project: Project) -> None:
    plan = project.plan()
    publish_study(plan)
    run, evaluation = plan.runs()[0], plan.cells[0].evaluations[1]
    (store.run_directory(run) / f"evaluation-{evaluation.fingerprint}.parquet").unlink()
    assert explain(project) == [
        f"evaluate {run}: its file is missing or has another size (N_a 3 × 2 episodes)",
        "report tiny: its runs change",
    ]


def test_a_changed_report(project: Project) -> None:
    publish_study(project.plan())
    found = explain(project.set("report.window", 1))
    assert found == ["report tiny: its runs, their results or the report's settings changed"]


# The list of runs


def states(project: Project, verify: bool = False) -> dict[int, str]:
    rows = why.list_runs(project.load(), verify)
    return {int(row["run"].rpartition("-")[2]): row["state"] for row in rows}


def test_the_list_of_runs(project: Project) -> None:
    project.set("studies.other", {**project.settings["studies"]["tiny"], "seeds": [1]})
    plan = project.plan()
    for run in plan.runs():
        publish(run, status="diverged" if run.seed else "complete")
    publish_evaluation(plan.runs()[0], Evaluation(1, 1, (0.0, 1.0)))
    assert why.list_runs(project.load(), verify=False) == [
        {
            "run": f"pendulum/{plan.cells[0].group.name}/seed-0", "state": "complete", "evaluations": "1",
            "MB": "0.0", "used by": "tiny",
        },
        {
            "run": f"pendulum/{plan.cells[0].group.name}/seed-1", "state": "diverged", "evaluations": "0",
            "MB": "0.0", "used by": "tiny, other",
        },
    ]  # fmt: skip
    project.set("tasks.pendulum.settings.eta", 2.0)
    assert {row["used by"] for row in why.list_runs(project.load(), verify=False)} == {"no study of params.yaml"}


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "of no study"])
def test_damage_in_the_list_of_runs(planned: bool, project: Project) -> None:
    plan = project.set("studies.tiny.seeds", [0, 1, 2]).plan()
    folders = [publish(run) for run in plan.runs()]
    (folders[0] / "curve.csv").write_text("step\n1\n")  # of the same size
    (folders[1] / "run.json").unlink()
    if not planned:
        project.set("tasks.pendulum.settings.eta", 2.0)
    assert states(project) == {0: "complete", 1: "incomplete: no run.json", 2: "complete"}
    assert states(project, verify=True)[0] == "corrupt: curve.csv"
    assert states(project, verify=True)[2] == "complete"
