"""`dac plan --calibrate` measures real parts of a tiny study, once each."""

from __future__ import annotations

import json
import re

import pytest
import torch
from tiny import Project

from dac.bench import calibrate
from dac.cli import main
from dac.cost import shapes, speeds, table
from dac.study.jobs import jobs
from dac.system.paths import CALIBRATION

SECONDS = 0.01


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No subprocesses: what they measure is not what these tests are about."""
    monkeypatch.setattr(calibrate, "_startup", lambda: 1.5)
    monkeypatch.setattr(calibrate, "_beside", lambda params, seconds: 1.25)


def test_a_shape_is_measured_once_and_a_changed_one_again(
    project: Project, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = project.set("experiments.main.tasks", ["pendulum", "replay"]).load()
    plan = project.plan()
    first = calibrate.calibrate(params, plan, SECONDS)
    # The two tasks share all but the data: one gradient step, three numbers of candidates, one environment, one SAC.
    assert [key.partition(" ")[0] for key in sorted(first)] == [
        "acting", "acting", "acting", "collection", "environment", "gradient",
    ]  # fmt: skip
    record = json.loads(CALIBRATION.read_text())
    assert set(record["measured"]) == set(first)
    assert all(value > 0 for entry in record["measured"].values() for value in entry.values())
    speed = speeds.calibration(params.compute)
    assert (speed.measured, speed.startup, speed.beside) == (record["measured"], 1.5, 1.25)

    assert calibrate.calibrate(params, plan, SECONDS) == []
    changed = project.set("studies.tiny.settings.batch_size", 8).load()
    (again,) = calibrate.calibrate(changed, project.plan(), SECONDS)
    assert again.startswith("gradient ")
    assert '"batch_size":8' in again
    assert set(json.loads(CALIBRATION.read_text())["measured"]) == {*first, again}


def test_what_is_measured_is_what_a_plan_reads(project: Project) -> None:
    params = project.set("experiments.main.tasks", ["pendulum", "replay"]).load()
    plan = project.plan()
    measured = {shape.key for shape in calibrate.shapes(params, plan, torch.device("cpu"))}
    read = {key for job in jobs(plan, plan.runs(), missing=False) for key in shapes.job_shapes(job, params)}
    assert measured == read


def test_settings_that_cost_no_time_share_a_shape(project: Project) -> None:
    group = project.group()
    same = project.set("studies.tiny.settings.eta_lr", 0.0).group()
    assert same != group
    assert shapes.gradient_shape(same, 2) == shapes.gradient_shape(group, 2)
    assert shapes.gradient_shape(group, 3) != shapes.gradient_shape(group, 2)
    other = project.set("studies.tiny.settings.guidance", "hard").group()
    assert shapes.gradient_shape(other, 2) != shapes.gradient_shape(group, 2)


def test_an_environment_that_cannot_be_made_is_left_to_the_estimate(project: Project, quiet: None) -> None:
    params = project.set("tasks.pendulum.env", "Nowhere-v0").load()
    found = calibrate.calibrate(params, project.plan(), SECONDS)
    assert not [key for key in found if key.startswith("environment")]
    assert "measured here" in table.text(params, "tiny")


def test_a_bandit_trains_without_next_actions(project: Project, quiet: None) -> None:
    task = {"dataset": "bandit:two-moons", "env": "Bandit2D-v0", "reward_scaling": "none"}
    params = project.set("tasks.pendulum", task).load()
    found = calibrate.calibrate(params, project.plan(), SECONDS)
    assert [key for key in found if key.startswith("gradient") and '"next_action_samples":0' in key]


def test_the_plan_says_where_its_times_come_from(
    project: Project, quiet: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speeds, "cores", lambda: 3)
    params = project.load()
    text = table.text(params, "tiny")
    assert re.search(r"wall clock of what is missing: about \d+ s on 3 cores \(3 jobs side by side\)", text)
    assert "assumed" in text
    assert "`dac plan tiny --calibrate` measures here." in text
    monkeypatch.setattr(calibrate, "SECONDS", SECONDS)
    assert main(["plan", "tiny", "--calibrate"]) == 0
    said = capsys.readouterr()
    assert "one job at a time, measured here (" in said.out
    assert "calibrate: 1 of " in said.err


def test_an_unknown_study_is_refused_before_anything_is_measured(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.load()
    assert main(["plan", "tyni", "--calibrate"]) == 1
    assert "no study 'tyni'; allowed: tiny. Did you mean 'tiny'?" in capsys.readouterr().err
    assert not CALIBRATION.exists()


def test_neighbours_and_start_up_are_measured(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The subprocesses themselves: one neighbour, which ends when it is let go."""
    monkeypatch.setattr(speeds, "cores", lambda: 2)
    assert calibrate._beside(project.load(), SECONDS) >= 1.0
    monkeypatch.setattr(speeds, "cores", lambda: 1)
    assert calibrate._beside(project.load(), SECONDS) == 1.0
    assert calibrate._startup() > 0
