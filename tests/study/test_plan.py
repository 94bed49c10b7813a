from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import Project

from dac.agent.config import PRECISIONS
from dac.study import plan, resolve, task_data, versions
from dac.study.catalog import policy_file
from dac.study.identity import Dataset, Evaluation, Group, Run, fingerprint
from dac.study.params import Preset, Settings
from dac.study.plan import Cell, StudyPlan
from dac.system.errors import UserError
from dac.system.hashing import sha256_of

COLLECTION = "collect.InvertedPendulum-v5"
SETTINGS = list(Settings().as_json())
# A legal value of every setting that is neither the default nor what the tiny study sets.
OTHER: dict[str, Any] = {
    "guidance": "hard", "q_target": "convex", "lcb_coefficient": 0.25, "ensemble_size": 3, "next_action_samples": 4,
    "max_backup": True, "diffusion_steps": 6, "beta_schedule": "cosine", "sampler": "ddim", "clip_denoised": False,
    "hidden_sizes": [7, 9], "discount": 0.9, "actor_lr": 1e-2, "critic_lr": 2e-2, "gradient_clip": 3.0,
    "target_rate": 0.5, "actor_ema_start": 8, "actor_ema_interval": 3, "eta": 2.0, "eta_lr": 0.5, "eta_min": 0.25,
    "eta_max": 4.0, "bc_threshold": 0.125, "steps": 50, "batch_size": 8, "lr_decay": "constant", "eval_interval": 20,
    "eval_episodes": 3, "eval_action_samples": 4, "kept_policies": 1, "sampler_steps": 1, "eval_temperature": 0.5,
    "precision": "bf16",
}  # fmt: skip


def group_with(project: Project, **settings: Any) -> Group:
    """The tiny study's group with some settings changed in the study."""
    project.settings["studies"]["tiny"]["settings"] |= settings
    return project.group()


def dataset(project: Project, task: str = "replay") -> Dataset:
    return task_data.dataset_of(project.load(), task)


# Fingerprints


def test_golden_fingerprints(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a store was filled with must be found again: these may never change for these settings and versions."""
    for name, value in {
        "COMMON": 1, "GUIDANCE": {"soft": 1}, "Q_TARGET": {"lcb": 1}, "DATASET": {"collect": 1}, "EVALUATION": 1,
    }.items():  # fmt: skip
        monkeypatch.setattr(versions, name, value)
    cell = project.set("experiments.main.tasks", ["replay"]).plan().cells[0]
    assert cell.group.name == "soft-H2-lcb1-6e9a5eae25d7"
    assert cell.group.dataset.fingerprint == "da7d83c02956"
    assert [evaluation.fingerprint for evaluation in cell.evaluations] == ["b9cbcbbccd84", "706809acfbdd"]


def test_a_precision_of_the_first_version_is_in_no_fingerprint(project: Project) -> None:
    """Runs of fp32 and tf32 are what they were before precisions had versions; those of bf16 are others."""
    found = {name: json.loads(group_with(project, precision=name).identity)["versions"] for name in PRECISIONS}
    assert {name for name, components in found.items() if "precision" in components} == {"bf16"}
    assert found["bf16"]["precision"] == versions.PRECISION["bf16"] > versions.FIRST


def test_the_golden_identity(project: Project) -> None:
    """All that is in a fingerprint."""
    sac = {
        "steps": 300, "learning_starts": 100, "batch_size": 256, "hidden_sizes": [256, 256], "learning_rate": 3e-4,
        "train_freq": 1, "gradient_steps": 1, "gamma": 0.99, "tau": 0.005, "buffer_size": 1_000_000,
        "eval_interval": 1000, "eval_episodes": 5,
    }  # fmt: skip
    group = project.set("experiments.main.tasks", ["replay"]).group()
    identity = json.loads(group.identity)
    assert identity.pop("settings") | resolve.NEUTRAL_SETTINGS == {
        **Settings().as_json(),
        **project.settings["studies"]["tiny"]["settings"],
    }
    assert identity == {
        "env": "InvertedPendulum-v5",
        "reward_scaling": "locomotion",
        "versions": {
            "common": versions.COMMON,
            "guidance": versions.GUIDANCE["soft"],
            "q_target": versions.Q_TARGET["lcb"],
        },
        "dataset": {
            "source": "collect",
            "version": versions.DATASET["collect"],
            "env": "InvertedPendulum-v5",
            "seed": 0,
            "sac": sac,
            "level": "medium-replay",
            "taken": {"at_step": 200, "at_return": None, "transitions": None},
        },
    }


# What is in a run's fingerprint


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_in_the_fingerprint(name: str, project: Project) -> None:
    if name == "sampler_steps":
        group_with(project, sampler="ddim")  # the other sampler takes every step
    before = project.group()
    after = group_with(project, **{name: OTHER[name]})
    assert before.settings.as_json()[name] != OTHER[name] == after.settings.as_json()[name]
    assert after.fingerprint != before.fingerprint


def test_the_list_of_settings_is_complete() -> None:
    assert OTHER.keys() == Preset.model_fields.keys()


def test_a_claim_about_action_samples_that_are_not_evaluated(project: Project) -> None:
    side = {"variant": "soft", "action_samples": 7}
    project.set("experiments.main.claims", [{"says": "More", "higher": side, "lower": "data"}])
    said = r"experiments.main.claims\[0\]: 7 action samples, but studies.tiny evaluates 1, 3. Add 7 to evaluation"
    with pytest.raises(UserError, match=said):
        project.plan()


def test_claims_are_part_of_the_page_alone(project: Project) -> None:
    before = project.plan()
    project.set("experiments.main.claims", [{"says": "It works", "higher": {"variant": "soft"}, "lower": "data"}])
    after = project.plan()
    assert after.runs() == before.runs()
    assert after.fingerprint != before.fingerprint


def test_the_tasks_of_a_claim_are_part_of_the_page_where_it_names_them(project: Project) -> None:
    claim = {"says": "It works", "higher": {"variant": "soft"}, "lower": "data"}
    everywhere = project.set("experiments.main.claims", [claim]).plan()
    # A page that is of every task keeps the identity that it had before claims could name some.
    assert everywhere.identity["experiments"]["main"]["claims"] == [
        {"says": "It works", "higher": {"variant": "soft", "action_samples": None}, "lower": "data", "measure": "score"}
    ]
    named = project.set("experiments.main.claims", [{**claim, "tasks": ["pendulum"]}]).plan()
    assert named.identity["experiments"]["main"]["claims"][0]["tasks"] == ["pendulum"]
    assert named.fingerprint != everywhere.fingerprint


def test_a_preset_gives_settings_and_what_stands_beside_it_counts_more(project: Project) -> None:
    plain = project.set("tasks.pendulum.settings", {"eta": 0.5, "discount": 0.9, "lcb_coefficient": 0.5}).group()
    project.set("presets", {"some": {"eta": 0.5, "discount": 0.8, "lcb_coefficient": 0.5}})
    named = project.set("tasks.pendulum.settings", {"preset": "some", "discount": 0.9}).group()
    assert (named, named.settings) == (plain, plain.settings)


def test_presets_can_be_varied(project: Project) -> None:
    project.set("presets", {"one": {"eta": 0.5}, "two": {"eta": 2.0, "steps": 30}})
    project.set("experiments.main", {"title": "M", "tasks": ["pendulum"], "vary": {"preset": ["one", "two"]}})
    cells = project.plan().cells
    assert [(cell.variant, cell.group.settings.eta, cell.group.settings.steps) for cell in cells] == [
        ("one", 0.5, 40),
        ("two", 2.0, 30),
    ]


@pytest.mark.parametrize(
    "layer",
    [
        "agent",
        "tasks.pendulum.settings",
        "studies.tiny.settings",
        "experiments.main.settings",
        "experiments.main.variants.soft",
    ],
)
def test_a_setting_counts_wherever_it_is_set(layer: str, project: Project) -> None:
    before = project.group().fingerprint
    assert project.set(f"{layer}.gradient_clip", 3.0).group().fingerprint != before
    # The same value from another layer is the same run.
    again = Project().set("studies.tiny.settings.gradient_clip", 3.0).group()
    assert project.group().fingerprint == again.fingerprint


def test_the_later_layer_wins(project: Project) -> None:
    found = []
    layers = ("agent", "tasks.pendulum", "studies.tiny", "experiments.main", "experiments.main.variants.soft")
    for layer in (name if name.endswith(("agent", "soft")) else f"{name}.settings" for name in layers):
        project.set(f"{layer}.gradient_clip", float(len(found) + 2))
        found.append(project.group().settings.gradient_clip)
    assert found == [2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("settings", "unused"),
    [
        ({"q_target": "min"}, ["lcb_coefficient"]),
        ({"eta_lr": 0.0}, ["bc_threshold", "eta_min", "eta_max"]),
        ({"guidance": "none"}, ["eta_lr", "bc_threshold", "eta_min", "eta_max"]),
        ({"sampler": "ddpm"}, ["sampler_steps"]),
    ],
)
def test_a_setting_that_others_switch_off_is_left_out(
    settings: dict[str, Any], unused: list[str], project: Project
) -> None:
    before = group_with(project, **settings)
    after = group_with(project, **{name: OTHER[name] for name in unused})
    assert after.fingerprint == before.fingerprint
    assert after == before
    assert after.name == before.name
    left_out = {*unused, *resolve.NEUTRAL_SETTINGS}
    assert set(SETTINGS) - json.loads(before.identity)["settings"].keys() == left_out
    for name in sorted(set(SETTINGS) - {*unused, "sampler_steps"} - settings.keys()):
        changed = group_with(Project(), **{**settings, name: OTHER[name]})
        assert changed.fingerprint != before.fingerprint, name


def test_variants_that_are_the_same_runs_are_one_group(project: Project) -> None:
    """A threshold is swept although eta is fixed: each seed trains once."""
    project.set("experiments.guidance.vary", {"bc_threshold": [0.5, 1.0, 2.0]})
    found = project.set("agent.eta_lr", 0.0).set("studies.tiny.experiments", ["guidance"]).plan()
    assert [cell.variant for cell in found.cells] == ["0.5", "1.0", "2.0"]
    assert len(found.runs()) == 2
    assert len(found.evaluations()) == 1


def test_two_and_two_point_zero_are_one_setting(project: Project) -> None:
    assert group_with(project, eta=2).fingerprint == group_with(project, eta=2.0).fingerprint
    project.set("experiments.main.variants.soft.eta", 2)
    assert project.group().fingerprint == group_with(Project(), eta=2.0).fingerprint
    swept = project.set("experiments.guidance.vary", {"eta": [2]}).set("studies.tiny.experiments", ["guidance"])
    assert swept.group().fingerprint == group_with(Project(), eta=2.0).fingerprint


def test_the_order_of_keys_does_not_matter(project: Project) -> None:
    before = project.plan()
    for section in (project.settings, project.settings["studies"]["tiny"]["settings"], project.settings["tasks"]):
        for key in list(section)[::-1]:
            section[key] = section.pop(key)
    assert project.plan().fingerprint == before.fingerprint
    assert project.group() == before.cells[0].group


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("compute", {"device": "auto", "pack_size": 1, "threads_per_job": 2, "evaluation_workers": 3}),
        ("compute.d4rl_mirrors", ["/disk/d4rl", "https://near.example"]),
        ("evaluation", {"action_samples": [7], "episodes": 3}),
        ("experiments.main.evaluation", {"episodes": 9}),
        ("studies.tiny.evaluation", {"episodes": 9}),
        ("report", {"window": 1, "bootstrap_samples": 500, "curve_band": "ci", "bootstrap_seed": 3}),
        ("tasks.pendulum.reference_returns", [0.0, 10.0]),
        ("experiments.main.title", "Another title"),
        ("experiments.main.variants", {"renamed": {}}),
        ("studies.tiny.seeds", [5]),
        ("dvc_study", "tiny"),
        (f"{COLLECTION}.seed", 9),
    ],
)
def test_what_changes_no_number_of_a_run_is_not_in_its_fingerprint(place: str, value: Any, project: Project) -> None:
    before = project.group()
    assert project.set(place, value).group() == before


def test_neither_is_the_path_of_its_data(project: Project) -> None:
    before = project.group()
    shutil.copy("data/pendulum.hdf5", "elsewhere.hdf5")
    after = project.set("tasks.pendulum.dataset", "file:elsewhere.hdf5").group()
    assert after.fingerprint == before.fingerprint
    assert after.dataset.file == Path("elsewhere.hdf5")


@pytest.mark.parametrize(("place", "value"), [("env", "InvertedDoublePendulum-v5"), ("reward_scaling", "none")])
def test_environment_and_reward_scaling_are_in_it(place: str, value: str, project: Project) -> None:
    before = project.group().fingerprint
    assert project.set(f"tasks.pendulum.{place}", value).group().fingerprint != before


def test_a_setting_added_later_is_left_out_while_neutral(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """`clip_denoised` stands for the new setting: before it existed, runs were as they are now where it is true."""
    identity = json.loads(project.group().identity)
    del identity["settings"]["clip_denoised"]
    old = fingerprint(identity)
    assert project.group().fingerprint != old
    monkeypatch.setattr(resolve, "NEUTRAL_SETTINGS", {**resolve.NEUTRAL_SETTINGS, "clip_denoised": True})
    assert project.group().fingerprint == old
    assert project.group().settings.clip_denoised is True
    changed = group_with(project, clip_denoised=False)
    assert changed.fingerprint != old
    assert json.loads(changed.identity)["settings"]["clip_denoised"] is False


def test_the_label_is_made_of_settings(project: Project) -> None:
    assert project.group().label == "soft-H2-lcb0.5"
    assert group_with(project, guidance="hard", q_target="min", ensemble_size=7).label == "hard-H7-min"
    assert group_with(project, q_target="convex", lcb_coefficient=1e-5).label == "hard-H7-convex1e-05"
    assert str(Run(project.group(), 3)) == f"pendulum/{project.group().name}/seed-3"


# Versions


def identities(project: Project) -> dict[str, str]:
    """Fingerprints of every kind of thing that the two studies consist of."""
    project.set("experiments.guidance.tasks", ["pendulum", "replay"]).set("studies.tiny.experiments", ["guidance"])
    project.settings["experiments"]["guidance"]["vary"] = {"guidance": ["soft", "hard", "denoised", "none"]}
    project.set("experiments.target", {"title": "T", "tasks": ["replay"], "vary": {"q_target": ["min", "convex"]}})
    project.set("studies.target", {**project.settings["studies"]["tiny"], "experiments": ["target"]})
    found = {}
    for study in ("tiny", "target"):
        for cell in project.plan(study).cells:
            found[f"{cell.task} {cell.variant}"] = cell.group.fingerprint
            found[f"data of {cell.task}"] = cell.group.dataset.fingerprint
            found["evaluation"] = cell.evaluations[0].fingerprint
    return found


PENDULUM = {"pendulum soft", "pendulum hard", "pendulum denoised", "pendulum none"}
REPLAY = {"replay soft", "replay hard", "replay denoised", "replay none", "replay min", "replay convex"}


@pytest.mark.parametrize(
    ("constant", "key", "touched"),
    [
        ("COMMON", None, PENDULUM | REPLAY),
        ("GUIDANCE", "soft", {"pendulum soft", "replay soft", "replay min", "replay convex"}),
        ("GUIDANCE", "hard", {"pendulum hard", "replay hard"}),
        ("GUIDANCE", "denoised", {"pendulum denoised", "replay denoised"}),
        ("GUIDANCE", "none", {"pendulum none", "replay none"}),
        ("Q_TARGET", "lcb", PENDULUM | REPLAY - {"replay min", "replay convex"}),
        ("Q_TARGET", "min", {"replay min"}),
        ("Q_TARGET", "convex", {"replay convex"}),
        ("DATASET", "file", PENDULUM | {"data of pendulum"}),
        ("DATASET", "collect", REPLAY | {"data of replay"}),
        ("DATASET", "d4rl", set()),
        ("EVALUATION", None, {"evaluation"}),
        ("REPORT", None, set()),
    ],
)
def test_a_version_touches_its_component_alone(
    constant: str, key: str | None, touched: set[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identities(project)
    value = getattr(versions, constant)
    monkeypatch.setattr(versions, constant, value + 1 if key is None else {**value, key: value[key] + 1})
    after = identities(project)
    assert {name for name in before if before[name] != after[name]} == touched


# Sharing


def test_experiments_and_studies_share_runs(project: Project) -> None:
    project.set("studies.tiny.experiments", ["main", "guidance"])
    found = project.plan()
    assert [(cell.experiment, cell.variant) for cell in found.cells] == [
        ("main", "soft"), ("guidance", "soft"), ("guidance", "none"),
    ]  # fmt: skip
    assert found.cells[0].group == found.cells[1].group
    assert [(run.group.label, run.seed) for run in found.runs()] == [
        ("soft-H2-lcb0.5", 0), ("soft-H2-lcb0.5", 1), ("none-H2-lcb0.5", 0), ("none-H2-lcb0.5", 1),
    ]  # fmt: skip
    project.set("studies.other", {**project.settings["studies"]["tiny"], "experiments": ["main"], "seeds": [1, 2]})
    shared = set(found.runs()) & set(project.plan("other").runs())
    assert [run.seed for run in shared] == [1]


def test_evaluations_of_a_group_are_those_of_all_its_experiments(project: Project) -> None:
    project.set("studies.tiny.experiments", ["main", "guidance"])
    project.set("experiments.guidance.evaluation", {"action_samples": [3, 3, 7]})
    evaluations = project.plan().evaluations()
    counts = {group.label: [item.action_samples for item in items] for group, items in evaluations.items()}
    assert counts == {"soft-H2-lcb0.5": [1, 3, 7], "none-H2-lcb0.5": [3, 7]}


def test_the_layers_of_evaluation_settings(project: Project) -> None:
    def settings() -> list[tuple[int, int]]:
        return [(item.action_samples, item.episodes) for item in project.plan().cells[0].evaluations]

    assert settings() == [(1, 2), (3, 2)]
    project.set("experiments.main.evaluation", {"action_samples": [5], "episodes": 4})
    assert settings() == [(5, 4)]
    # Like the other settings: the experiment's go before the study's.
    project.set("studies.tiny.evaluation", {"action_samples": [7], "episodes": 6})
    assert settings() == [(5, 4)]
    project.set("experiments.main.evaluation", {})
    assert settings() == [(7, 6)]


def test_an_evaluations_fingerprint(project: Project) -> None:
    base = Evaluation(10, 5, (0.0, 1.0))
    others = [Evaluation(9, 5, (0.0, 1.0)), Evaluation(10, 6, (0.0, 1.0)), Evaluation(10, 5, (0.0, 2.0))]
    others.append(Evaluation(10, 5, (0.0, 1.0), temperature=0.5))
    assert len({item.fingerprint for item in [base, *others]}) == 5
    # Evaluations made before there was a temperature stay valid.
    assert "temperature" not in base.identity
    project.set("evaluation.temperature", 0.25).set("experiments.main.evaluation", {"episodes": 7})
    assert {(item.temperature, item.episodes) for item in project.plan().cells[0].evaluations} == {(0.25, 7)}
    project.set("evaluation.temperature", 0.0)
    assert project.plan().cells[0].evaluations[0].reference == (5.0, 105.0)


# Datasets


def test_the_identity_of_a_collected_dataset_is_the_recipe_of_its_level(project: Project) -> None:
    before = dataset(project)
    assert before.path == Path(f"results/datasets/InvertedPendulum-v5-medium-replay-{before.fingerprint}")
    assert before.id == "collect:InvertedPendulum-v5/medium-replay"
    # Another level's recipe is not in it ...
    assert dataset(project.set(f"{COLLECTION}.levels.expert.transitions", 7)) == before
    # ... but the collection is.
    for place, value in {"levels.medium-replay.at_step": 100, "seed": 1, "sac.batch_size": 32}.items():
        changed = Project().set(f"{COLLECTION}.{place}", value)
        assert dataset(changed).fingerprint != before.fingerprint, place


def test_the_golden_identity_of_a_collected_dataset(project: Project) -> None:
    """As runs that are published have it, byte for byte."""
    found = dataset(project)
    assert found.identity == (
        '{"env":"InvertedPendulum-v5","level":"medium-replay","sac":{"batch_size":256,"buffer_size":1000000,'
        '"eval_episodes":5,"eval_interval":1000,"gamma":0.99,"gradient_steps":1,"hidden_sizes":[256,256],'
        '"learning_rate":0.0003,"learning_starts":100,"steps":300,"tau":0.005,"train_freq":1},"seed":0,'
        '"source":"collect","taken":{"at_return":null,"at_step":200,"transitions":null},"version":1}'
    )
    assert (found.fingerprint, found.collection) == ("da7d83c02956", "97e2e08b37de")


def policies_of(project: Project, **policies: Any) -> Project:
    """The project with its collected task on recorded policies in Pendulum."""
    recipe = {"policies": {"files": ["Pendulum-v1-5000"], "noise": [0, 1], **policies}}
    project.set("collect.Pendulum-v1", {**recipe, "levels": {"mixed": {"transitions": 50}}})
    return project.set("tasks.replay", {"dataset": "collect:Pendulum-v1/mixed", "reference_returns": [-1250, -120]})


def test_the_identity_of_recorded_policies_is_their_contents(project: Project) -> None:
    found = dataset(policies_of(project))
    policy = policy_file("Pendulum-v1-5000")
    assert json.loads(found.identity) == {
        "source": "collect",
        "version": 1,
        "env": "Pendulum-v1",
        "seed": 0,
        "policies": {"noise": [0.0, 1.0], "mixture": "replace", "sha256": [sha256_of(policy)]},
        "level": "mixed",
        "taken": {"transitions": 50},
    }
    assert found.path == Path(f"results/datasets/Pendulum-v1-mixed-{found.fingerprint}")
    # A file of one's own with the same contents gives the same data, and other contents others.
    shutil.copy(policy, "mine.safetensors")
    assert dataset(policies_of(project, files=["mine.safetensors"])) == found
    shutil.copy(policy_file("Pendulum-v1-2000"), "mine.safetensors")
    other = dataset(policies_of(project, files=["mine.safetensors"]))
    assert other.fingerprint != found.fingerprint
    assert other.collection != found.collection
    for change in ({"noise": [0, 0.5]}, {"mixture": "blend"}):
        assert dataset(policies_of(project, **change)).fingerprint != found.fingerprint


def test_a_policys_file_that_is_not_there(project: Project) -> None:
    said = (
        r"params.yaml: tasks.replay.dataset: collect.Pendulum-v1.policies.files: behaviours/none.safetensors is not "
        r"readable \(No such file or directory\). Put it there or correct the path, which counts from params.yaml's"
    )
    with pytest.raises(UserError, match=said):
        dataset(policies_of(project, files=["behaviours/none.safetensors"]))


def test_levels_of_one_training_share_their_collection(project: Project) -> None:
    project.settings["tasks"]["expert"] = {
        **project.settings["tasks"]["replay"], "dataset": "collect:InvertedPendulum-v5/expert",
    }  # fmt: skip
    assert dataset(project).collection == dataset(project, "expert").collection
    assert dataset(project).fingerprint != dataset(project, "expert").fingerprint
    before = dataset(project).collection
    assert dataset(project.set(f"{COLLECTION}.levels.medium-replay.at_step", 100)).collection == before
    assert dataset(project.set(f"{COLLECTION}.seed", 1)).collection != before


def test_the_identity_of_a_file_is_its_sha256(project: Project) -> None:
    found = dataset(project, "pendulum")
    digest = json.loads(found.identity)["sha256"]
    assert json.loads(Path("datasets.lock").read_text()) == {"file:data/pendulum.hdf5": {"sha256": digest}}
    # The lock counts from then on, so that a clone without the data can plan.
    Path("data/pendulum.hdf5").unlink()
    assert dataset(project, "pendulum") == found
    Path("datasets.lock").unlink()
    with pytest.raises(UserError, match=r"file:data/pendulum.hdf5: datasets.lock has no entry .* no file data/pend"):
        dataset(project, "pendulum")


def test_the_identity_of_d4rl_data_is_the_catalogs_sha256(project: Project) -> None:
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4"})
    found = dataset(project, "hopper")
    assert found.file == Path("data/d4rl/hopper-medium-v2.hdf5")
    assert found.path == Path("data/datasets") / f"d4rl-hopper-medium-v2-v0-{found.fingerprint}"
    assert len(json.loads(found.identity)["sha256"]) == 64
    assert not Path("datasets.lock").exists()
    with pytest.raises(UserError, match=r"'hopper-mediun-v2' is not in the catalog. Close matches: hopper-medium-v2"):
        dataset(project.set("tasks.hopper.dataset", "d4rl:hopper-mediun-v2"), "hopper")


# Reference returns


def test_reference_returns(project: Project) -> None:
    hopper = (-20.272305, 3234.3)
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2", "env": "InvertedPendulum-v5"})
    project.set("tasks.own", {"dataset": "file:own.hdf5", "env": "Hopper-v5"})
    tasks = project.load().tasks
    assert task_data.references(tasks["hopper"], "hopper") == hopper
    assert task_data.references(tasks["own"], "own") == hopper
    assert task_data.references(tasks["pendulum"], "pendulum") == (5.0, 105.0)
    del project.settings["tasks"]["pendulum"]["reference_returns"]
    with pytest.raises(
        UserError, match=r"tasks.pendulum: No reference returns .* Or set reference_returns: \[min, max\]"
    ):
        project.plan()


# Studies


def test_variants_by_name_and_by_value(project: Project) -> None:
    project.set("experiments.guidance.vary", {"max_backup": [True, False]}).set(
        "studies.tiny.experiments", ["guidance"]
    )
    assert [(cell.variant, cell.group.settings.max_backup) for cell in project.plan().cells] == [
        ("true", True), ("false", False),
    ]  # fmt: skip
    project.set("experiments.guidance.vary", {"hidden_sizes": [[8], [8, 16]]})
    assert [(cell.variant, cell.group.settings.hidden_sizes) for cell in project.plan().cells] == [
        ("[8]", (8,)), ("[8, 16]", (8, 16)),
    ]  # fmt: skip


def test_settings_that_do_not_go_together(project: Project) -> None:
    with pytest.raises(UserError, match=r"no study 'tyni'; allowed: tiny. Did you mean 'tiny'"):
        project.plan("tyni")
    project.set("report.window", 6)
    with pytest.raises(UserError, match=r"pendulum is evaluated 5 times in 40 steps, fewer than report.window \(6\)"):
        project.plan()
    project.set("report.window", 5).plan()
    project.set("studies.tiny.settings.steps", 10**18)
    with pytest.raises(UserError, match=r"in 10{18} steps it is evaluated every 10, more than 100000 times. Raise"):
        project.plan()
    project.set("studies.tiny.settings.steps", 40)
    with pytest.raises(UserError, match=r"fewer than kept_policies \(6\)"):
        project.set("studies.tiny.settings.kept_policies", 6).plan()
    with pytest.raises(UserError, match=r"eta_min is 2.0, more than eta_max, 1.0"):
        Project().set("tasks.pendulum.settings.eta_min", 2.0).set("studies.tiny.settings.eta_max", 1.0).plan()
    with pytest.raises(UserError, match=r"sampler_steps is 3, more than diffusion_steps, 2. Lower it"):
        Project().set("agent.sampler_steps", 3).plan()


MOONS = {"dataset": "bandit:two-moons", "env": "Bandit2D-v0", "reward_scaling": "none"}


def test_an_experiment_that_shows_a_bandit_has_bandits_and_draws_one_sample(project: Project) -> None:
    project.set("experiments.main.show", ["bandit"])
    with pytest.raises(UserError, match=r"experiments.main shows bandit, but its task pendulum has the dataset file:"):
        project.plan()
    project.set("tasks.pendulum", MOONS).plan()
    # Its page shows no last evaluations.
    project.set("report.window", 50).plan()
    with pytest.raises(UserError, match=r"in studies.tiny its evaluation.action_samples lacks 1"):
        project.set("experiments.main.evaluation", {"action_samples": [3]}).plan()


def test_a_bandits_targets_are_rewards(project: Project) -> None:
    before = project.set("tasks.pendulum", MOONS).group()
    for name in ("discount", "next_action_samples", "max_backup", "q_target", "lcb_coefficient"):
        changed = Project().set("tasks.pendulum", MOONS).set(f"studies.tiny.settings.{name}", OTHER[name]).group()
        assert changed.fingerprint == before.fingerprint, name
    assert "q_target" not in json.loads(before.identity)["versions"]
    assert group_with(project, ensemble_size=5).fingerprint != before.fingerprint


# The identity of a page


@pytest.mark.parametrize(
    ("place", "value", "renders"),
    [
        ("report.window", 1, True),
        ("report.curve_band", "ci", True),
        ("studies.tiny.description", "Said otherwise.", True),
        ("studies.tiny.seeds", [0, 1, 2], True),
        ("experiments.main.title", "Another title", True),
        ("experiments.main.show", ["scores", "curves"], True),
        ("experiments.main.published", ["DAC"], True),
        ("experiments.main.variants", {"renamed": {}}, True),
        ("tasks.pendulum.reference_returns", [5.0, 10.0], True),
        ("tasks.pendulum.settings.lcb_coefficient", 0.75, True),
        ("evaluation.episodes", 3, True),
        ("experiments.guidance.title", "Of another study", False),
        ("compute.pack_size", 1, False),
        ("tasks.replay.reward_scaling", "none", False),
    ],
)
def test_what_a_page_is_made_of(place: str, value: Any, renders: bool, project: Project) -> None:
    before = project.plan().fingerprint
    assert (project.set(place, value).plan().fingerprint != before) is renders


def test_a_page_depends_on_the_report_version(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project.plan().fingerprint
    monkeypatch.setattr(versions, "REPORT", versions.REPORT + 1)
    assert project.plan().fingerprint != before


def test_a_page_shows_where_its_data_come_from(project: Project) -> None:
    before = project.plan()
    shutil.copy("data/pendulum.hdf5", "elsewhere.hdf5")
    after = project.set("tasks.pendulum.dataset", "file:elsewhere.hdf5").plan()
    assert after.cells[0].group.fingerprint == before.cells[0].group.fingerprint
    assert after.fingerprint != before.fingerprint


def test_a_page_shows_what_is_varied(project: Project) -> None:
    """The same cells, once as named variants and once as values of a setting."""
    project.set("studies.tiny.experiments", ["guidance"])
    swept = project.plan()
    experiment = project.settings["experiments"]["guidance"]
    del experiment["vary"]
    experiment["variants"] = {"soft": {"guidance": "soft"}, "none": {"guidance": "none"}}
    assert project.plan().cells == swept.cells
    assert project.plan().fingerprint != swept.fingerprint


# Jobs look up what they were started for


def job(project: Project) -> tuple[StudyPlan, Cell]:
    found = project.plan()
    return found, found.cells[0]


def test_a_job_finds_its_group_and_its_evaluations(project: Project) -> None:
    found, cell = job(project)
    group = plan.find_group(found.params, "pendulum", cell.group.name)
    assert group == cell.group
    wanted = [evaluation.fingerprint for evaluation in cell.evaluations[::-1]]
    assert plan.find_evaluations(found.params, group, wanted) == list(cell.evaluations[::-1])


def test_a_job_refuses_when_params_changed(project: Project) -> None:
    _, cell = job(project)
    changed = project.set("evaluation.episodes", 7).load()
    with pytest.raises(UserError, match=rf"no longer asks for evaluation {cell.evaluations[0].fingerprint}, "):
        plan.find_evaluations(changed, cell.group, [item.fingerprint for item in cell.evaluations])
    changed = project.set("tasks.pendulum.settings.lcb_coefficient", 0.75).load()
    with pytest.raises(UserError, match=rf"no longer describes pendulum/{cell.group.name}. Nothing was written"):
        plan.find_group(changed, "pendulum", cell.group.name)
    with pytest.raises(UserError, match="no longer describes"):
        plan.find_group(Project().load(), "replay", cell.group.name)


def test_a_job_depends_on_no_other_task(project: Project) -> None:
    """Data that another study still lacks are no reason to refuse."""
    _, cell = job(project)
    project.set("tasks.own", {"dataset": "file:not-there.hdf5", "env": "Hopper-v5"})
    project.set("experiments.own", {"title": "Own", "tasks": ["own"], "variants": {"soft": {}}})
    own = {**project.settings["studies"]["tiny"], "experiments": ["own"]}
    project.settings["studies"] = {"own": own, **project.settings["studies"]}
    params = project.load()
    with pytest.raises(UserError, match=r"not-there.hdf5"):
        plan.study_plan(params, "own")
    assert plan.find_group(params, "pendulum", cell.group.name) == cell.group
    evaluation = cell.evaluations[0]
    assert plan.find_evaluations(params, cell.group, [evaluation.fingerprint]) == [evaluation]
