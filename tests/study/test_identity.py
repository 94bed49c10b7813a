"""Names and places of runs, evaluations and datasets; what goes into a fingerprint is tests/study/test_plan.py's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import Project

from dac.study.identity import Dataset, Evaluation, Run, canonical, dataset_named, fingerprint

FILE_IDENTITY = canonical({"source": "file", "sha256": "e" * 64})


def test_canonical_json() -> None:
    assert canonical({"b": [1, 2.5, True, None], "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5,true,null]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_a_fingerprint_is_twelve_digits_of_the_sha256() -> None:
    # printf '{"a":1}' | sha256sum
    assert fingerprint({"a": 1}) == "015abd7f5cc5"
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("source", "name", "minari_id", "file", "folder"),
    [
        ("d4rl", "hopper-medium-v2", "d4rl/hopper-medium-v2-v0", "data/d4rl/hopper-medium-v2.hdf5", "data/datasets"),
        ("file", "my data/run (2).hdf5", "file/run-2-v0", "my data/run (2).hdf5", "data/datasets"),
        ("minari", "D4RL/door/human-v2", "D4RL/door/human-v2", None, "data/datasets"),
        ("collect", "Hopper-v5/medium", "Hopper-v5/medium", None, "results/datasets"),
    ],
)
def test_where_a_dataset_lies(source: str, name: str, minari_id: str, file: str | None, folder: str) -> None:
    """What is collected here lies with the results; the rest can be had again."""
    dataset = Dataset(source, name, FILE_IDENTITY)
    assert dataset.id == f"{source}:{name}"
    assert dataset.minari_id == minari_id
    assert dataset.file == (None if file is None else Path(file))
    assert dataset.path == Path(folder) / f"{minari_id.replace('/', '-')}-{dataset.fingerprint}"


def test_a_datasets_fingerprint_is_its_identitys() -> None:
    dataset = Dataset("file", "a.hdf5", FILE_IDENTITY)
    assert dataset.file_sha256 == "e" * 64
    assert dataset.fingerprint == fingerprint({"sha256": "e" * 64, "source": "file"})
    assert dataset.fingerprint == Dataset("file", "b.hdf5", FILE_IDENTITY).fingerprint
    assert dataset_named("minari:a/b-v1", {}).fingerprint != dataset_named("minari:a/b-v2", {}).fingerprint


def test_a_collection_is_the_recipe_but_for_the_level() -> None:
    def collection(**recipe: object) -> str:
        return Dataset("collect", "Hopper-v5/x", canonical({"source": "collect", **recipe})).collection

    one = collection(env="Hopper-v5", seed=0, level={"at_step": 100}, taken=1)
    assert one == collection(env="Hopper-v5", seed=0, level={"at_step": 200}, taken=2)
    assert one != collection(env="Hopper-v5", seed=1, level={"at_step": 100}, taken=1)


def test_runs_are_told_apart_by_group_and_seed(project: Project) -> None:
    group = project.group()
    assert group.name == f"soft-H2-lcb0.5-{group.fingerprint}"
    assert str(Run(group, 3)) == f"pendulum/{group.name}/seed-3"
    assert len({Run(group, 3), Run(group, 4), Run(project.group(), 3)}) == 2
    assert project.set("tasks.pendulum.settings.q_target", "min").group().label == "soft-H2-min"


def test_one_candidate_is_the_policys_own_action() -> None:
    assert Evaluation(1, 5, (0.0, 1.0)).draws_one
    assert not Evaluation(2, 5, (0.0, 1.0)).draws_one
