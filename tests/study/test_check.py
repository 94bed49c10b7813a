from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import PARAMS, Project, write_rows

from dac.study import check, safe_yaml
from dac.study.params import Params, Preset
from dac.study.plan import study_plan
from dac.system.errors import UserError

ROOT = Path(__file__).parents[2]


def problems(project: Project) -> list[str]:
    """The places that loading complains of, one line each."""
    with pytest.raises(UserError) as caught:
        project.load()
    head, *lines = str(caught.value).splitlines()
    assert head == f"params.yaml: {len(lines)} problem{'s' if len(lines) > 1 else ''}; nothing was run."
    return [line.removeprefix("  - ") for line in lines]


def problem(project: Project) -> str:
    (found,) = problems(project)
    return found


def load_text(text: str) -> Params:
    Path("params.yaml").write_text(text)
    return check.load()


# Presets and claims


def test_a_preset_that_does_not_exist(project: Project) -> None:
    project.set("presets", {"short": {"steps": 5}})
    said = "studies.tiny.settings.preset: no preset 'shrt'; allowed: short. Did you mean 'short'?"
    assert problem(project.set("studies.tiny.settings.preset", "shrt")) == said
    project.set("studies.tiny.settings.preset", "short")
    assert problem(project.set("experiments.guidance.vary", {"preset": ["short", "long"]})).startswith(
        "experiments.guidance.vary.preset[1]: no preset 'long'; allowed: short."
    )


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (
            {"higher": {"variant": "sofd"}, "lower": "data"},
            "experiments.main.claims[0].higher.variant: no variant 'sofd'; allowed: soft. Did you mean 'soft'?",
        ),
        (
            {"higher": {"variant": "soft"}, "lower": {"variant": "soft"}, "measure": "inside"},
            "experiments.main.claims[0].measure: found 'inside'; inside and reward are of an experiment that shows a "
            "bandit alone, step_ms and actor_ms of one that times steps, score of any other",
        ),
        (
            {"higher": {"variant": "soft"}, "lower": "data", "tasks": ["pendulum", "replay"]},
            "experiments.main.claims[0].tasks[1]: 'replay' is no task of this experiment; allowed: pendulum.",
        ),
        (
            {"higher": {"variant": "soft"}, "lower": "data", "tasks": ["pendulum", "pendulum"]},
            "experiments.main.claims[0].tasks[1]: 'pendulum' stands twice; each may stand once",
        ),
        (
            {"higher": {"variant": "soft"}, "lower": "data", "tasks": []},
            "experiments.main.claims[0].tasks: found []; at least 1 of them is needed",
        ),
        (
            {"higher": {"variant": "soft"}, "lower": "dta"},
            "experiments.main.claims[0].lower: found 'dta'; allowed is a variant, such as {variant: soft}, or data",
        ),
        (
            {"higher": {"variant": "soft"}, "lower": {"variant": "soft", "valu": 5}},
            "experiments.main.claims[0].lower.valu: unknown key; allowed: action_samples, value, variant. Did you mean "
            "'value'?",
        ),
    ],
)
def test_a_claim_that_cannot_be_measured(claim: dict[str, Any], said: str, project: Project) -> None:
    assert problem(project.set("experiments.main.claims", [{"says": "It works", **claim}])) == said


PAGES = ("data", "recorded-policies")
DOCUMENTED = [re.findall(r"```yaml\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL) for page in PAGES]


@pytest.mark.parametrize("texts", DOCUMENTED, ids=PAGES)
def test_the_example_of_a_page_is_taken_as_it_stands(
    texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = safe_yaml.read((ROOT / "params.yaml").read_text())
    (text,) = texts
    for section, entries in safe_yaml.read(text).items():
        content[section] |= entries
    loaded = check.validated(content)
    assert "reward_scaling" in loaded.tasks["mine"].model_fields_set
    if "mine" in loaded.studies:
        write_rows(Path("data/mine.hdf5"), observation_dim=3)
        settings = [cell.group.settings for cell in study_plan(loaded, "mine").cells]
        assert [(item.steps, item.guidance) for item in settings] == [(5000, "soft"), (5000, "none")]


def test_reading_imports_no_torch() -> None:
    code = (
        "import sys; from dac.cost import estimate; from dac.study import dual_ascent, dvc, params, pending;"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "False\n"


# Keys


def test_the_tiny_project_loads(project: Project) -> None:
    loaded = project.load()
    assert loaded.agent.lcb_coefficient == 1.0
    assert loaded.tasks["pendulum"].settings.model_dump(exclude_unset=True) == {"lcb_coefficient": 0.5}
    assert loaded.studies["tiny"].seeds == (0, 1)


@pytest.mark.parametrize(
    ("place", "close", "other"),
    [
        ("agent.guidence", "guidance", "q_target"),
        ("training.step", "steps", "batch_size"),
        ("evaluation.episode", "episodes", "action_samples"),
        ("report.windw", "window", "confidence"),
        ("compute.packsize", "pack_size", "device"),
        ("collect.InvertedPendulum-v5.sac.gradient_step", "gradient_steps", "tau"),
        ("collect.InvertedPendulum-v5.levels.expert.at_returns", "at_return", "transitions"),
        ("tasks.pendulum.reward_scalin", "reward_scaling", "dataset"),
        ("tasks.pendulum.settings.lcb_coeficient", "lcb_coefficient", "eval_interval"),
        ("experiments.main.variants.soft.ensemble_sizes", "ensemble_size", "steps"),
        ("experiments.main.evaluation.episode", "episodes", "action_samples"),
        ("studies.tiny.seed", "seeds", "experiments"),
        ("studies.tiny.settings.batchsize", "batch_size", "guidance"),
    ],
)
def test_an_unknown_key_is_placed_and_the_closest_is_offered(
    place: str, close: str, other: str, project: Project
) -> None:
    found = problem(project.set(place, 1))
    assert found.startswith(f"{place}: unknown key; allowed: ")
    assert other in found
    assert found.endswith(f" Did you mean {close!r}?")


def test_an_unknown_section(project: Project) -> None:
    assert problem(project.set("study", {})).startswith(
        "study: unknown key; allowed: agent, collect, compute, dvc_study"
    )


def test_a_missing_key(project: Project) -> None:
    del project.settings["tasks"]["pendulum"]["dataset"]
    del project.settings["report"]
    assert problems(project) == [
        "report: this key is required and missing",
        "tasks.pendulum.dataset: this key is required and missing",
    ]


def test_a_key_that_stands_twice(project: Project) -> None:
    with pytest.raises(UserError, match=r"(?s)params.yaml: .*duplicate key \"steps\" with value \"20\".*line 2"):
        load_text("training: {steps: 10,\n  steps: 20}\n")


def test_a_key_may_override_a_merged_one(project: Project) -> None:
    text = json.dumps({**PARAMS, "training": 0, "studies": 0})
    text = text.replace('"training": 0', '"training": &base {steps: 10, batch_size: 3}')
    study = "{experiments: [main], seeds: [0], settings: {<<: *base, steps: 20}}"
    loaded = load_text(text.replace('"studies": 0', f'"studies": {{tiny: {study}}}'))
    assert loaded.studies["tiny"].settings.model_dump(exclude_unset=True) == {"steps": 20, "batch_size": 3}


# Values


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("agent.discount", "high", "found 'high'; input should be a valid number"),
        ("agent.discount", 1.5, "found 1.5; input should be less than or equal to 1"),
        ("agent.discount", float("nan"), "found nan; input should be a finite number"),
        ("agent.eta_max", float("inf"), "found inf; input should be a finite number"),
        ("agent.actor_lr", 0, "found 0; input should be greater than 0"),
        ("agent.lcb_coefficient", None, "found None; input should be a valid number"),
        ("agent.max_backup", 1, "found 1; input should be a valid boolean"),
        ("agent.max_backup", "yes", "found 'yes'; input should be a valid boolean"),
        ("agent.hidden_sizes", 256, "found 256; a list is needed, such as [a, b]"),
        ("agent.hidden_sizes", [], "found []; at least 1 of them is needed"),
        ("agent.ensemble_size", True, "found True; input should be a valid integer"),
        ("training.kept_policies", 0, "found 0; input should be greater than or equal to 1"),
        ("report.confidence", 1, "found 1; input should be less than 1"),
        ("compute.evaluation_workers", 257, "found 257; allowed: auto, or a whole number from 0 to 256"),
        ("compute.evaluation_workers", True, "found True; allowed: auto, or a whole number from 0 to 256"),
        ("compute.evaluation_workers", "some", "found 'some'; allowed: auto, or a whole number from 0 to 256"),
        ("compute.device", "gpu", "found 'gpu'; allowed: auto, cpu, cuda, cuda:<index>"),
        (
            "compute.d4rl_mirrors",
            ["ftp://x.example/d4rl"],
            "found 'ftp://x.example/d4rl'; allowed is an address (http://",
        ),
        ("compute.d4rl_mirrors", "/disk/d4rl", "found '/disk/d4rl'; allowed is a list of addresses"),
        ("tasks.pendulum.dataset", "pendulum.hdf5", "found 'pendulum.hdf5'; allowed is <source>:<name>"),
        ("tasks.pendulum.dataset", "files:pendulum.hdf5", "no source 'files'; allowed: d4rl, minari, file, "),
        ("tasks.pendulum.settings.eta", None, "found None; input should be a valid number"),
        ("tasks.pendulum.reference_returns", [0.0], "this key is required and missing"),
        ("studies.tiny.seeds", [], "found []; at least 1 of them is needed"),
        ("agent", 3, "found 3; keys with values are needed"),
    ],
)
def test_a_wrong_value(place: str, value: Any, said: str, project: Project) -> None:
    found = problem(project.set(place, value))
    assert found.startswith(place)
    assert said in found


def test_a_wrong_choice(project: Project) -> None:
    said = "agent.guidance: found 'sotf'; allowed: soft, hard, denoised, none. Did you mean 'soft'?"
    assert problem(project.set("agent.guidance", "sotf")) == said


@pytest.mark.parametrize(
    ("written", "number"),
    [("1e-4", 1e-4), ("5e-05", 5e-5), ("1e4", 1e4), ("2.5e3", 2500.0), ("1E-4", 1e-4), (".5", 0.5), ("1.0e-4", 1e-4)],
)
def test_a_number_in_any_spelling_of_yaml(written: str, number: float, project: Project) -> None:
    """Also as `dvc exp run -S` writes one."""
    text = json.dumps(project.set("agent.actor_lr", 0).settings).replace('"actor_lr": 0', f'"actor_lr": {written}')
    assert load_text(text).agent.actor_lr == number


def test_a_number_in_quotes(project: Project) -> None:
    said = "agent.actor_lr: found '0.5'; input should be a valid number. Write it without quotes"
    assert problem(project.set("agent.actor_lr", "0.5")) == said


@pytest.mark.parametrize("written", ["2e6", "2.0e+6", "'2000000'"])
def test_a_whole_number_in_another_spelling(written: str, project: Project) -> None:
    text = json.dumps(project.set("training.steps", 0).settings).replace('"steps": 0}', f'"steps": {written}}}')
    with pytest.raises(UserError, match=r"training.steps: found .* Write it without .*: 2000000$"):
        load_text(text)


def test_a_whole_number_is_a_float_too(project: Project) -> None:
    discount = project.set("agent.discount", 1).load().agent.discount
    assert (discount, type(discount)) == (1.0, float)


def test_all_mistakes_are_listed_at_once(project: Project) -> None:
    project.set("agent.guidence", "soft").set("training.steps", -1).set("tasks.pendulum.settings.eta", "0.1")
    project.set("studies.tiny.seeds", [0, -1])
    places = [found.partition(": ")[0] for found in problems(project)]
    expected = ["agent.guidence", "training.steps", "tasks.pendulum.settings.eta", "studies.tiny.seeds[1]"]
    assert sorted(places) == sorted(expected)


def test_a_date_is_text_and_placed(project: Project) -> None:
    text = json.dumps(project.set("training.steps", 0).settings).replace('"steps": 0}', '"steps": 2024-01-01}')
    with pytest.raises(UserError, match=r"training.steps: found '2024-01-01'; input should be a valid integer"):
        load_text(text)


def test_what_is_no_yaml_or_not_there(project: Project) -> None:
    with pytest.raises(UserError, match=r"(?s)params.yaml: not readable as YAML: .*line 1"):
        load_text("agent: [")
    with pytest.raises(UserError, match=r"params.yaml: not readable as YAML"):
        load_text("? [1, 2]\n: 3\n")
    with pytest.raises(UserError, match=r"the file: found None; keys with values are needed"):
        load_text("")
    Path("params.yaml").unlink()
    with pytest.raises(
        UserError, match=r"params.yaml: no such file in .* the project's root folder, or another one that has it"
    ):
        check.load()


# What one section says of another


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("dvc_study", "tyny", "dvc_study: found 'tyny'; allowed: tiny. Did you mean 'tiny'?"),
        ("experiments.main.tasks", ["pendulum", "pendulun"],
         "experiments.main.tasks[1]: unknown task 'pendulun'; allowed: pendulum, replay. Did you mean 'pendulum'?"),
        ("experiments.main.tasks", ["replay", "replay"],
         "experiments.main.tasks[1]: 'replay' stands twice; each may stand once"),
        ("experiments.main.variants", {},
         "experiments.main.variants: found none; name at least one, for example `dac: {}`"),
        ("experiments.guidance.variants", {"soft": {}},
         "experiments.guidance: give exactly one of variants (named settings) and vary (one key and its values)"),
        ("experiments.main.show", ["scores", "curvse"],
         "experiments.main.show[1]: found 'curvse'; allowed: action_samples, aggregates, bandit, "),
        ("experiments.main.published", ["DAC", "DQN"],
         "experiments.main.published[1]: found 'DQN'; allowed: 10%BC, AWAC, "),
        ("experiments.guidance.vary", {"eta": [1.0], "eta_lr": [0.0]},
         "experiments.guidance.vary: found 2 keys (eta, eta_lr); vary exactly one"),
        ("experiments.guidance.vary", {"lcb_coeficient": [1.0]},
         "experiments.guidance.vary.lcb_coeficient: no such setting; allowed: "),
        ("experiments.guidance.vary", {"action_samples": [1, 10]},
         "experiments.guidance.vary.action_samples: N_a needs no training; list its values in the experiment's "
         "evaluation.action_samples"),
        ("experiments.guidance.vary", {"guidance": ["soft", "weak"]},
         "experiments.guidance.vary.guidance[1]: found 'weak'; allowed: soft, hard, denoised, none."),
        ("experiments.guidance.vary", {"actor_lr": [0.1, "0.2"]},
         "experiments.guidance.vary.actor_lr[1]: found '0.2'; input should be a valid number. Write it without"),
        ("experiments.guidance.vary", {"eta": [float("nan")]},
         "experiments.guidance.vary.eta[0]: found nan; input should be a finite number"),
        ("experiments.guidance.vary", {"hidden_sizes": [[8], [8, 0]]},
         "experiments.guidance.vary.hidden_sizes[1][1]: found 0; input should be greater than or equal to 1"),
        ("experiments.guidance.vary", {"eta": [2, 2.0]},
         "experiments.guidance.vary.eta[1]: 2.0 stands twice; each may stand once"),
        ("experiments.guidance.vary", {"eta": []},
         "experiments.guidance.vary.eta: found []; at least 1 of them is needed"),
        ("studies.tiny.experiments", ["main", "guidence"],
         "studies.tiny.experiments[1]: unknown experiment 'guidence'; allowed: main, guidance. Did you mean"),
        ("studies.tiny.seeds", [0, 1, 0], "studies.tiny.seeds[2]: 0 stands twice; each may stand once"),
        ("agent.eta_min", 200.0, "agent.eta_min: found 200.0; must not exceed eta_max, 100.0"),
        ("tasks.pendulum", {"dataset": "bandit:two-moon", "env": "Bandit2D-v0"},
         "tasks.pendulum.dataset: no behaviour set 'two-moon'; allowed: two-gaussians, three-gaussians, two-moons, "
         "two-circles. Did you mean 'two-moons'?"),
        ("tasks.pendulum", {"dataset": "bandit:two-moons", "env": "Hopper-v5"},
         "tasks.pendulum.env: found 'Hopper-v5'; a bandit's behaviour sets are evaluated in Bandit2D-v0"),
        ("tasks.pendulum.reference_returns", [2.0, 2.0],
         "tasks.pendulum.reference_returns: found [2.0, 2.0]; the first must be the smaller"),
    ],
)  # fmt: skip
def test_a_reference_that_does_not_hold(place: str, value: Any, said: str, project: Project) -> None:
    assert problem(project.set(place, value)).startswith(said)


@pytest.mark.parametrize(
    "name", ["all", "collect", "fetch", "train", "evaluate", "report", "runs", "datasets", "my_runs", "my_datasets"]
)
def test_a_study_named_like_a_rule_or_a_folder_of_the_store(name: str, project: Project) -> None:
    project.set(f"studies.{name}", project.settings["studies"]["tiny"])
    assert problem(project).startswith(f"studies.{name}: a study may not take the name of a rule or a folder (all, ")


def with_name(project: Project, section: str, name: str) -> str:
    """What is said of a name in a section, for what has another one there."""
    entries = project.settings[section]
    entries[name] = entries.pop(next(iter(entries)))
    return next(found for found in problems(project) if "this name is not allowed" in found)


@pytest.mark.parametrize("name", ["a-b", "a.b", "1st", "a/b", "ü", "x" * 41])
@pytest.mark.parametrize("section", ["studies", "experiments"])
def test_a_name_that_is_no_identifier(section: str, name: str, project: Project) -> None:
    said = "this name is not allowed; allowed are letters, digits and _, a letter first, at most 40"
    assert with_name(project, section, name) == f"{section}.{name}: {said}"


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "a b"])
def test_a_task_name_that_is_no_folder_name(name: str, project: Project) -> None:
    said = "this name is not allowed; allowed are letters, digits and _ . -, a letter or digit first, at most 80"
    assert with_name(project, "tasks", name) == f"tasks.{name}: {said}"


HOSTILE = [
    "-x",
    "--help",
    "a b",
    "a'b",
    'a"b',
    "$(touch x)",
    "`touch x`",
    "a;touch x",
    "a|x",
    "a&x",
    "a>x",
    "{x}",
    "a\nb",
    "..",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("section", ["studies", "experiments", "presets", "tasks", "collect"])
def test_a_name_that_a_shell_or_a_folder_might_take_for_something_else(
    section: str, name: str, project: Project
) -> None:
    project.set("presets.small", {})
    shown = name if name.isprintable() else repr(name)
    assert with_name(project, section, name).startswith(f"{section}.{shown}: this name is not allowed; allowed ")


@pytest.mark.parametrize("env_id", ["Hopper-v5", "phys2d/CartPole-v1", "package.module:Name-v0", "D4RL/a.b_c-v1"])
def test_ids_of_environments_are_names(env_id: str, project: Project) -> None:
    project.set("collect", {env_id: project.settings["collect"]["InvertedPendulum-v5"]}).set("tasks.replay", None)
    del project.settings["tasks"]["replay"]
    assert env_id in project.load().collect


UNSEEN = ["", " ", "a\n", "a\nb", " a", "a\t", "a\u2028b"]


@pytest.mark.parametrize("name", UNSEEN)
@pytest.mark.parametrize("section", ["studies", "experiments", "tasks"])
def test_a_name_that_nobody_sees_stands_in_quotes(section: str, name: str, project: Project) -> None:
    assert with_name(project, section, name).startswith(f"{section}.{name!r}: this name is not allowed; allowed are ")


@pytest.mark.parametrize("name", [*UNSEEN, "x" * 61])
def test_a_variant_name_that_is_no_line(name: str, project: Project) -> None:
    shown = name if name.startswith("x") else repr(name)
    rule = "allowed is a line of 60 characters at most, that neither begins nor ends with a space"
    found = problem(project.set("experiments.main.variants", {name: {}}))
    assert found == f"experiments.main.variants.{shown}: this name is not allowed; {rule}"


@pytest.mark.parametrize("name", ["denoised, clipped", "ρ = 1", "x" * 60])
def test_a_variant_name_may_be_any_other_line(name: str, project: Project) -> None:
    assert project.set("experiments.main.variants", {name: {}}).plan().cells[0].variant == name


@pytest.mark.parametrize("title", [*UNSEEN, "x" * 201])
def test_a_title_that_is_no_line(title: str, project: Project) -> None:
    said = "allowed is a line of 200 characters at most, that neither begins nor ends with a space"
    assert problem(project.set("experiments.main.title", title)) == f"experiments.main.title: found {title!r}; {said}"


# Recipes


RECIPE = "collect.InvertedPendulum-v5"


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("levels.mediun", {"at_step": 1},
         "levels.mediun: found 'mediun'; allowed: medium, medium-replay, expert, mixed. Did you mean 'medium'?"),
        ("levels.mixed", {"at_step": 1},
         "levels.mixed: SAC has no such level, recorded policies have; allowed: medium, medium-replay, expert"),
        ("levels.medium-replay", {}, "levels.medium-replay: give exactly one of at_step and at_return"),
        ("levels.medium-replay", {"at_step": 1, "at_return": 2.0},
         "levels.medium-replay: give exactly one of at_step and at_return"),
        ("levels.medium-replay", {"at_step": 301},
         "levels.medium-replay.at_step: found 301; must not exceed sac.steps, 300"),
        ("levels.medium-replay", {"at_step": 1, "transitions": 5},
         "levels.medium-replay.transitions: found 5; has none: it is the replay buffer so far"),
        ("levels.expert", {"at_step": 1}, "levels.expert.transitions: found None; is required"),
        ("sac", {"learning_starts": 5}, "sac.steps: this key is required and missing"),
        ("sac.gamma", 0.0, "sac.gamma: found 0.0; input should be greater than 0"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_followed(place: str, value: Any, said: str, project: Project) -> None:
    assert problem(project.set(f"{RECIPE}.{place}", value)) == f"{RECIPE}.{said}"


POLICIES = {"files": ["Pendulum-v1-5000"], "noise": [0.0, 0.5]}


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("sac", {"steps": 5},
         ": give exactly one of sac (it trains and is recorded) and policies (recorded ones, with noise)"),
        ("policies", None,
         ": give exactly one of sac (it trains and is recorded) and policies (recorded ones, with noise)"),
        ("policies.files", [], ".policies.files: found []; at least 1 of them is needed"),
        ("policies.files", ["Pendulum-v1-50000"],
         ".policies.files[0]: no recorded policy 'Pendulum-v1-50000'; allowed: HalfCheetah-v5-12500, "
         "HalfCheetah-v5-17500, Pendulum-v1-2000, Pendulum-v1-5000. Did you mean 'Pendulum-v1-5000'? Or give a file of "
         "your own, which ends in .safetensors"),
        ("policies.files", ["Pendulum-v1-5000", "Pendulum-v1-5000"],
         ".policies.files[1]: 'Pendulum-v1-5000' stands twice; each may stand once"),
        ("policies.noise", [0.5, 0.25], ".policies.noise: found [0.5, 0.25]; the first must not exceed the second"),
        ("policies.noise", [0.0, 1.5], ".policies.noise[1]: found 1.5; input should be less than or equal to 1"),
        ("policies.noises", [0.0, 1.0],
         ".policies.noises: unknown key; allowed: files, mixture, noise. Did you mean 'noise'?"),
        ("policies.mixture", "blended",
         ".policies.mixture: found 'blended'; allowed: replace, blend. Did you mean 'blend'?"),
        ("levels.expert", {"transitions": 5}, ".levels.expert: recorded policies have no such level; allowed: mixed"),
        ("levels.mixed", {}, ".levels.mixed.transitions: found None; is required"),
        ("levels.mixed", {"transitions": 5, "at_step": 3},
         ".levels.mixed: at_step and at_return are SAC's; recorded policies take transitions alone"),
    ],
)  # fmt: skip
def test_a_recipe_of_policies_that_cannot_be_followed(place: str, value: Any, said: str, project: Project) -> None:
    project.set("collect.Pendulum-v1", {"policies": dict(POLICIES), "levels": {"mixed": {"transitions": 50}}})
    assert problem(project.set(f"collect.Pendulum-v1.{place}", value)) == f"collect.Pendulum-v1{said}"


def test_a_recipe_of_policies(project: Project) -> None:
    levels = {"mixed": {"transitions": 50}}
    files = ["Pendulum-v1-5000", "~/mine.safetensors"]
    project.set("collect.Pendulum-v1", {"policies": {"files": files, "noise": [0, 1]}, "levels": levels})
    recipe = project.load().collect["Pendulum-v1"]
    assert recipe.policies is not None and recipe.sac is None
    assert (recipe.policies.files, recipe.policies.noise) == (tuple(files), (0.0, 1.0))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"dataset": "collect:Pendulum-v5/expert"},
         "tasks.replay.dataset: no recipe collect.Pendulum-v5; allowed: InvertedPendulum-v5."),
        ({"dataset": "collect:InvertedPendulum-v5/medium"},
         "tasks.replay.dataset: no level 'medium' there; allowed: medium-replay, expert."),
        ({"env": "InvertedPendulum-v4"},
         "tasks.replay.env: found 'InvertedPendulum-v4'; data collected in InvertedPendulum-v5 are evaluated there"),
    ],
)  # fmt: skip
def test_a_task_on_data_that_no_recipe_gives(task: dict[str, str], said: str, project: Project) -> None:
    project.settings["tasks"]["replay"] |= task
    assert problem(project).startswith(said)


# Overrides


@pytest.mark.parametrize("name", Preset.model_fields)
def test_an_override_is_checked_like_the_setting(name: str, project: Project) -> None:
    place = f"tasks.pendulum.settings.{name}"
    assert problems(project.set(place, "no such value"))[0].startswith(f"{place}: found 'no such value'")


# Timing


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (
            "show",
            ["timing", "scores"],
            "experiments.timed.show: found timing, scores; timing stands alone: nothing is trained for it",
        ),
        (
            "variants",
            None,
            "experiments.timed: timing needs both variants (whose steps are timed) and vary (one key and its values)",
        ),
        (
            "vary",
            None,
            "experiments.timed: timing needs both variants (whose steps are timed) and vary (one key and its values)",
        ),
        (
            "vary",
            {"max_backup": [True]},
            "experiments.timed.vary.max_backup[0]: found True; timing varies a number",
        ),
        (
            "vary",
            {"diffusion_steps": [2, 2]},
            "experiments.timed.vary.diffusion_steps[1]: 2 stands twice; each may stand once",
        ),
        (
            "evaluation",
            {"episodes": 1},
            "experiments.timed.evaluation: an experiment that shows timing trains nothing, and has no scores; leave it "
            "out",
        ),
        (
            "published",
            ["DAC"],
            "experiments.timed.published: an experiment that shows timing trains nothing, and has no scores; leave it "
            "out",
        ),
        (
            "timing.repeats",
            1,
            "experiments.timed.timing.repeats: found 1; input should be greater than or equal to 2",
        ),
    ],
)
def test_an_experiment_that_cannot_time_steps(place: str, value: Any, said: str, project: Project) -> None:
    assert problem(project.with_timing().set(f"experiments.timed.{place}", value)) == said


SOFT, DENOISED = {"variant": "soft", "value": 2}, {"variant": "denoised", "value": 2}


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({"higher": DENOISED, "lower": SOFT, "measure": "step_ms"}, None),
        (
            {"higher": DENOISED, "lower": SOFT},
            "measure: found 'score'; inside and reward are of an experiment that shows a bandit alone, step_ms and "
            "actor_ms of one that times steps, score of any other",
        ),
        *(
            (
                {"higher": higher, "lower": lower, "measure": "actor_ms"},
                " times are of two variants, each with the value that it has there; allowed: 1, 2",
            )
            for higher, lower in (
                (DENOISED, "data"),
                ({"variant": "denoised"}, SOFT),
                ({"variant": "denoised", "value": 3}, SOFT),
                ({**DENOISED, "action_samples": 1}, SOFT),
            )
        ),
    ],
)
def test_claims_of_times(claim: dict[str, Any], said: str | None, project: Project) -> None:
    project.with_timing().set("experiments.timed.claims", [{"says": "It is fast", **claim}])
    if said is None:
        assert len(project.plan().params.experiments["timed"].claims) == 1
    else:
        assert problem(project).removeprefix("experiments.timed.claims[0]").lstrip(".:") == said


def test_a_value_is_of_times_alone(project: Project) -> None:
    claim = {"says": "It works", "higher": SOFT, "lower": "data"}
    assert problem(project.set("experiments.main.claims", [claim])) == (
        "experiments.main.claims[0]: value is of an experiment that times steps; name a variant"
    )
