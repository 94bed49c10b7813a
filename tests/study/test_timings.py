from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tiny import Project, publish_study, publish_timing

from dac.study import pages, timings, versions, why
from dac.study.jobs import Time, jobs, timing_jobs
from dac.study.pending import Pending
from dac.study.timings import TIMED_SETTINGS, TIMING_NAME, Timing
from dac.system.errors import UserError


@pytest.fixture
def timed(project: Project) -> Project:
    return project.with_timing()


def first(project: Project) -> Timing:
    """The timing of soft guidance at T = 1."""
    return project.plan().timed[0].timing


# What is timed


def test_a_cell_for_every_variant_and_value(timed: Project) -> None:
    plan = timed.plan()
    assert [(cell.variant, cell.value) for cell in plan.timed] == [
        ("soft", 1), ("soft", 2), ("denoised", 1), ("denoised", 2),
    ]  # fmt: skip
    assert [cell.timing.group.settings.diffusion_steps for cell in plan.timed] == [1, 2, 1, 2]
    assert [cell.timing.group.settings.guidance for cell in plan.timed] == ["soft", "soft", "denoised", "denoised"]
    assert {cell.experiment for cell in plan.cells} == {"main"}
    names = [timing.name for timing in plan.timings()]
    assert [name.rpartition("-")[0] for name in names] == [
        "timing-soft-H2-T1", "timing-soft-H2-T2", "timing-denoised-H2-T1", "timing-denoised-H2-T2",
    ]  # fmt: skip
    assert all(re.fullmatch(TIMING_NAME, name) for name in names)
    assert len(set(names)) == 4


@pytest.mark.parametrize(
    ("place", "value", "another"),
    [
        ("studies.tiny.settings.hidden_sizes", [8, 9], True),
        ("studies.tiny.settings.batch_size", 17, True),
        ("studies.tiny.settings.precision", "bf16", True),
        ("tasks.pendulum.env", "InvertedDoublePendulum-v5", True),
        ("experiments.timed.timing", {"repeats": 3, "seconds": 0.01}, True),
        ("studies.tiny.settings.actor_lr", 1e-5, False),
        ("studies.tiny.settings.steps", 50, False),
        ("tasks.pendulum.settings.lcb_coefficient", 0.0, False),
        ("compute.threads_per_job", 2, False),
        ("studies.tiny.seeds", [5], False),
    ],
)
def test_what_is_another_timing(place: str, value: Any, another: bool, timed: Project) -> None:
    before = first(timed)
    assert (first(timed.set(place, value)) != before) is another


@pytest.mark.parametrize("component", ["TIMING", "COMMON"])
def test_a_timing_depends_on_versions(component: str, timed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = first(timed)
    monkeypatch.setattr(versions, component, getattr(versions, component) + 1)
    assert first(timed).fingerprint != before.fingerprint


def test_timed_settings_are_settings(timed: Project) -> None:
    assert set(TIMED_SETTINGS) <= first(timed).group.settings.as_json().keys()


def test_experiments_share_timings(timed: Project) -> None:
    timed.set("experiments.again", {**timed.settings["experiments"]["timed"], "vary": {"diffusion_steps": [2, 3]}})
    plan = timed.set("studies.tiny.experiments", ["timed", "again"]).plan()
    assert (len(plan.timed), len(plan.timings())) == (8, 6)


def test_a_page_without_timings_is_what_it_was(project: Project) -> None:
    before = project.plan().identity
    project.with_timing().set("studies.tiny.experiments", ["main"])
    assert project.plan().identity == before
    assert "timings" not in before


def test_finding_a_timing(timed: Project) -> None:
    params, timing = timed.load(), first(timed)
    assert timings.find(params, "pendulum", timing.name) == timing
    with pytest.raises(UserError, match=r"no longer describes pendulum/timing-soft-H2-T1-000000000000"):
        timings.find(params, "pendulum", "timing-soft-H2-T1-000000000000")


# The store


def test_a_timing_is_recorded_with_its_machine(timed: Project) -> None:
    timing = first(timed)
    assert timings.problem(timing) == "missing"
    with pytest.raises(UserError, match=r"missing\. Start snakemake again"):
        timings.recorded(timing)
    publish_timing(timing, (3.0, 1.0), (4.0, 2.0), machine="a fast one")
    assert timings.problem(timing) is None
    content = timings.recorded(timing)
    assert content["repeats"] == [{"step_ms": 3.0, "actor_ms": 1.0}, {"step_ms": 4.0, "actor_ms": 2.0}]
    assert content["provenance"]["machine"] == "a fast one"
    assert timing.directory == Path("results/runs/pendulum") / timing.name


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("{", "corrupt: timing.json"),
        ({"repeats": []}, "corrupt: timing.json"),
        ({"repeats": [{"step_ms": -1.0, "actor_ms": 1.0}] * 2}, "corrupt: timing.json"),
        ({"provenance": {}}, "corrupt: timing.json"),
        ({"provenance": {"machine": "box", "device": "cpu", "threads": 1, "compiled": None}}, "corrupt: timing.json"),
        ({"identity": {"env": "another"}}, "corrupt: timing.json is of another timing"),
    ],
)
def test_a_damaged_record_is_no_timing(damage: str | dict[str, Any], said: str, timed: Project) -> None:
    timing = first(timed)
    publish_timing(timing)
    path = timing.directory / "timing.json"
    path.write_text(damage if isinstance(damage, str) else json.dumps(json.loads(path.read_text()) | damage))
    assert timings.problem(timing) == said
    assert Time(timing) in timing_jobs(timed.plan().timings(), missing=True)


# Jobs and the page


def test_only_what_the_store_lacks_is_asked_for(timed: Project) -> None:
    plan = timed.plan()
    publish_study(plan)
    assert Pending(plan.params, "5e5510").report("tiny") == []
    one, *others = plan.timings()
    (one.directory / "timing.json").unlink()
    assert Pending(plan.params, "5e5510").runs("tiny") == [f"work/todo/5e5510/time/pendulum/{one.name}"]
    assert Pending(plan.params, "5e5510").report("tiny") == [f"work/todo/5e5510/report/tiny/{plan.fingerprint}"]
    assert timing_jobs(plan.timings(), missing=True) == [Time(one)]
    assert timing_jobs(plan.timings(), missing=False) == [Time(item) for item in (one, *others)]
    assert jobs(plan, plan.runs(), missing=True) == []
    assert why.explain_study(plan.params, "tiny") == [
        f"time pendulum/{one.name} (soft at 1): missing",
        "report tiny: its runs, their results or the report's settings changed",
    ]


def test_a_page_is_of_the_recorded_times(timed: Project) -> None:
    plan = timed.plan()
    publish_study(plan)
    assert pages.problem(plan) is None
    publish_timing(first(timed), (9.0, 1.0), (9.0, 1.0))
    assert pages.problem(plan) == "its runs, their results or the report's settings changed"
    publish_timing(first(timed))
    assert pages.problem(plan) is None
    publish_timing(first(timed), machine="another")
    assert pages.problem(plan) is not None


def test_an_environment_that_its_data_name_waits_for_them(timed: Project) -> None:
    pending = Pending(timed.load(), "5e5510")
    group = first(timed).group
    assert pending.environment(group) == []
    recovered = type(group)(group.task, group.dataset.id, group.dataset, "none", group.settings, group.identity)
    assert pending.environment(recovered) == pending.dataset(group)
