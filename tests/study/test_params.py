"""The committed params.yaml against the paper, and the schema's defaults and overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from dac.report.comparable import differences
from dac.study import check
from dac.study.params import AgentSettings, Overrides, Params, Preset, Settings, TrainingSettings
from dac.study.plan import study_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def committed() -> Params:
    return check.load(ROOT / "params.yaml")


LOCOMOTION = [f"{robot}-{data}-v2" for robot in ("walker2d", "hopper", "halfcheetah")
              for data in ("medium", "medium-replay", "medium-expert")]  # fmt: skip
# The paper's appendix (arXiv 2405.20555) with the released code: bc_threshold, eta, eta_lr, lcb_coefficient, critic_lr,
# max_backup. The threshold is unused where eta is fixed.
PAPER_SETTINGS = {
    "walker2d-medium-v2": (1.0, 1.0, 1e-3, 1.0, 3e-4, False),
    "walker2d-medium-replay-v2": (1.0, 1.0, 1e-3, 1.0, 3e-4, False),
    "walker2d-medium-expert-v2": (1.0, 1.0, 1e-3, 1.0, 3e-4, False),
    "hopper-medium-v2": (1.0, 1.0, 1e-3, 1.5, 3e-4, False),
    "hopper-medium-replay-v2": (1.0, 1.0, 1e-3, 1.5, 3e-4, False),
    "hopper-medium-expert-v2": (0.05, 1.0, 1e-3, 1.5, 3e-4, False),
    "halfcheetah-medium-v2": (1.0, 1.0, 1e-3, 0.0, 3e-4, False),
    "halfcheetah-medium-replay-v2": (1.0, 1.0, 1e-3, 0.0, 3e-4, False),
    "halfcheetah-medium-expert-v2": (0.1, 1.0, 1e-3, 0.0, 3e-4, False),
    "antmaze-umaze-v0": (None, 0.1, 0.0, 1.0, 3e-4, True),
    "antmaze-umaze-diverse-v0": (None, 0.1, 0.0, 1.0, 3e-4, True),
    "antmaze-medium-play-v0": (None, 0.1, 0.0, 1.0, 3e-4, True),
    "antmaze-medium-diverse-v0": (None, 0.1, 0.0, 1.0, 3e-4, True),
    "antmaze-large-play-v0": (None, 0.1, 0.0, 1.1, 1e-3, True),
    "antmaze-large-diverse-v0": (None, 0.1, 0.0, 1.0, 1e-3, True),
}
# What is equal everywhere.
PAPER_DEFAULTS = {
    "guidance": "soft", "q_target": "lcb", "ensemble_size": 10, "next_action_samples": 10, "diffusion_steps": 5,
    "beta_schedule": "vp", "sampler": "ddpm", "clip_denoised": True, "hidden_sizes": [256, 256, 256], "discount": 0.99,
    "actor_lr": 3e-4, "gradient_clip": 1.0, "target_rate": 0.005, "actor_ema_start": 1000, "actor_ema_interval": 5,
    "eta_min": 1e-3, "eta_max": 100.0, "steps": 2_000_000, "batch_size": 256, "lr_decay": "cosine",
    "eval_interval": 10_000, "eval_episodes": 10, "eval_action_samples": 10, "kept_policies": 5,
}  # fmt: skip


def test_the_paper_study_has_the_papers_settings(committed: Params) -> None:
    plan = study_plan(committed, "paper")
    main = [cell for cell in plan.cells if cell.experiment == "main"]
    assert [cell.task for cell in main] == list(PAPER_SETTINGS)
    assert plan.seeds == tuple(range(8))
    for cell in main:
        settings, values = cell.group.settings, cell.group.settings.as_json()
        threshold, *others = PAPER_SETTINGS[cell.task]
        names = ("eta", "eta_lr", "lcb_coefficient", "critic_lr", "max_backup")
        assert [values[name] for name in names] == others, cell.task
        assert threshold is None or settings.bc_threshold == threshold, cell.task
        assert {name: values[name] for name in PAPER_DEFAULTS} == PAPER_DEFAULTS, cell.task
        assert cell.group.dataset.id == f"d4rl:{cell.task}"
        assert cell.group.reward_scaling == "locomotion"
        assert [evaluation.action_samples for evaluation in cell.evaluations] == [10]
    assert committed.report.window == 5


def test_the_other_experiments_of_the_paper(committed: Params) -> None:
    experiments = {name: committed.experiments[name] for name in committed.studies["paper"].experiments}
    hopper = {task for task in LOCOMOTION if task.startswith("hopper")}
    assert set(experiments["guidance"].tasks) == set(LOCOMOTION)
    assert experiments["guidance"].vary == {"guidance": ("soft", "hard", "denoised")}
    assert set(experiments["ensemble_size"].tasks) == hopper
    assert {2, 5, 10} <= set((experiments["ensemble_size"].vary or {})["ensemble_size"])
    assert set(experiments["action_samples"].tasks) == hopper
    assert len(experiments["action_samples"].evaluation.action_samples or ()) >= 5
    assert set(experiments["q_target"].tasks) == set(LOCOMOTION)
    assert experiments["q_target"].vary == {"q_target": ("lcb", "min")}


def test_the_defaults_of_the_schema_are_those_of_the_file(committed: Params) -> None:
    assert committed.agent == AgentSettings()
    # A project that does not name a precision keeps its float32 runs; the file names what a GPU is fast at.
    assert committed.training == TrainingSettings(precision="tf32")


def test_the_quick_study_needs_no_download(committed: Params) -> None:
    sources = {cell.group.dataset.source for cell in study_plan(committed, "quick").cells}
    assert sources == {"collect", "bandit"}


def test_the_quick_study_works_in_float32_on_any_processor(committed: Params) -> None:
    assert {cell.group.settings.precision for cell in study_plan(committed, "quick").cells} == {"fp32"}


def test_the_data_of_the_quick_study_depend_on_no_machines_rounding(committed: Params) -> None:
    """Recorded policies or what is drawn, never a training."""
    datasets = {cell.group.dataset for cell in study_plan(committed, "quick").cells}
    collected = [dataset.name.rpartition("/")[0] for dataset in datasets if dataset.source == "collect"]
    assert sorted(collected) == ["HalfCheetah-v5", "Pendulum-v1"]
    assert all(committed.collect[env].policies is not None for env in collected)


def test_the_tasks_of_the_quick_study_choose_their_reward_scaling(committed: Params) -> None:
    tasks = {cell.task for cell in study_plan(committed, "quick").cells}
    assert all("reward_scaling" in committed.tasks[task].model_fields_set for task in tasks)


def test_values_settle_within_the_steps_of_the_preset_for_small_data(committed: Params) -> None:
    cells = [cell for cell in study_plan(committed, "quick").cells if cell.experiment == "quick_guidance"]
    for settings in (cell.group.settings for cell in cells):
        assert 1 / (settings.target_rate * (1 - settings.discount)) == pytest.approx(1000)
        assert (settings.steps, settings.eta_lr, settings.eta) == (5000, 0.0, 0.05)
    assert {tuple(item.action_samples for item in cell.evaluations) for cell in cells} == {(1, 3, 10)}


def test_the_bandit_study_has_the_papers_settings(committed: Params) -> None:
    cells = study_plan(committed, "bandit").cells
    assert {(cell.task, cell.variant) for cell in cells} >= {
        (f"bandit-{name}", variant)
        for name in ("two-gaussians", "three-gaussians", "two-moons", "two-circles")
        for variant in ("soft", "hard", "denoised", "BC")
    }
    published = {
        "steps": 20000, "batch_size": 128, "hidden_sizes": [64, 64, 64], "diffusion_steps": 50, "actor_lr": 1e-3,
        "critic_lr": 1e-3, "lr_decay": "cosine", "ensemble_size": 5, "bc_threshold": 1.3, "eta": 1.0, "eta_lr": 0.01,
        "actor_ema_start": 10, "eval_action_samples": 1,
    }  # fmt: skip
    for cell in cells:
        assert {key: cell.group.settings.as_json()[key] for key in published} == published
        assert cell.group.settings.clip_denoised == ("clipped" in cell.variant)
        assert [(item.action_samples, item.episodes) for item in cell.evaluations] == [(1, 1000)]
    assert study_plan(committed, "bandit").seeds == (0, 1, 2, 3, 4)
    quick = [cell for cell in study_plan(committed, "quick").cells if cell.experiment == "quick_bandit"]
    assert {item.episodes for cell in quick for item in cell.evaluations} == {1000}
    paper = {cell.group for cell in study_plan(committed, "paper").cells}
    assert {cell.group for cell in cells} <= paper


def test_overrides_hold_every_setting_of_agent_and_training() -> None:
    assert Preset.model_fields.keys() == Settings().as_json().keys()
    assert Overrides.model_fields.keys() == {*Preset.model_fields, "preset"}
    assert Overrides().model_dump(exclude_unset=True) == {}
    assert Overrides(steps=5).model_dump(exclude_unset=True) == {"steps": 5}


MAZES = {"open": "umaze", "umaze": "umaze", "medium": "medium-play", "large": "large-diverse"}
# The paper's task whose settings a task of the study minari has; None where the paper has no settings.
NEAREST = {
    **{f"minari-{robot}-medium": f"{robot}-medium-v2" for robot in ("walker2d", "hopper", "halfcheetah")},
    **{f"minari-{robot}-expert": f"{robot}-medium-expert-v2" for robot in ("walker2d", "hopper", "halfcheetah")},
    **{f"minari-{name.removesuffix('-v0')}": name for name in PAPER_SETTINGS if name.startswith("antmaze")},
    **{f"minari-pen-{kind}": None for kind in ("human", "cloned", "expert")},
    **{f"minari-kitchen-{kind}": None for kind in ("complete", "partial", "mixed")},
    **{
        f"minari-pointmaze-{maze}{dense}": f"antmaze-{alike}-v0"
        for maze, alike in MAZES.items()
        for dense in ("", "-dense")
    },
}


def test_the_minari_study_has_the_settings_of_the_nearest_task_of_the_paper(committed: Params) -> None:
    plan = study_plan(committed, "minari")
    assert {cell.task for cell in plan.cells} == NEAREST.keys()
    for cell in plan.cells:
        nearest = NEAREST[cell.task]
        settings = committed.tasks[nearest].settings if nearest else Overrides()
        assert committed.tasks[cell.task].settings == settings
        assert cell.group.dataset.source == "minari"
        assert cell.group.env == cell.group.dataset.id, "evaluated in what the data recover"


def test_the_minari_study_stands_beside_no_published_score(committed: Params) -> None:
    plan = study_plan(committed, "minari")
    for cell in plan.cells:
        experiment = committed.experiments[cell.experiment]
        assert experiment.published == ()
        assert "no score here may stand beside a published one" in experiment.description
        assert differences(plan, cell) == ("other data than D4RL's",)


def test_the_returns_that_the_scores_of_the_minari_study_refer_to(committed: Params) -> None:
    cells = study_plan(committed, "minari").cells
    found = {cell.task.removeprefix("minari-"): cell.evaluations[0].reference for cell in cells}
    assert found["hopper-expert"] == (-20.272305, 3234.3)
    assert found["antmaze-large-play"] == found["pointmaze-open"] == found["pointmaze-large"] == (0.0, 1.0)
    assert found["pen-human"] == (96.262799, 3076.8331017826877)
    assert found["kitchen-mixed"] == (0.0, 4.0)
    # maze2d's of D4RL, d4rl/infos.py
    assert found["pointmaze-open-dense"] == (11.17817, 27.166538620695782)
    assert found["pointmaze-umaze-dense"] == (68.537689, 193.66285642381482)
    assert found["pointmaze-medium-dense"] == (44.264742, 297.4552547777125)
    assert found["pointmaze-large-dense"] == (30.569041, 303.4857382709002)
