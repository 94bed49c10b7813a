from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dac.report.data import Experiment, ReportData
from dac.report.made_with import WHOLE, described, not_the_papers, settings_rows, settings_table
from dac.report.render import render
from dac.study.params import Settings

Build = Callable[..., ReportData]


def rows_of(data: ReportData) -> dict[str, str]:
    return {row[0].text: row[1].text for row in settings_table(data).rows}


def with_settings(data: ReportData, **changes: dict[str, object]) -> ReportData:
    """Settings that differ: `everywhere`, or by the name of a task or variant."""
    made_with = {
        key: {**values, **changes.get("everywhere", {}), **changes.get(key[1], {}), **changes.get(key[2], {})}
        for key, values in data.made_with.items()
    }
    return replace(data, made_with=made_with)


def test_the_papers_settings_are_not_listed(data: ReportData) -> None:
    assert rows_of(data) == {"whole study": "–"}


def test_what_differs_stands_where_it_holds(data: ReportData) -> None:
    changed = with_settings(
        data,
        everywhere={"steps": 5000},
        own_hopper={"lcb_coefficient": 1.5},
        bc_only={"guidance": "none", "steps": 5000},
    )
    assert rows_of(changed) == {
        "whole study": "steps = 5000",
        "own_hopper": "ρ = 1.5",
        "Guidance type: bc_only": "guidance = none",
    }
    assert settings_table(changed).frame.to_numpy().tolist() == [
        ["whole study", "steps", "5000"],
        ["own_hopper", "lcb_coefficient", "1.5"],
        ["Guidance type: bc_only", "guidance", "none"],
    ]


def test_a_swept_setting_is_said_of_its_variants(build: Build, experiment: Callable[..., Experiment]) -> None:
    data = build([experiment(variants=("2", "7"), varied="diffusion_steps")])
    found = rows_of(data)
    assert found["Guidance type: 2"] == "T = 2"
    assert found["Guidance type: 7"] == "T = 7"


def test_values_as_text() -> None:
    assert described({"eta": 0.05, "max_backup": True, "hidden_sizes": [64, 64]}) == (
        "η = 0.05, max backup = true, hidden sizes = [64, 64]"
    )


def test_the_page_says_what_is_not_the_papers(data: ReportData, tmp_path: Path) -> None:
    render(data, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "- **Simulator.** mujoco 3." in text
    assert "AntMaze" not in "".join(not_the_papers(data))
    mazes = data.tasks.assign(env="D4RL/AntMaze_UMaze-v2")
    assert "success rate" in "".join(not_the_papers(replace(data, tasks=mazes)))


def test_the_rows_together_say_all_settings_of_every_run(build: Build, experiment: Callable[..., Experiment]) -> None:
    """Also a task's own value where another experiment varies it, and what holds on some tasks of a variant alone."""
    main = experiment(name="main", title="Main", variants=("DAC",))
    swept = experiment(name="rho", title="Rho", variants=("0.5", "1.0"), varied="lcb_coefficient")
    odd = experiment(name="odd", title="Odd", variants=("x", "y"))
    data = build([main, swept, odd])
    made_with = {key: dict(values) for key, values in data.made_with.items()}
    for (name, task, variant), values in made_with.items():
        values["lcb_coefficient"] = float(variant) if name == "rho" else 1.5 if task == "own_hopper" else 1.0
        values["eta"] = 2.0 if name == "odd" and (variant == "x" or task == "own_hopper") else 1.0
    data = replace(data, made_with=made_with)
    rows = settings_rows(data)
    assert rows["own_hopper"] == {"lcb_coefficient": 1.5}
    titles = {"main": "Main", "rho": "Rho", "odd": "Odd"}
    for (name, task, variant), values in made_with.items():
        found = Settings().as_json()
        for place in (WHOLE, task, f"{titles[name]}: {variant}", f"{titles[name]}: {variant}, {task}"):
            found |= rows.get(place, {})
        assert {key: found[key] for key in values} == values, (name, task, variant)
