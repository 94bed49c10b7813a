from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dac.report.data import Experiment, PageSettings, ReportData
from dac.report.provenance import device_time
from dac.report.render import render
from dac.system.errors import UserError

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]
SMALL = PageSettings(window=2, bootstrap_samples=100, dpi=40, figure_formats=("png", "pdf", "svg"))


@pytest.fixture
def study(build: Build, experiment: Make) -> ReportData:
    sweep = experiment(
        name="ensemble", title="Ensemble size", variants=("2", "10"), varied="ensemble_size", show=("sweep",)
    )
    return build([experiment(), sweep], settings=SMALL, diverged=[("own_hopper", "soft", 1)])


def test_two_renders_have_the_same_bytes(study: ReportData, tmp_path: Path) -> None:
    first, second = (render(study, tmp_path / name) for name in ("first", "second"))
    assert len(first) == len(set(first))
    assert set(first) == {path for path in (tmp_path / "first").rglob("*") if path.is_file()}
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    frames = ("curves", "evaluations", "runs", "tasks")
    shuffled = {name: getattr(study, name).sample(frac=1, random_state=0) for name in frames}
    for one, other in zip(first, render(replace(study, **shuffled), tmp_path / "shuffled"), strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_every_link_of_the_page_resolves(study: ReportData, tmp_path: Path) -> None:
    written = render(study, tmp_path)
    text = (tmp_path / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 20
    assert [link for link in links if not (tmp_path / link).is_file()] == []
    anchors = re.findall(r"\]\(#([^)]+)\)", text)
    assert all(f'id="{anchor}"' in text or anchor == "provenance" for anchor in anchors)
    linked = {tmp_path / link for link in links}
    assert [path for path in written if path not in linked and path.name != "README.md"] == []


def test_the_page_says_what_was_done(study: ReportData, tmp_path: Path) -> None:
    render(study, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "mean of its last 2 evaluations during training, each the mean of 2 episodes" in text
    assert "100 resamples of seeds within every task" in text
    assert "1 of the 32 runs diverged" in text
    assert (
        "32 runs, 32.0 minutes of device time for training in all, each pack counted once. They finished between"
        in text
    )
    assert "frozen policy" in text
    assert "finished between 2026-01-01 and 2026-01-04" in text
    assert "| box" in text
    assert "a" * 12 in text
    assert "soft-ab12cd34ef56" in text
    assert "Not comparable with published scores: own" in text


def test_episodes_of_different_simulators_are_named(study: ReportData, tmp_path: Path) -> None:
    render(study, tmp_path)
    assert "Different simulators" not in (tmp_path / "README.md").read_text()
    of_task = study.runs["task"] == "own_hopper"
    study.runs.loc[of_task & (study.runs["seed"] == 2), "simulator"] = "not recorded; gymnasium 1, mujoco 3"
    render(study, tmp_path)
    assert "Different simulators" not in (tmp_path / "README.md").read_text()
    study.runs.loc[of_task & (study.runs["seed"] == 1), "simulator"] = "mujoco 3; mujoco 4"
    render(study, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "**Different simulators.**" in text
    assert "\n- own_hopper: mujoco 3 and 4\n" in text
    assert "- hopper-medium-v2: mujoco" not in text


def test_metrics_and_curves(study: ReportData, tmp_path: Path) -> None:
    render(study, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == {
        "score": {
            "guidance": {
                "hopper-medium-v2": {"soft": 64.25, "bc_only": 70.25},
                "own_hopper": {"soft": 68.25, "bc_only": 74.25},
            },
            "ensemble": {
                "hopper-medium-v2": {"2": 58.25, "10": 60.25},
                "own_hopper": {"2": 62.25, "10": 64.25},
            },
        },
    }
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert list(curves.columns) == ["experiment", "task", "variant", "step", "mean", "std"]
    assert len(curves) == 2 * 2 * 2 * 4
    last = curves.query("experiment == 'guidance' and task == 'own_hopper' and variant == 'soft' and step == 3000")
    assert last[["mean", "std"]].to_numpy().tolist() == [[68.75, 4.0415]]


@pytest.mark.filterwarnings("ignore:invalid value encountered in subtract")
@pytest.mark.parametrize("lost", [float("inf"), float("nan")])
def test_one_episode_that_is_not_finite_is_not_averaged_away(lost: float, build: Build, tmp_path: Path) -> None:
    data = build(settings=SMALL)
    last = data.curves.query("task == 'own_hopper' and variant == 'soft'").index[-1]
    data.curves.loc[last, "score"] = lost
    render(data, tmp_path)
    text = (tmp_path / "metrics.json").read_text()
    assert json.loads(text)["score"]["guidance"]["own_hopper"]["soft"] is None
    assert "NaN" not in text
    row = next(line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("| own"))
    assert [cell.strip() for cell in row.split("|")][3:5] == ["–", "**74.2 ± 4.0**"]


def test_a_single_seed_renders(build: Build, tmp_path: Path) -> None:
    render(build(seeds=1, settings=SMALL), tmp_path)
    assert "60.8 ± –" in (tmp_path / "README.md").read_text()


def test_no_published_number_reaches_the_page_of_other_tasks(build: Build, experiment: Make, tmp_path: Path) -> None:
    render(build([experiment(tasks=("own_hopper",))], settings=SMALL), tmp_path)
    for path in tmp_path.rglob("*"):
        if path.suffix in {".md", ".csv", ".tex", ".json"}:
            assert "101.2" not in path.read_text(), path
    assert "(published)" not in (tmp_path / "README.md").read_text()


def test_without_png_the_page_still_links_its_figures(build: Build, tmp_path: Path) -> None:
    render(build(settings=PageSettings(window=2, bootstrap_samples=100, figure_formats=("pdf",))), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "![" not in text
    assert "[pdf](figures/guidance-curves.pdf)" in text


def test_mixed_data_write_nothing(build: Build, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="own_hopper"):
        render(build(sha={("own_hopper", 0): "d" * 64}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_dataclasses_import_without_plotting_libraries() -> None:
    heavy = ("matplotlib", "seaborn", "rliable", "torch")
    code = f"import sys, dac.report.data; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        ([2700.0, 900.0], "1.0 hours of device time for training in all, each pack counted once"),
        ([90.0, 45.0], "2.2 minutes of device time for training in all, each pack counted once"),
        (
            [7200.0, float("nan")],
            "2.0 hours of device time for training in all (1 of them without a record), each pack counted once",
        ),
        ([float("nan")], "device time not recorded"),
    ],
)
def test_device_time(seconds: list[float], sentence: str) -> None:
    assert device_time(pd.Series(seconds)) == sentence


def test_texts_of_a_user_are_no_html_links_or_commands(build: Build, experiment: Make, tmp_path: Path) -> None:
    """Titles, descriptions, and names that data give: on the page, in every table of it, in figures."""
    hostile = r"<script>alert(1)</script> ](http://x) $\frac{ \input{/etc/passwd} [ | % & # _ ^ ~"
    made = experiment(title=hostile, description="See [this](https://x.org). <b>", variants=("$\\bad{", "soft"))
    study = build([made], settings=SMALL)
    render(replace(study, description="<img src=x>", tasks=study.tasks.assign(env=hostile)), tmp_path)
    texts = {path.name: path.read_text() for path in tmp_path.rglob("*.md")}
    assert len(texts) > 1
    for name, text in texts.items():
        assert not re.search(r"(?<!\\)<(script|b>|img)", text), name
        assert "](http://x)" not in text.replace(r"\](http://x)", ""), name
    assert r"\<script>alert(1)\</script> \](http://x)" in texts["README.md"]
    assert "[this](https://x.org)" in texts["README.md"]
    for path in tmp_path.rglob("*.tex"):
        assert r"\input" not in path.read_text()
        assert r"\frac" not in path.read_text()
