from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny import Project, publish, publish_study, write_rows

from dac.study import store, versions, why
from dac.study.identity import Run
from dac.system.hashing import sha256_of


def explain(project: Project, study: str = "tiny") -> list[str]:
    return why.explain_study(project.load(), study)


def reason(project: Project, seed: int = 0) -> str | None:
    return why.Reasons(project.load()).of(Run(project.group(), seed))


def test_a_complete_study(project: Project) -> None:
    publish_study(project.plan())
    assert explain(project) == ["tiny: complete, nothing to do"]
    assert reason(project) is None


def test_an_empty_store(project: Project) -> None:
    name = project.group().name
    assert explain(project) == [f"train pendulum/{name}, seeds 0-1: untrained", "report tiny: missing"]


def test_missing_data(project: Project) -> None:
    found = explain(project.set("experiments.main.tasks", ["replay"]))
    assert found[0] == "collect collect:InvertedPendulum-v5/medium-replay: missing"


def test_a_changed_setting(project: Project) -> None:
    publish_study(project.plan())
    project.set("tasks.pendulum.settings.lcb_coefficient", 0.75)
    found = explain(project)
    name = project.group().name
    assert found == [
        f"train pendulum/{name}, seeds 0-1: new setting lcb_coefficient: 0.5 → 0.75",
        "report tiny: its runs, their results or the report's settings changed",
    ]


def test_what_labels_leave_out_is_said(project: Project) -> None:
    project.set("experiments.main", {"title": "Main", "tasks": ["pendulum"], "vary": {"diffusion_steps": [2, 5]}})
    plan = project.set("studies.tiny.seeds", [0]).plan()
    two, five = plan.runs()
    publish(two)
    lines = explain(project)
    assert lines[0] == f"train pendulum/{five.group.name} (diffusion_steps=5), seed 0: untrained"
    assert lines[1].startswith(f"evaluate pendulum/{two.group.name} (diffusion_steps=2), seed 0: missing")


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
    assert reason(project) == 'new setting q_target: "lcb" → "min"'


def test_what_another_setting_switches_off_makes_no_run_farther(project: Project) -> None:
    """A rate of 0 takes b and the bounds of eta with it, which are no changes of the user's."""
    publish(Run(project.set("tasks.pendulum.settings", {"guidance": "hard", "batch_size": 8}).group(), 0))
    publish(Run(project.set("tasks.pendulum.settings", {}).group(), 0))
    project.set("tasks.pendulum.settings.eta_lr", 0.0)
    assert reason(project) == "new setting eta_lr: 0.001 → 0.0"


def test_a_setting_that_old_runs_lack(project: Project) -> None:
    publish(Run(project.group(), 0))
    project.set("training.precision", "tf32")
    assert reason(project) == 'new setting precision: "fp32" → "tf32"'


def test_runs_that_a_study_plans_explain_no_change(project: Project) -> None:
    """One of two variants is merely untrained, whatever the store has of the other."""
    project.set("studies.tiny.experiments", ["guidance"])
    soft, bc = (cell.group for cell in project.plan().cells)
    publish(Run(soft, 0))
    reasons = why.Reasons(project.load())
    assert [reasons.of(Run(soft, 1)), reasons.of(Run(bc, 0))] == ["untrained", "untrained"]
    assert explain(project)[0] == "train pendulum, 3 runs of 2 settings: untrained"


def test_a_run_in_training(project: Project) -> None:
    run = Run(project.group(), 0)
    folder = store.work_directory(run)
    folder.mkdir(parents=True)
    for step in (9, 30):
        (folder / f"state-{step}-{'0' * 16}.safetensors").touch()
    assert reason(project) == "interrupted at step 30 of 40, goes on from there"


def test_a_new_seed(project: Project) -> None:
    publish_study(project.plan())
    project.set("studies.tiny.seeds", [0, 1, 2])
    assert reason(project, 2) == "untrained"
    assert len(explain(project)) == 2


def test_other_data_and_a_new_version(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(Run(project.group(), 0))
    old = sha256_of(Path("data/pendulum.hdf5"))
    write_rows(Path("data/pendulum.hdf5"), seed=1)
    Path("datasets.lock").unlink()
    new = sha256_of(Path("data/pendulum.hdf5"))
    assert reason(project) == f"new setting dataset.sha256: {old[:12]}… → {new[:12]}…"
    publish(Run(project.group(), 0))
    monkeypatch.setattr(versions, "COMMON", versions.COMMON + 1)
    assert reason(project) == f"new setting versions.common: {versions.COMMON - 1} → {versions.COMMON}"


def test_a_damaged_run(project: Project) -> None:
    folder = publish(Run(project.group(), 0))
    (folder / "curve.csv").unlink()
    assert reason(project) == "incomplete: curve.csv is missing"
    (folder / "run.json").write_text("{")
    assert reason(project) == "corrupt: run.json is not readable"
    assert reason(project.set("tasks.pendulum.settings.eta", 2.0)) == "untrained"


def test_a_changed_evaluation(project: Project) -> None:
    publish_study(project.plan())
    name = project.group().name
    assert explain(project.set("evaluation.episodes", 3))[:1] == [
        f"evaluate pendulum/{name}, seeds 0-1: new setting episodes: 2 → 3 (N_a 1 × 3 episodes, N_a 3 × 3 episodes)"
    ]
    project.set("evaluation", {"action_samples": [1, 3, 5], "episodes": 2})
    assert re.search(r"seeds 0-1: new setting action_samples: [13] → 5 \(N_a 5 × 2 episodes\)$", explain(project)[0])


def test_an_evaluation_whose_file_is_gone(project: Project) -> None:
    plan = project.plan()
    publish_study(plan)
    run, evaluation = plan.runs()[0], plan.cells[0].evaluations[1]
    (store.run_directory(run) / f"evaluation-{evaluation.fingerprint}.parquet").unlink()
    assert explain(project) == [
        f"evaluate pendulum/{run.group.name}, seed 0: its file is missing or has another size (N_a 3 × 2 episodes)",
        "report tiny: its runs change",
    ]


def test_a_changed_report(project: Project) -> None:
    publish_study(project.plan())
    found = explain(project.set("report.window", 1))
    assert found == ["report tiny: its runs, their results or the report's settings changed"]
