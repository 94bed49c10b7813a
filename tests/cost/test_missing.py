from __future__ import annotations

import re

from tiny import Project, publish, publish_timing

from dac.cost import missing
from dac.study.catalog import d4rl_file


def test_what_a_study_lacks(project: Project) -> None:
    plan = project.plan()
    publish(plan.runs()[0])
    assert re.fullmatch(
        r"tiny: 1 of 2 runs, about \d+ (s|min) on \d+ cores?, no GPU, [\d.]+ MB of disk, "
        "nothing to download",
        missing.line(plan),
    )


def test_times_that_are_not_measured_count(project: Project) -> None:
    plan = project.with_timing().plan()
    publish_timing(plan.timings()[0])
    assert missing.line(plan).startswith("tiny: 2 of 2 runs, 3 of 4 timings, about ")
    project.set("studies.tiny.experiments", ["timed"])
    assert missing.line(project.plan()).startswith("tiny: 3 of 4 timings, about ")


def test_what_is_to_be_downloaded(project: Project) -> None:
    names = ("hopper-medium-v2", "walker2d-medium-v2")
    for name in names:
        project.set(f"tasks.{name}", {"dataset": f"d4rl:{name}", "env": "Hopper-v4"})
    project.set("tasks.door", {"dataset": "minari:D4RL/door/human-v2"})
    project.set("experiments.main.tasks", [*names, "door"])
    sizes = [d4rl_file(name).size or 0 for name in names]
    plan = project.plan()
    known = f"{sum(sizes) / 1e6:.1f} MB"
    lines = missing.line(plan).splitlines()
    assert " ".join(map(str.strip, lines)).endswith(f", {known} and 1 dataset of unknown size to download")
    assert len(lines) == 2 and max(map(len, lines)) <= 100
