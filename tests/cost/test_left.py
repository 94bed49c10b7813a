from __future__ import annotations

import pytest
from tiny import Project, publish, publish_evaluation

from dac.cost import estimate, left, speeds
from dac.study import states, store
from dac.study.identity import Run
from dac.study.plan import StudyPlan
from dac.system import files, progress

DONE = 10.0  # seconds that a finished run of these tests took


def rest(plan: StudyPlan) -> left.Left:
    speed = speeds.calibration(plan.params.compute)
    return left.left(states.of_study(plan), plan.evaluations(), 2, speed)


def trained(plan: StudyPlan, run: Run) -> None:
    folder = publish(run)
    files.write_json(folder / "provenance.json", {"device_seconds": DONE})
    for evaluation in plan.evaluations()[run.group]:
        publish_evaluation(run, evaluation)


def after(plan: StudyPlan, run: Run) -> float:
    """The estimated evaluation of a run in a pack of two."""
    speed = speeds.calibration(plan.params.compute)
    return estimate.evaluation_seconds(run.group, 2, plan.evaluations()[run.group], speed) / 2


def estimated(plan: StudyPlan, run: Run) -> float:
    return estimate.training_seconds(run.group, 2, speeds.calibration(plan.params.compute)) / 2


def test_without_a_measurement_it_is_the_estimate(project: Project) -> None:
    plan = project.plan()
    found, run = rest(plan), plan.runs()[0]
    assert found.measured == 0
    assert found.seconds[run] == pytest.approx(estimated(plan, run) + after(plan, run))
    assert found.of(plan.runs()) == pytest.approx(2 * found.seconds[run])


def test_what_runs_took_is_what_others_take(project: Project) -> None:
    """Of the same settings as measured, of others by how much longer than estimated the measured ones were."""
    plan = project.set("studies.tiny.experiments", ["guidance"]).plan()
    soft, bc = (cell.group for cell in plan.cells)
    trained(plan, Run(soft, 0))
    found = rest(plan)
    usual = DONE / estimated(plan, Run(soft, 1))
    assert found.measured == 1
    assert found.seconds[Run(soft, 0)] == 0.0
    assert found.seconds[Run(soft, 1)] == pytest.approx(DONE + after(plan, Run(soft, 1)) * usual)
    expected = (estimated(plan, Run(bc, 0)) + after(plan, Run(bc, 0))) * usual
    assert found.seconds[Run(bc, 0)] == pytest.approx(expected)


def test_the_speed_of_a_job_that_runs(project: Project) -> None:
    """Half of 40 steps at 4 steps a second of a pack of two are left: 5 seconds for each of its runs."""
    plan = project.plan()
    first, second = plan.runs()
    with progress.announced("train", job=f"train/pendulum/{first.group.name}/0-1"):
        told = progress.Progress("train", None, 20, 40, "step", 4.0, job=f"train/pendulum/{first.group.name}/0-1")
        progress._write(told)
        found = rest(plan)
    usual = 5.0 / estimated(plan, first)
    assert found.seconds[first] == pytest.approx(2.5 + after(plan, first) * usual)
    assert found.seconds[second] == found.seconds[first]


def test_a_saved_state_counts(project: Project) -> None:
    plan = project.plan()
    first, second = plan.runs()
    trained(plan, first)
    folder = store.work_directory(second)
    folder.mkdir(parents=True)
    (folder / f"state-30-{'0' * 16}.safetensors").touch()
    usual = DONE / estimated(plan, second)
    assert rest(plan).seconds[second] == pytest.approx(DONE / 4 + after(plan, second) * usual)
