from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from published_rows import DATA, curve, episodes, publish_rows
from tiny import Project, publish, publish_evaluation

from dac.cli import main
from dac.report.build import build
from dac.report.comparable import differences
from dac.report.data import COLUMNS, ReportData
from dac.report.figures import Studio
from dac.report.render import render
from dac.report.study_data import report_data
from dac.study import pages, store
from dac.study.params import Settings
from dac.study.plan import StudyPlan
from dac.system import files
from dac.system.errors import UserError


@pytest.fixture
def study(project: Project) -> StudyPlan:
    """Two experiments that share the runs of soft guidance; everything is in the store."""
    project.set("studies.tiny.experiments", ["main", "guidance"])
    project.set("experiments.guidance.evaluation", {"action_samples": [3]})
    plan = project.set("studies.tiny.description", "A tiny study.").plan()
    for run in plan.runs():
        publish_rows(run, plan)
    return plan


def test_claims_of_a_page_whose_runs_are_elsewhere(study: StudyPlan, capsys: pytest.CaptureFixture[str]) -> None:
    """As in a fresh clone: the page is there, and cannot be compared with anything."""
    build(study)
    (store.run_directory(study.runs()[0]) / "run.json").unlink()
    assert main(["claims", "tiny"]) == 1
    said = capsys.readouterr().err
    assert "(1 of its 4 runs are not in results/runs here). `snakemake tiny --cores all` makes it." in said


# From the store to rows


def test_the_rows_of_a_report(study: StudyPlan) -> None:
    data = report_data(study)
    for name, columns in COLUMNS.items():
        assert list(getattr(data, name).columns) == list(columns)
    cells = [("main", "soft"), ("guidance", "soft"), ("guidance", "none")]
    assert data.curves.groupby(["experiment", "variant"], sort=False).size().to_dict() == dict.fromkeys(cells, 10)
    assert data.evaluations.groupby(["experiment", "variant"], sort=False).size().to_dict() == {
        ("main", "soft"): 8, ("guidance", "soft"): 4, ("guidance", "none"): 4,
    }  # fmt: skip
    assert set(data.curves["episodes"]) == set(data.evaluations["episodes"]) == {2}
    assert set(data.evaluations.query("experiment == 'main'")["action_samples"]) == {1, 3}
    assert set(data.evaluations.query("experiment == 'guidance'")["action_samples"]) == {3}
    assert len(data.runs) == 6
    assert (data.study, data.description) == ("tiny", "A tiny study.")
    assert data.settings.window == 2


def test_scores_of_curves_refer_to_the_tasks_returns(study: StudyPlan) -> None:
    curves = report_data(study).curves
    # Reference returns are 5 and 105: the score is the return less 5; the last evaluation has returns 14 and 15.
    last = curves.query("experiment == 'main' and seed == 1 and step == 40")
    assert last["score"].tolist() == [9.5]


def test_other_reference_returns_rescale_what_is_recorded(study: StudyPlan, project: Project) -> None:
    build(study)
    plan = project.set("tasks.pendulum.reference_returns", [0.0, 50.0]).plan()
    assert pages.problem(plan) == "its runs, their results or the report's settings changed"
    data = report_data(plan)
    # An evaluation returns its N_a; the last ones of the curve 14 and 15.
    scores = data.evaluations.groupby("action_samples")["score"].unique().map(list).to_dict()
    assert scores == {1: [2.0], 3: [6.0]}
    assert data.curves.query("seed == 1 and step == 40")["score"].unique() == [29.0]
    build(plan)
    assert pages.problem(plan) is None


def test_experiments_keep_the_order_of_params(study: StudyPlan) -> None:
    main, guidance = report_data(study).experiments
    assert (main.name, main.title, main.variants, main.varied, main.show) == (
        "main", "Main", ("soft",), None, ("scores",),
    )  # fmt: skip
    assert (guidance.variants, guidance.varied, guidance.tasks) == (("soft", "none"), "guidance", ("pendulum",))


def test_runs_and_tasks(study: StudyPlan) -> None:
    data = report_data(study)
    first = data.runs.iloc[0]
    assert (first["run"], first["status"], first["steps"], first["machine"]) == (
        study.cells[0].group.name, "complete", 40, "box",
    )  # fmt: skip
    assert first["dataset_sha256"] == "d" * 64
    (task,) = data.tasks.to_dict("records")
    assert (task["task"], task["dataset"], task["env"]) == (
        "pendulum", "file:data/pendulum.hdf5", "InvertedPendulum-v5",
    )  # fmt: skip
    assert (task["episodes"], task["steps"], task["data_return_mean"], task["data_return_max"]) == (20, 240, 25.0, 45.0)
    assert (task["data_score_mean"], task["data_score_max"]) == pytest.approx((20.0, 40.0))
    assert (task["reference_min"], task["reference_max"], task["published_id"]) == (5.0, 105.0, None)


# Pages


def test_a_page_is_written_and_up_to_date(study: StudyPlan) -> None:
    build(study)
    assert pages.problem(study) is None
    assert "A tiny study." in Path("results/tiny/README.md").read_text()
    metrics = files.read_json(Path("results/tiny/metrics.json"))
    # Mean over seeds 0 and 1, steps 30 and 40, episodes 0 and 1: 5 + 3.5 + 0.5, less 5.
    guidance = {"pendulum": {"soft": 4.0, "none": 4.0}}
    assert metrics == {"score": {"main": {"pendulum": {"soft": 4.0}}, "guidance": guidance}}


def test_runs_on_different_data_are_not_averaged(study: StudyPlan) -> None:
    other = study.runs()[1]
    publish_rows(other, study, dataset_sha256="e" * 64)
    with pytest.raises(
        UserError, match=r"'file:data/pendulum.hdf5': its runs were trained on different files"
    ) as caught:
        build(study)
    assert f"Re-make: {other} (delete these folders" in str(caught.value)
    assert not Path("results/tiny").exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "run.json").unlink(), "seed-1: missing. Start snakemake again"),
        (lambda folder: (folder / "curve.csv").unlink(), "seed-1: incomplete: curve.csv is missing"),
        (
            lambda folder: (folder / "curve.csv").write_text(curve(1).replace("0,0", "0,1", 1)),
            "curve.csv: its contents are not what run.json records",
        ),
        (
            lambda folder: next(folder.glob("*.parquet")).unlink(),
            "parquet: missing, or its contents are not what run.json records",
        ),
    ],
)
def test_runs_that_are_missing_or_damaged(damage: Callable[[Path], Any], said: str, study: StudyPlan) -> None:
    build(study)
    before = Path("results/tiny/README.md").read_bytes()
    damage(store.run_directory(study.runs()[1]))
    with pytest.raises(UserError, match=said):
        build(study)
    assert Path("results/tiny/README.md").read_bytes() == before
    assert Path("results/tiny/report.json").exists()


# Comparability

# Each task has its own of these.
OF_TASKS = ("lcb_coefficient", "bc_threshold", "eta", "eta_lr", "critic_lr", "max_backup")
PAPER = {key: value for key, value in Settings().as_json().items() if key not in OF_TASKS}


def hopper(project: Project) -> Project:
    """The tiny study on D4RL's data, at the paper's scale."""
    settings = {"lcb_coefficient": 1.5}
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4", "settings": settings})
    project.set("experiments.main.tasks", ["hopper"]).set("experiments.guidance.tasks", ["hopper"])
    project.set("studies.tiny.seeds", list(range(8)))
    return project.set("studies.tiny.settings", dict(PAPER)).set("report.window", 5)


def differing(plan: StudyPlan, experiment: str, variant: str = "soft") -> tuple[str, ...]:
    """In what a cell of the hopper differs from the paper's."""
    (cell,) = [cell for cell in plan.cells if (cell.experiment, cell.variant) == (experiment, variant)]
    return differences(plan, cell)


def test_published_scores_may_stand_beside_the_papers_scale(project: Project) -> None:
    assert differing(hopper(project).plan(), "main") == ()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("studies.tiny.settings.steps", 1_000_000, "steps 1000000, not 2000000"),
        ("studies.tiny.settings.lr_decay", "constant", "lr_decay constant, not cosine"),
        ("studies.tiny.settings.eval_interval", 20_000, "eval_interval 20000, not 10000"),
        ("studies.tiny.settings.eval_episodes", 5, "eval_episodes 5, not 10"),
        ("studies.tiny.settings.eval_action_samples", 1, "eval_action_samples 1, not 10"),
        ("studies.tiny.settings.eval_temperature", 0.5, "eval_temperature 0.5, not 0.0"),
        ("studies.tiny.settings.hidden_sizes", [64, 64], "hidden_sizes [64, 64], not [256, 256, 256]"),
        ("studies.tiny.settings.batch_size", 128, "batch_size 128, not 256"),
        ("studies.tiny.seeds", [0, 1, 2], "3 seeds, not 8"),
        ("report.window", 4, "a score of 4 evaluations, not 5"),
        ("tasks.hopper.settings.lcb_coefficient", 1.0, "lcb_coefficient 1.0, not 1.5"),
        ("tasks.hopper.settings.critic_lr", 0.001, "critic_lr 0.001, not 0.0003"),
        ("tasks.hopper.env", "Hopper-v5", "evaluated in Hopper-v5"),
        ("tasks.hopper.dataset", "file:data/pendulum.hdf5", "other data than D4RL's"),
        ("tasks.hopper.reference_returns", [0.0, 3000.0], "other reference returns than D4RL's"),
    ],
)
def test_they_may_not_beside_anything_else(place: str, value: Any, said: str, project: Project) -> None:
    assert differing(hopper(project).set(place, value).plan(), "main") == (said,)


def test_they_may_not_beside_the_antmazes(project: Project) -> None:
    settings = {"eta": 0.1, "eta_lr": 0.0, "max_backup": True}
    project = hopper(project).set("tasks.hopper", {"dataset": "d4rl:antmaze-umaze-v0", "settings": settings})
    (said,) = differing(project.plan(), "main")
    assert said.startswith("the goal is drawn for each episode here, and once for all of them in D4RL's v0 tasks")


def test_each_variant_of_an_ablation_is_compared_by_itself(project: Project) -> None:
    """Neither a variant beside it nor an experiment at another scale makes one comparable or incomparable."""
    hopper(project).set("studies.tiny.experiments", ["main", "guidance"])
    project.set("experiments.guidance.vary", {"ensemble_size": [2, 10]})
    plan = project.plan()
    assert differing(plan, "main") == differing(plan, "guidance", "10") == ()
    assert differing(plan, "guidance", "2") == ("ensemble_size 2, not 10",)
    plan = project.set("experiments.guidance.settings", {"steps": 1_000_000}).plan()
    assert differing(plan, "main") == ()
    assert differing(plan, "guidance", "10") == ("steps 1000000, not 2000000",)
    assert differing(plan, "guidance", "2") == ("steps 1000000, not 2000000", "ensemble_size 2, not 10")


def test_two_variants_do_not_make_the_papers_agent_together(project: Project) -> None:
    """One has the paper's guidance, the other its ensemble size: no published number stands beside either."""
    hopper(project).set("studies.tiny.experiments", ["guidance"])
    del project.settings["experiments"]["guidance"]["vary"]
    project.set("experiments.guidance.variants", {"a": {"ensemble_size": 2}, "b": {"guidance": "hard"}})
    plan = project.plan()
    assert differing(plan, "guidance", "a") == ("ensemble_size 2, not 10",)
    assert differing(plan, "guidance", "b") == ("guidance hard, not soft",)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("experiments.main.variants.soft", {"batch_size": 128}, "batch_size 128, not 256"),
        ("experiments.main.variants.soft", {"guidance": "none"}, "guidance none, not soft"),
        ("agent.discount", 0.5, "discount 0.5, not 0.99"),
        ("tasks.hopper.reward_scaling", "none", "reward_scaling none, not locomotion"),
    ],
)
def test_another_agent_is_a_difference_however_it_is_set(place: str, value: Any, said: str, project: Project) -> None:
    project = hopper(project).set("studies.tiny.settings", {"eval_interval": 10_000})
    assert differing(project.set(place, value).plan(), "main") == (said,)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("40,1,", "30,2,", r"curve.csv: it has the episodes \[0, 1, 2\] at step 30, expected are \[0, 1\]"),
        ("0,0,0.000000,9\n", "", r"curve.csv: it has the episodes \[1\] at step 0, expected are \[0, 1\]"),
        ("\n40,", "\n50,", r"curve.csv: it has the episodes \[\] at step 40, expected are \[0, 1\]"),
        ("\n40,1,", "\n40,0,", r"curve.csv: it has the episodes \[0, 0\] at step 40, expected are \[0, 1\]"),
    ],
)
def test_a_curve_that_lacks_an_episode_makes_no_page(old: str, new: str, said: str, study: StudyPlan) -> None:
    """Also one that was published so: its sha256 is what run.json records."""
    run = study.runs()[0]
    publish(run, curve(run.seed).replace(old, new), data=DATA)
    with pytest.raises(UserError, match=said):
        build(study)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": 40}, r"it has the episodes \[\] at step 30, expected are \[0, 1\]"),
        ({"seed": 1}, "its rows are of another run or another N_a"),
        ({"action_samples": 7}, "its rows are of another run or another N_a"),
    ],
)
def test_an_evaluation_of_something_else_makes_no_page(changes: dict[str, Any], said: str, study: StudyPlan) -> None:
    run = study.runs()[0]
    evaluation = study.evaluations()[run.group][0]
    publish_evaluation(run, evaluation, episodes(run, evaluation, **changes))
    with pytest.raises(UserError, match=said):
        build(study)


def test_an_input_that_changes_while_a_page_is_rendered_is_not_in_its_key(
    study: StudyPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process makes a run anew: the page is of the one before, and says so."""

    def render_slowly(data: ReportData, directory: Path, studio: Studio) -> None:
        render(data, directory, studio)
        path = store.run_directory(study.runs()[0]) / "run.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "status": "diverged"}))

    monkeypatch.setattr("dac.report.build.render", render_slowly)
    build(study)
    assert pages.problem(study) == "its runs, their results or the report's settings changed"


def test_the_simulators_of_curves_and_of_the_evaluations_that_are_shown(study: StudyPlan) -> None:
    old = {"versions": {"gymnasium": "1.3.0", "mujoco": "3.3.7"}}
    new = {"versions": {"gymnasium": "1.4.0", "mujoco": "3.3.7"}}
    run = study.runs()[0]
    (main, guidance) = (cell.evaluations for cell in study.cells if cell.variant == "soft")
    only_in_main = next(item.fingerprint for item in main if item not in guidance)
    files.write_json(store.run_directory(run) / "provenance.json", {**old, "evaluations": {only_in_main: new}})
    found = report_data(study).runs.set_index(["experiment", "run", "seed"])["simulator"]
    both = "gymnasium 1.3.0, mujoco 3.3.7; not recorded; gymnasium 1.4.0, mujoco 3.3.7"
    assert set(found["main", run.group.name, 0].split("; ")) == set(both.split("; "))
    assert found["guidance", run.group.name, 0] == "gymnasium 1.3.0, mujoco 3.3.7; not recorded"
    assert found["main", run.group.name, 1] == "not recorded"


def test_the_devices_time_of_old_and_new_runs(study: StudyPlan) -> None:
    """A run's own share; of runs that earlier code made, the pack's time over its runs."""
    made = [{"device_seconds": 30.0, "wall_seconds": 90.0, "pack": 3}, {"seconds": 80.0, "pack": 2}, {}]
    runs = list(study.runs())
    for run, content in zip(runs, made, strict=False):
        files.write_json(store.run_directory(run) / "provenance.json", content)
    found = report_data(study).runs.drop_duplicates(["run", "seed"]).set_index(["run", "seed"])["device_seconds"]
    assert [found[run.group.name, run.seed] for run in runs[:2]] == [30.0, 40.0]
    assert pd.isna(found[runs[2].group.name, runs[2].seed])
