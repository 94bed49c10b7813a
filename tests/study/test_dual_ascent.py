from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tiny import Project, publish

from dac.study import check, dual_ascent
from dac.study.identity import Run
from dac.study.plan import setting_place, study_plan

ROOT = Path(__file__).parents[2]
STEPS = "studies.tiny.settings.steps"


def said(project: Project) -> list[str]:
    """What is said of the tiny study; (place, steps, where, usual steps) of each sentence."""
    notices = dual_ascent.notices(project.plan())
    form = r"params.yaml: (\S+): found (\d+) with eta \S+ and eta_lr \S+ \((.*?)\); usual are (\d+) "
    return [" | ".join(re.match(form, notice).groups()) for notice in notices]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "usual"),
    [
        ({}, 100_000),  # the defaults, the paper's: eta 1 in steps of 0.001
        ({"eta": 0.5}, 50_000),
        ({"eta": 1.0, "eta_lr": 0.01}, 10_000),  # the paper's bandit has twice as many
        ({"guidance": "hard"}, 100_000),
        ({"guidance": "denoised"}, 100_000),
        ({"eta_lr": 1e-320}, 10**15),
        ({"guidance": "none"}, 0),
        ({"eta_lr": 0.0}, 0),
        ({"guidance": "none", "eta_lr": 0.0}, 0),
    ],
)
def test_what_is_usual_follows_from_eta_and_its_rate(settings: dict[str, Any], usual: int, project: Project) -> None:
    project.settings["studies"]["tiny"]["settings"] |= settings
    assert dual_ascent.usual_steps(project.group().settings) == usual


def test_fewer_steps_than_usual_are_told_and_as_many_are_not(project: Project) -> None:
    project.set("studies.tiny.settings.eta_lr", 2.0)  # usual: 50
    assert said(project.set(STEPS, 49)) == [f"{STEPS} | 49 | soft on pendulum | 50"]
    assert said(project.set(STEPS, 50)) == []


def test_the_sentence(project: Project) -> None:
    sentence = (
        "params.yaml: studies.tiny.settings.steps: found 40 with eta 1 and eta_lr 0.001 (soft on pendulum); usual are "
        "100000 (100 · eta / eta_lr) and more. In fewer, eta, the weight of the data against Q, may not find its level "
        "in time (docs/data.md, Settings for small data). Fix eta: "
    )
    assert dual_ascent.notices(project.plan()) == [sentence + "`settings: {eta: 0.1, eta_lr: 0.0}`."]
    project.set("presets", {"plain": {"eta": 2.0}, "small": {"eta": 0.03, "eta_lr": 0.0}})
    advice = "`settings: {preset: small}`, or `eta_lr: 0.0` with an eta of your own."
    assert dual_ascent.notices(project.plan()) == [sentence + advice]
    project.set("studies.tiny.settings.preset", "small")
    assert dual_ascent.notices(project.plan()) == []


@pytest.mark.parametrize("key", ["guidance", "eta_lr"])
def test_where_nothing_moves_eta_nothing_is_said(key: str, project: Project) -> None:
    project.set(f"studies.tiny.settings.{key}", {"guidance": "none", "eta_lr": 0.0}[key])
    assert said(project) == []


def test_one_sentence_about_all_settings_of_a_study(project: Project) -> None:
    """The shortest is named; runs that two experiments share, and those without guidance, count no more."""
    variants = {"long": {"steps": 100_000}, "short": {"steps": 20}, "other": {"guidance": "hard"}}
    project.set("experiments.main.variants", variants).set("studies.tiny.experiments", ["main", "guidance"])
    assert said(project) == ["experiments.main.variants.short.steps | 20 | short on pendulum, and 2 more | 100000"]


def test_what_is_trained_already_is_not_told(project: Project) -> None:
    project.set("experiments.main.variants", {"soft": {}, "hard": {"guidance": "hard"}})
    runs = project.plan().runs()
    for run in runs[:-1]:
        publish(run)
    assert said(project) == [f"{STEPS} | 40 | hard on pendulum | 100000"]
    publish(runs[-1])
    assert said(project) == []
    project.set("studies.tiny.seeds", [0, 1, 2])
    assert said(project) == [f"{STEPS} | 40 | soft on pendulum, and 1 more | 100000"]
    publish(Run(runs[0].group, 2))
    assert said(project) == [f"{STEPS} | 40 | hard on pendulum | 100000"]


@pytest.mark.parametrize("folder", [".", "benchmarks/zoo", "benchmarks/precision"])
def test_no_committed_study_is_told_of(folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where nothing of it is trained: the paper's settings are long enough, the short studies fix eta."""
    monkeypatch.chdir(ROOT / folder)
    monkeypatch.setattr("dac.study.store.RUNS", tmp_path)
    committed = check.load()
    plans = [study_plan(committed, study) for study in committed.studies]
    assert [notice for plan in plans for notice in dual_ascent.notices(plan)] == []


def test_the_place_of_a_setting(project: Project) -> None:
    """The layer that counts is named, the defaults' section where no layer sets it."""

    def place(key: str, number: int = 0) -> str:
        plan = project.plan()
        return setting_place(plan.params, "tiny", plan.cells[number], key)

    assert (place("eta"), place("lr_decay")) == ("agent.eta", "training.lr_decay")
    assert place("lcb_coefficient") == "tasks.pendulum.settings.lcb_coefficient"
    assert place("steps") == STEPS
    project.set("presets", {"short": {"steps": 30}}).set("experiments.main.settings.preset", "short")
    assert place("steps") == "experiments.main.settings.steps"
    project.set("experiments.main.variants.soft", {"steps": 20})
    assert place("steps") == "experiments.main.variants.soft.steps"
    project.set("studies.tiny.experiments", ["guidance"]).set("experiments.guidance.vary", {"steps": [10, 20]})
    assert place("steps", 1) == "experiments.guidance.vary.steps"
