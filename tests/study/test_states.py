from __future__ import annotations

from pathlib import Path

from tiny import Project, publish, publish_evaluation

from dac.study import states, store
from dac.study.identity import Run
from dac.system import progress


def saved(run: Run, step: int) -> None:
    folder = store.work_directory(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"state-{step}-{'0' * 16}.safetensors").touch()


def log_of(run: Run, text: str, step: str = "train") -> Path:
    name = f"{run.seed}.log" if step == "train" else f"{run.seed}/0123456789ab.log"
    log = Path("logs") / step / run.group.task / run.group.name / name
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    return log


def test_how_far_the_runs_of_a_study_are(project: Project) -> None:
    plan = project.set("studies.tiny.seeds", list(range(8))).plan()
    runs = plan.runs()
    for run in runs[:3]:
        publish(run, status="diverged" if run.seed == 1 else "complete")
    for run in runs[:2]:
        for evaluation in plan.evaluations()[run.group]:
            publish_evaluation(run, evaluation)
    saved(runs[3], 20)
    saved(runs[4], 10)
    log_of(runs[4], "dac: pendulum: interrupted at step 10; run again to go on\n")
    saved(runs[5], 10)
    saved(runs[5], 30)
    log = log_of(runs[5], "12:00:00 step 30\ndac: the disk is full\n")
    job = f"train/pendulum/{runs[3].group.name}/3-6"
    with progress.announced("train pendulum", job=job):
        bar = progress.Bar(total=40, initial=25, unit="step", disable=True)
        found = states.of_study(plan)
        bar.close()
    assert [(state.kind, state.step) for state in found.values()] == [
        ("done", 40),
        ("diverged", 40),
        ("trained", 40),
        ("training", 25),
        ("interrupted", 10),
        ("failed", 30),
        ("training", 25),
        ("waiting", 0),
    ]
    assert (found[runs[5]].log, found[runs[5]].error) == (log, "the disk is full")
    assert found[runs[3]].job is not None
    assert found[runs[3]].job.job == job


def test_evaluations_that_run_and_that_fail(project: Project) -> None:
    plan = project.plan()
    first, second = plan.runs()
    publish(first)
    publish(second)
    log_of(second, "dac: no memory\n", "evaluate")
    with progress.announced("evaluate pendulum", job=f"evaluate/pendulum/{first.group.name}/0"):
        found = states.of_study(plan)
    assert [(state.kind, state.error) for state in found.values()] == [("evaluating", ""), ("failed", "no memory")]
