from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from terminal import CTRL_C, on_terminal, once
from tiny import Project, publish, publish_evaluation, publish_timing

from dac.study import store
from dac.study.identity import Run
from dac.study.plan import StudyPlan
from dac.system import progress
from dac.watch import status

ROOT = Path(__file__).parents[2]
SECONDS = 120.0


def finished(plan: StudyPlan, seeds: range, **facts: object) -> None:
    for run in plan.runs():
        if run.seed in seeds:
            publish(run, **facts)
            for evaluation in plan.evaluations()[run.group]:
                publish_evaluation(run, evaluation)


def rows(text: str) -> dict[str, list[str]]:
    """The table by experiment, without its last column."""
    header, *lines = text.split("\n\n")[1].splitlines()
    assert header.split() == ["experiment", "runs", *status.COLUMNS, "left"]
    return {line.split()[0]: line.split()[-10:-2] for line in lines}


def test_a_study_of_which_nothing_is_there(project: Project) -> None:
    text = status.text(project.set("studies.tiny.experiments", ["main", "guidance"]).plan())
    assert text.startswith("tiny: 0 of 4 runs are done; about ")
    assert max(map(len, text.splitlines())) <= 100
    assert "left with one job at a time, as `dac plan` estimates" in text
    assert rows(text)["main"] == ["2", "0", "0", "0", "0", "0", "2", "0"]
    assert rows(text)["guidance"] == ["4", "0", "0", "0", "0", "0", "4", "0"]
    assert [line.split()[3] for line in text.splitlines() if line.startswith("total")] == ["4"]


def test_times_are_counted_beside_the_runs(project: Project) -> None:
    plan = project.with_timing().plan()
    publish_timing(plan.timings()[0])
    text = status.text(plan)
    assert "\n\ntimes of gradient steps: 1 of 4 are measured\n" in text
    assert set(rows(text)) == {"main", "total,"}
    alone = status.text(project.set("studies.tiny.experiments", ["timed"]).plan())
    assert alone.startswith("tiny: nothing is trained for it\n")
    assert "1 of 4 are measured" in alone


def test_a_study_at_work(project: Project) -> None:
    plan = project.set("studies.tiny.seeds", list(range(6))).plan()
    finished(plan, range(2))
    finished(plan, range(2, 3), status="diverged")
    group = plan.cells[0].group
    log = Path("logs/train/pendulum") / group.name / "4.log"
    log.parent.mkdir(parents=True)
    log.write_text("dac: the disk is full\n")
    with progress.announced("train pendulum soft 3", (5.0, 105.0), f"train/pendulum/{group.name}/3"):
        bar = progress.Bar(total=40, initial=20, unit="step", disable=True)
        bar.evaluated(55.0)
        bar.close()
        text = status.text(plan)
    assert rows(text)["main"] == ["6", "3", "1", "0", "1", "0", "1", "1"]
    assert "train pendulum soft 3  20/40" in text
    assert f"  pendulum/{group.name} 4: the disk is full\n    {log}\n" in text
    assert text.endswith(f"diverged:\n  pendulum/{group.name} 2\n")


def test_a_study_that_is_done(project: Project) -> None:
    plan = project.plan()
    finished(plan, range(2))
    text = status.text(plan)
    assert text.startswith("tiny: all 2 runs are done\n\n")
    assert len(text.split("\n\n")) == 2


def test_parts_are_cut(project: Project) -> None:
    plan = project.set("experiments.main.vary", {"lcb_coefficient": [0.1, 0.2, 0.3, 0.4]})
    del project.settings["experiments"]["main"]["variants"]
    plan = project.plan()
    finished(plan, range(2), status="diverged")
    assert status.text(plan, 3).splitlines()[-2:] == [
        f"  pendulum/{plan.cells[2].group.name} 0-1",
        "  and 1 more: `dac status --all` shows all",
    ]
    assert f"  pendulum/{plan.cells[3].group.name} 0-1" in status.text(plan, None)


def test_a_failed_fetch(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = project.set("experiments.main.tasks", ["replay"]).plan()
    dataset = plan.cells[0].group.dataset
    assert store.dataset_problem(dataset) == "missing"
    log = Path(f"logs/collect/InvertedPendulum-v5-{dataset.fingerprint}.log")
    log.parent.mkdir(parents=True)
    log.write_text("dac: no simulator\n")
    assert f"  {dataset.id}: no simulator\n    {log}" in status.text(plan)


def test_a_state_without_evaluations_is_to_be_evaluated(project: Project) -> None:
    plan = project.plan()
    publish(Run(plan.cells[0].group, 0))
    assert rows(status.text(plan))["main"] == ["2", "0", "0", "1", "0", "0", "1", "0"]


def test_its_first_line_has_room_on_a_terminal(project: Project) -> None:
    """Whatever the study's name is."""
    name = "quite_a_long_name_for_what_is_meant_here"
    project.settings["studies"][name] = project.settings["studies"]["tiny"] | {"seeds": [0, 1]}
    plan = project.plan(name)
    finished(plan, range(1))
    first, more = status.text(plan).splitlines()[:2]
    assert first.startswith(f"{name}: 1 of 2 runs are done; about ") and len(first) <= 100
    assert more.startswith("  ") and more.strip()


def test_watched_until_ctrl_c(project: Project) -> None:
    """Drawn within the terminal's lines, whole at the end; only the display was ended."""
    plan = project.plan()
    asked = (sys.executable, "-m", "dac", "status", "--watch")
    note = "Ctrl-C ends this display alone."
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code, shown = on_terminal(asked, Path.cwd(), environment, SECONDS, once(CTRL_C, note), size=(100, 6))
    assert code == 0
    drawn = shown[: shown.index(note)].split("\r\n")
    assert len(drawn) == 5  # the note's own line is the last but one
    assert shown.endswith(status.text(plan).replace("\n", "\r\n"))
    assert "\x1b[?25h" in shown and shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
