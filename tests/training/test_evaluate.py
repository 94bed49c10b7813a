from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import COMPUTE, Project

from dac.study import store
from dac.study.identity import Evaluation, Group, Run
from dac.system import files
from dac.system.errors import UserError
from dac.training.evaluate import evaluate
from dac.training.policies import load_policies
from dac.training.rollouts import Rollouts, episode_seed
from dac.training.trainer import train

ONE = Evaluation(1, 3, (5.0, 105.0))
THREE = Evaluation(3, 2, (5.0, 105.0))


@pytest.fixture
def trained(project: Project) -> Iterator[Group]:
    """A group with two trained runs, each with the policies of steps 30 and 40."""
    group = project.group()
    train(group, [0, 1], COMPUTE, 1)
    yield group


def rows(group: Group, seed: int, evaluation: Evaluation) -> pd.DataFrame:
    return pd.read_parquet(store.verified_evaluation(Run(group, seed), evaluation))


def test_one_row_per_policy_and_episode(trained: Group) -> None:
    evaluate(trained, [0, 1], [ONE, THREE], COMPUTE, 1)
    for seed in (0, 1):
        found = rows(trained, seed, ONE)
        assert list(found.columns) == [
            "task", "variant", "seed", "step", "action_samples", "episode", "return", "length", "score",
        ]  # fmt: skip
        assert found[["step", "episode"]].to_numpy().tolist() == [[30, 0], [30, 1], [30, 2], [40, 0], [40, 1], [40, 2]]
        assert set(found["task"]) == {"pendulum"}
        assert set(found["variant"]) == {"soft-H2-lcb0.5"}
        assert set(found["seed"]) == {seed}
        assert set(found["action_samples"]) == {1}
        assert len(rows(trained, seed, THREE)) == 4
        assert set(rows(trained, seed, THREE)["action_samples"]) == {3}


def test_a_temperature_draws_other_candidates(trained: Group) -> None:
    hot = Evaluation(3, 2, (5.0, 105.0), temperature=100.0)
    evaluate(trained, [0], [THREE, hot], COMPUTE, 1)
    assert len(rows(trained, 0, hot)) == len(rows(trained, 0, THREE))
    assert rows(trained, 0, hot)["return"].tolist() != rows(trained, 0, THREE)["return"].tolist()


def test_where_it_was_evaluated_is_kept_beside_where_it_was_trained(trained: Group) -> None:
    path = store.run_directory(Run(trained, 0)) / "provenance.json"
    before = files.read_json(path)
    evaluate(trained, [0], [ONE], COMPUTE, 1)
    after = files.read_json(path)
    assert before is not None
    assert after is not None
    (made,) = after.pop("evaluations").values()
    assert after == before
    assert made["versions"] == before["versions"]


def test_a_run_that_is_made_anew_while_it_is_evaluated(trained: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured is of policies that are gone: it is not recorded as of those that are there."""
    run = Run(trained, 0)

    def load_and_make_anew(*arguments: Any) -> Any:
        policies = load_policies(*arguments)
        content = files.read_json(store.run_directory(run) / "run.json")
        assert content is not None
        content["files"]["curve.csv"]["sha256"] = "0" * 64
        files.write_json(store.run_directory(run) / "run.json", content)
        return policies

    monkeypatch.setattr("dac.training.evaluate.load_policies", load_and_make_anew)
    with pytest.raises(UserError, match=r"the run was made anew while it was evaluated. Start snakemake again"):
        evaluate(trained, [0], [ONE], COMPUTE, 1)
    assert not store.has_evaluation(run, ONE)


def test_scores(trained: Group) -> None:
    """Reference returns 5 and 105 make a score the return less 5; others make no episode again."""
    evaluate(trained, [0], [ONE], COMPUTE, 1)
    found = rows(trained, 0, ONE)
    # The pendulum gives 1 for every step but the one in which it falls.
    assert (found["return"] == found["length"] - 1).all()
    assert found["length"].between(2, 50).all()
    assert found["score"].tolist() == pytest.approx((found["return"] - 5.0).tolist())
    tenfold = Evaluation(1, 3, (0.0, 10.0))
    run = Run(trained, 0)
    assert store.has_evaluation(run, tenfold)
    before = sorted(store.run_directory(run).iterdir())
    evaluate(trained, [0], [tenfold], COMPUTE, 1)
    assert sorted(store.run_directory(run).iterdir()) == before
    assert rows(trained, 0, tenfold).equals(found)


def test_the_same_numbers_in_any_pack(trained: Group) -> None:
    evaluate(trained, [0, 1], [THREE], COMPUTE, 1)
    together = [rows(trained, seed, THREE) for seed in (0, 1)]
    for seed in (0, 1):
        store.verified_evaluation(Run(trained, seed), THREE).unlink()
        evaluate(trained, [seed], [THREE], COMPUTE, 1)
        pd.testing.assert_frame_equal(rows(trained, seed, THREE), together[seed])
    assert together[0]["return"].tolist() != together[1]["return"].tolist()


def test_the_same_numbers_with_worker_processes(trained: Group) -> None:
    evaluate(trained, [0, 1], [THREE], COMPUTE, 1)
    inside = [rows(trained, seed, THREE) for seed in (0, 1)]
    for seed in (0, 1):
        store.verified_evaluation(Run(trained, seed), THREE).unlink()
    evaluate(trained, [0, 1], [THREE], COMPUTE.model_copy(update={"evaluation_workers": 2}), 1)
    for seed in (0, 1):
        pd.testing.assert_frame_equal(rows(trained, seed, THREE), inside[seed], check_exact=True)


def test_runs_that_do_not_fit_are_evaluated_in_parts(trained: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same numbers; a run alone that does not fit is an error."""
    evaluate(trained, [0, 1], [THREE], COMPUTE, 1)
    together = [rows(trained, seed, THREE) for seed in (0, 1)]
    for seed in (0, 1):
        store.verified_evaluation(Run(trained, seed), THREE).unlink()
    evaluated = Rollouts.evaluate

    def refuse_more_than(most: int) -> None:
        def refuse(self: Rollouts, *arguments: Any) -> pd.DataFrame:
            if self.runs > most:
                raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
            return evaluated(self, *arguments)

        monkeypatch.setattr(Rollouts, "evaluate", refuse)

    refuse_more_than(1)
    evaluate(trained, [0, 1], [THREE], COMPUTE, 1)
    for seed in (0, 1):
        pd.testing.assert_frame_equal(rows(trained, seed, THREE), together[seed])
    refuse_more_than(0)
    with pytest.raises(UserError, match=r"seed-0: evaluating one run alone does not fit .*CUBLAS_STATUS_ALLOC_FAILED"):
        evaluate(trained, [0, 1], [ONE], COMPUTE, 1)


def test_what_is_there_is_left_alone(trained: Group) -> None:
    evaluate(trained, [0], [ONE], COMPUTE, 1)
    before = store.verified_evaluation(Run(trained, 0), ONE).stat().st_mtime_ns
    evaluate(trained, [0, 1], [ONE, THREE], COMPUTE, 1)
    assert store.verified_evaluation(Run(trained, 0), ONE).stat().st_mtime_ns == before
    for seed in (0, 1):
        assert len(store.read_run(Run(trained, seed))["evaluations"]) == 2
    events = [line for line in store.JOURNAL.read_text().splitlines() if '"evaluate"' in line]
    assert len(events) == 4


def test_it_changes_nothing_else_of_a_run(trained: Group) -> None:
    before = store.read_run(Run(trained, 0))
    evaluate(trained, [0], [ONE], COMPUTE, 1)
    after = store.read_run(Run(trained, 0))
    assert after.pop("evaluations").keys() == {ONE.fingerprint}
    assert before.pop("evaluations") == {}
    assert after == before
    assert store.run_problem(Run(trained, 0)) is None
    assert store.verified_evaluation(Run(trained, 0), ONE).is_file()


def test_runs_that_are_not_there_or_damaged(trained: Group) -> None:
    with pytest.raises(UserError, match=r"seed-2: missing\. Start snakemake again"):
        evaluate(trained, [0, 2], [ONE], COMPUTE, 1)
    assert not store.has_evaluation(Run(trained, 0), ONE)
    path = store.run_directory(Run(trained, 0)) / "policy-30.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"policy-30.safetensors: its contents are not what run.json records"):
        evaluate(trained, [0], [ONE], COMPUTE, 1)
    assert not list(Path("results").rglob("*.parquet"))


def test_seeds_of_episodes_are_their_own() -> None:
    """A function of all that an episode is, of 31 bits, different for each."""
    found = {
        episode_seed(seed, purpose, step, episode)
        for seed in range(3) for purpose in ("curve", "evaluate") for step in (0, 10) for episode in range(3)
    }  # fmt: skip
    assert len(found) == 36
    assert all(0 <= seed < 2**31 for seed in found)
    assert episode_seed(0, "curve", 0, 0) == 78456302
