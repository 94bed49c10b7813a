"""The jobs of a study as a list: which there are, what each makes, and which comes after which."""

from __future__ import annotations

from tiny import Project, publish, publish_evaluation, publish_study

from dac.study import store
from dac.study.identity import Run
from dac.study.jobs import Collect, Evaluate, Fetch, Jobs, Train, chunks, jobs, packs
from dac.system import files


def test_chunks() -> None:
    assert list(chunks([1, 2, 3, 4, 5], 2)) == [(1, 2), (3, 4), (5,)]
    assert list(chunks([], 2)) == []


def test_packs_are_of_a_size_and_fit_a_file_name(project: Project) -> None:
    group = project.group()
    runs = [Run(group, seed) for seed in (0, 2, 3, 5, 7)]
    assert [[run.seed for run in pack] for pack in packs(runs, 2)] == [[0, 2], [3, 5], [7]]
    long = [Run(group, 10**9 + 2 * seed) for seed in range(40)]  # ten digits and a hyphen each
    assert [len(pack) for pack in packs(long, 64)] == [4] * 10
    assert list(packs([], 2)) == []


def test_jobs_of_a_study(project: Project) -> None:
    """Data before training before evaluation, in packs; and only what the store lacks."""
    project.set("experiments.main.tasks", ["replay"]).set("compute.pack_size", 1)
    plan = project.plan()
    collect, first, second, *evaluations = jobs(plan, plan.runs(), missing=True)
    assert isinstance(collect, Collect)
    assert isinstance(first, Train)
    assert (collect.levels, first.runs, first.after) == (("medium-replay",), 1, (collect.name,))
    assert [type(job) for job in evaluations] == [Evaluate, Evaluate]
    assert [job.after for job in evaluations if isinstance(job, Evaluate)] == [(first.name,), (second.name,)]
    publish(plan.runs()[0])
    left = jobs(plan, plan.runs(), missing=True)
    assert [type(job) for job in left] == [Collect, Train, Evaluate, Evaluate]
    assert jobs(plan, plan.runs(), missing=False) == [collect, first, second, *evaluations]
    publish_study(plan)
    assert jobs(plan, plan.runs(), missing=True) == []


def test_names_and_markers(project: Project) -> None:
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4"})
    plan = project.set("experiments.main.tasks", ["replay", "hopper"]).plan()
    replay, hopper = (cell.group for cell in plan.cells)
    collect, fetch, first, second, evaluation, _ = found = jobs(plan, plan.runs(), missing=True)
    assert [type(job) for job in found] == [Collect, Fetch, Train, Train, Evaluate, Evaluate]
    one, other = (item.fingerprint for item in plan.cells[0].evaluations)
    assert [job.name for job in (collect, fetch, first, second, evaluation)] == [
        f"collect {replay.dataset.collection}",
        "fetch d4rl:hopper-medium-v2",
        f"train replay/{replay.name}/seed-0",
        f"train hopper/{hopper.name}/seed-0",
        f"evaluate replay/{replay.name}/seed-0 {one}",
    ]
    assert [job.marker for job in (collect, fetch, first, evaluation)] == [
        f"collect/InvertedPendulum-v5/{replay.dataset.fingerprint}",
        f"fetch/hopper/{hopper.dataset.fingerprint}",
        f"train/replay/{replay.name}/0-1",
        f"evaluate/replay/{replay.name}/0-1/{one}-{other}",
    ]


def test_what_is_there_is_no_job(project: Project) -> None:
    """A file is the user's to bring, a bandit's data are drawn; what is published is not made again."""
    plan = project.set("studies.tiny.seeds", [0, 1, 2]).plan()
    publish(plan.runs()[1])
    publish_evaluation(plan.runs()[1], plan.cells[0].evaluations[0])
    train, alone, together = jobs(plan, plan.runs(), missing=True)
    assert isinstance(train, Train)
    assert isinstance(alone, Evaluate)
    assert isinstance(together, Evaluate)
    assert (train.seeds, train.runs) == ((0, 2), 2)
    assert (alone.seeds, alone.evaluations, alone.after) == ((0, 2), plan.cells[0].evaluations, (train.name,))
    assert (together.seeds, together.evaluations, together.after) == ((1,), plan.cells[0].evaluations[1:], ())
    task = {"dataset": "bandit:two-moons", "env": "Bandit2D-v0", "reward_scaling": "none"}
    bandit = project.set("tasks.pendulum", task).plan()
    assert [type(job) for job in jobs(bandit, bandit.runs(), missing=False)] == [Train, Evaluate]


def test_some_of_a_studys_runs(project: Project) -> None:
    plan = project.set("studies.tiny.seeds", [0, 1, 2]).plan()
    found = jobs(plan, plan.runs()[1:], missing=True)
    assert [job.seeds for job in found if isinstance(job, Train | Evaluate)] == [(1, 2), (1, 2)]


def test_levels_of_one_collection_share_a_job(project: Project) -> None:
    replay = project.settings["tasks"]["replay"]
    project.set("tasks.expert", {**replay, "dataset": "collect:InvertedPendulum-v5/expert"})
    plan = project.set("experiments.main.tasks", ["replay", "expert"]).plan()

    def levels(runs: list[Run], missing: bool = True) -> list[tuple[str, ...]]:
        return [job.levels for job in jobs(plan, runs, missing=missing) if isinstance(job, Collect)]

    assert levels(plan.runs()) == [("medium-replay", "expert")]
    data = plan.cells[0].group.dataset
    data.path.mkdir(parents=True)
    (data.path / "rows").write_bytes(b"rows")
    files.write_json(data.path / "dataset.json", {"files": {"rows": {"size": 4}}, "sha256": "a" * 64})
    assert levels(plan.runs()) == [("expert",)]
    assert levels([run for run in plan.runs() if run.group.dataset == data]) == []
    assert levels(plan.runs(), missing=False) == [("medium-replay", "expert")]


def test_levels_that_are_expected_are_collected_too(project: Project) -> None:
    replay = project.settings["tasks"]["replay"]
    project.set("tasks.expert", {**replay, "dataset": "collect:InvertedPendulum-v5/expert"})
    first, second = (cell.group for cell in project.set("experiments.main.tasks", ["replay", "expert"]).plan().cells)
    formed = Jobs(4, missing=True)
    formed.expect([second.dataset])
    job = formed.data(first)
    assert isinstance(job, Collect)
    assert set(job.datasets) == {first.dataset, second.dataset}
    assert formed.data(second) is job
    unexpected = Jobs(4, missing=True).data(first)
    assert isinstance(unexpected, Collect)
    assert unexpected.datasets == (first.dataset,)


def test_what_one_job_makes_no_other_does(project: Project) -> None:
    group, wanted = project.group(), project.plan().cells[0].evaluations
    runs = [Run(group, seed) for seed in range(5)]
    formed = Jobs(4, missing=True)
    (first,) = formed.trainings(runs[:2])
    again, rest = formed.trainings(runs)
    assert again is first
    assert (first.seeds, rest.seeds) == ((0, 1), (2, 3, 4))
    (half,) = formed.evaluations(runs[:2], wanted[:1])
    assert (half.seeds, half.evaluations, half.after) == ((0, 1), wanted[:1], (first.name,))
    others = [(job.seeds, job.evaluations) for job in formed.evaluations(runs, wanted) if job is not half]
    assert others == [((0, 1), wanted[1:]), ((2, 3, 4), wanted)]
    assert [job.seeds for job in formed.evaluations(runs[3:], wanted)] == [(2, 3, 4)]


def test_a_run_that_is_trained_again_is_evaluated_again(project: Project) -> None:
    plan = project.plan()
    publish_study(plan)
    assert jobs(plan, plan.runs(), missing=True) == []
    (store.run_directory(plan.runs()[1]) / "curve.csv").unlink()
    train, evaluate = jobs(plan, plan.runs(), missing=True)
    assert isinstance(evaluate, Evaluate)
    assert (evaluate.seeds, evaluate.after) == ((1,), (train.name,))
