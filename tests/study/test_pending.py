from __future__ import annotations

from pathlib import Path

import pytest
from tiny import Project, publish, publish_evaluation, publish_study

from dac.study import pages, seed_names, store
from dac.study.identity import Run
from dac.study.pending import Pending
from dac.system import files
from dac.system.errors import UserError

# Settings whose label has the most characters.
LONGEST = {"guidance": "denoised", "ensemble_size": 1000, "q_target": "convex", "lcb_coefficient": 1.23456e-05}


def pending(project: Project) -> Pending:
    """As a fresh process sees the project."""
    return Pending(project.load(), "5e5510")


def jobs(markers: list[str], step: str) -> list[str]:
    """The markers of one step, without `work/todo/<session>/<step>/`."""
    folder = f"work/todo/5e5510/{step}/"
    return [marker.removeprefix(folder) for marker in markers if marker.startswith(folder)]


def seeds_of(markers: list[str], step: str) -> list[str]:
    return [job.split("/")[2] for job in jobs(markers, step)]


# All of a study


def test_an_empty_store_lacks_everything(project: Project) -> None:
    plan, found = project.plan(), pending(project)
    group = plan.cells[0].group.name
    one, other = (evaluation.fingerprint for evaluation in plan.cells[0].evaluations)
    assert found.report("tiny") == [f"work/todo/5e5510/report/tiny/{plan.fingerprint}"]
    assert found.runs("tiny") == [
        f"work/todo/5e5510/evaluate/pendulum/{group}/0-1/{one}-{other}",
        f"work/todo/5e5510/train/pendulum/{group}/0-1",
    ]
    assert found.trainings(plan.cells[0].group, [1]) == [f"work/todo/5e5510/train/pendulum/{group}/0-1"]
    assert found.datasets("tiny") == []  # the file is there


def test_a_complete_study_lacks_nothing(project: Project) -> None:
    publish_study(project.plan())
    found = pending(project)
    assert found.report("tiny") == found.runs("tiny") == found.datasets("tiny") == []


def test_complete_runs_need_no_data(project: Project) -> None:
    publish_study(project.plan())
    Path("data/pendulum.hdf5").unlink()
    found = pending(project)
    assert found.report("tiny") == found.runs("tiny") == found.datasets("tiny") == []


def test_a_change_asks_for_exactly_its_work_and_the_way_back_for_nothing(project: Project) -> None:
    publish_study(project.plan())
    assert len(pending(project.set("tasks.pendulum.settings.eta", 2.0)).runs("tiny")) == 2
    del project.settings["tasks"]["pendulum"]["settings"]["eta"]
    assert pending(project).report("tiny") == []
    evaluating = pending(project.set("evaluation.episodes", 3)).runs("tiny")
    assert jobs(evaluating, "train") == []
    assert seeds_of(evaluating, "evaluate") == ["0-1"]
    project.set("evaluation.episodes", 2).set("report.curve_band", "ci")
    found = pending(project)
    assert (len(found.report("tiny")), found.runs("tiny")) == (1, [])


def test_asking_twice_gives_the_same(project: Project) -> None:
    found = pending(project)
    assert found.runs("tiny") == found.runs("tiny")
    assert found.report("tiny") == found.report("tiny")


# Packs


def test_packs_are_formed_from_the_missing_seeds(project: Project) -> None:
    project.set("studies.tiny.seeds", [0, 1, 2, 3, 4, 5, 6])
    publish(Run(project.group(), 1))
    assert seeds_of(pending(project).runs("tiny"), "train") == ["0-2..4", "5-6"]
    assert seeds_of(pending(project.set("compute.pack_size", 8)).runs("tiny"), "train") == ["0-2..6"]


def test_groups_do_not_mix_in_a_pack(project: Project) -> None:
    found = pending(project.set("studies.tiny.experiments", ["guidance"]).set("compute.pack_size", 8))
    groups = [job.split("/")[1].partition("-")[0] for job in jobs(found.runs("tiny"), "train")]
    assert sorted(groups) == ["none", "soft"]


def test_many_seeds_and_evaluations_still_fit_one_file_name(project: Project) -> None:
    """Also where all parts of a marker are one name: with the longest task, label and seeds, and many N_a."""
    task = "t" * 80
    project.set(f"tasks.{task}", project.settings["tasks"]["pendulum"])
    project.set("experiments.main.tasks", [task])
    project.set("experiments.main.variants", {"longest": LONGEST})
    seeds = [*range(0, 64, 2), *range(100, 132), 2**31 - 1]
    project.set("studies.tiny.seeds", seeds).set("compute.pack_size", 256)
    markers = pending(project.set("evaluation.action_samples", list(range(1, 21)))).runs("tiny")
    trained = [seed_names.parse(name) for name in seeds_of(markers, "train")]
    assert sorted(seed for pack in trained for seed in pack) == seeds
    evaluations = [job.rpartition("/")[2].split("-") for job in jobs(markers, "evaluate")]
    assert sum(len(names) for names in evaluations) == 20 * len(trained)
    assert max(len("_".join(marker.split("/")[4:])) for marker in markers) <= 255


def test_a_row_of_seeds_is_one_name(project: Project) -> None:
    project.set("studies.tiny.seeds", list(range(32))).set("compute.pack_size", 32)
    assert seeds_of(pending(project).runs("tiny"), "train") == ["0..31"]


def test_studies_asked_for_together_train_a_shared_run_once(project: Project) -> None:
    project.set("studies.tiny.seeds", [0, 1, 2])
    project.set("studies.other", {**project.settings["studies"]["tiny"], "seeds": [2, 3, 4]})
    found = pending(project)
    first, second = found.runs("tiny"), found.runs("other")
    assert seeds_of(first, "train") == ["0..2"]
    assert seeds_of(second, "train") == ["0..2", "3-4"]
    assert seeds_of(first, "evaluate") == ["0..2"]
    assert seeds_of(second, "evaluate") == ["0..2", "3-4"]
    # The other way round it is the other study's pack that is shared.
    found = pending(project)
    assert seeds_of(found.runs("other"), "train") == ["2..4"]
    assert seeds_of(found.runs("tiny"), "train") == ["0-1", "2..4"]


# Evaluations


def test_runs_that_lack_the_same_evaluations_share_a_job(project: Project) -> None:
    project.set("studies.tiny.seeds", [0, 1, 2, 3])
    plan = project.plan()
    one, other = plan.cells[0].evaluations
    for run in plan.runs():
        publish(run)
    publish_evaluation(plan.runs()[1], one)
    publish_evaluation(plan.runs()[3], other)
    found = jobs(pending(project).runs("tiny"), "evaluate")
    group = plan.cells[0].group.name
    assert sorted(found) == sorted(
        [
            f"pendulum/{group}/0-2/{one.fingerprint}-{other.fingerprint}",
            f"pendulum/{group}/1/{other.fingerprint}",
            f"pendulum/{group}/3/{one.fingerprint}",
        ]
    )


def test_a_run_that_trains_again_is_evaluated_again(project: Project) -> None:
    plan = project.plan()
    publish_study(plan)
    (store.run_directory(plan.runs()[1]) / "curve.csv").unlink()
    found = pending(project).runs("tiny")
    assert seeds_of(found, "train") == seeds_of(found, "evaluate") == ["1"]


def test_many_evaluations_are_split_over_jobs(project: Project) -> None:
    project.set("evaluation.action_samples", list(range(1, 31)))
    names = [job.split("/")[3].split("-") for job in jobs(pending(project).runs("tiny"), "evaluate")]
    assert sorted(len(name) for name in names) == [6, 6, 6, 6, 6]
    wanted = {evaluation.fingerprint for evaluation in project.plan().cells[0].evaluations}
    assert {fingerprint for name in names for fingerprint in name} == wanted


# Pages


def test_a_damaged_page_is_asked_for_again(project: Project) -> None:
    publish_study(project.plan())
    Path("results/tiny/README.md").unlink()
    found = pending(project)
    assert len(found.report("tiny")) == 1
    assert found.runs("tiny") == []


def test_a_page_waits_for_the_runs_of_its_study(project: Project) -> None:
    """The page is up to date with run.json, but a run lost a file: it is made again, and then the page."""
    plan = project.plan()
    publish_study(plan)
    (store.run_directory(plan.runs()[0]) / "policy-40.safetensors").unlink()
    assert pages.problem(plan) is None
    assert len(pending(project).report("tiny")) == 1


# Datasets


def test_data_are_asked_for_once_per_source(project: Project) -> None:
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4"})
    replay = project.settings["tasks"]["replay"]
    project.set("tasks.expert", {**replay, "dataset": "collect:InvertedPendulum-v5/expert"})
    project.set("experiments.main.tasks", ["hopper", "replay", "expert", "pendulum"])
    plan, found = project.plan(), pending(project)
    data = {cell.task: cell.group.dataset for cell in plan.cells}
    names = "-".join(sorted([data["replay"].fingerprint, data["expert"].fingerprint]))
    collect = f"work/todo/5e5510/collect/InvertedPendulum-v5/{names}"
    fetch = f"work/todo/5e5510/fetch/hopper/{data['hopper'].fingerprint}"
    assert found.datasets("tiny") == [collect, fetch]
    assert [found.dataset(cell.group) for cell in plan.cells] == [
        [fetch], [collect], [collect], [],
    ]  # fmt: skip
    data["expert"].path.mkdir(parents=True)
    (data["expert"].path / "rows").write_bytes(b"rows")
    note = {"files": {"rows": {"size": 4}}, "sha256": "a" * 64}
    files.write_json(data["expert"].path / "dataset.json", note)
    alone = f"work/todo/5e5510/collect/InvertedPendulum-v5/{data['replay'].fingerprint}"
    assert pending(project).datasets("tiny") == [alone, fetch]


def test_only_missing_runs_ask_for_data(project: Project) -> None:
    plan = project.set("experiments.main.tasks", ["replay"]).plan()
    publish(plan.runs()[0])
    assert len(pending(project).datasets("tiny")) == 1
    publish(plan.runs()[1])
    assert pending(project).datasets("tiny") == []


def test_a_file_that_is_not_there_is_the_users_to_bring(project: Project) -> None:
    group = project.group()
    Path("data/pendulum.hdf5").unlink()
    with pytest.raises(
        UserError, match=r"tasks.pendulum.dataset: there is no file data/pendulum.hdf5. Put it there or"
    ):
        pending(project).dataset(group)


# Markers


def test_two_sessions_share_no_marker(project: Project) -> None:
    params = project.load()
    one, other = (Pending(params, session) for session in ("aaaaaa", "bbbbbb"))
    assert len({*one.runs("tiny"), *other.runs("tiny"), *one.report("tiny"), *other.report("tiny")}) == 6


def test_no_marker_is_made_here(project: Project) -> None:
    found = pending(project)
    found.report("tiny")
    found.datasets("tiny")
    assert [path for path in Path("work").rglob("*") if path.is_file()] == []
