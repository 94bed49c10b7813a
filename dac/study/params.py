"""The schema of params.yaml: every section forbids unknown keys, and every value has a type and a range."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, TypeAdapter, create_model
from pydantic_core import PydanticCustomError

from dac.agent.config import AgentSettings, Precision

# A name becomes a folder (task, study), the beginning of file names (experiment) and a Snakemake rule (study).
TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
ExperimentName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]
StudyName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]
# An environment's id becomes a folder of markers and an argument of a command: a module's, a namespace's, a name's.
EnvironmentId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*(/[A-Za-z0-9_][A-Za-z0-9_.:-]*)?$", max_length=120)
]
# What a page shows as it stands: one line, without spaces at its ends.
LINE_PATTERN = r"^[^\p{C}\s](?:[^\p{C}\p{Zl}\p{Zp}]*[^\p{C}\s])?$"
VariantName = Annotated[str, Field(pattern=LINE_PATTERN, max_length=60)]
Title = Annotated[str, Field(pattern=LINE_PATTERN, max_length=200)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Temperature = Annotated[float, Field(ge=0, le=1000)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]

# What pydantic puts into the place of a mistake in one of several kinds of value; they are no keys.
SIDE_TAG, DATA_TAG = "<side>", "<data>"

# A place with D4RL's files: an address, or a folder of this machine.
MIRROR_PATTERN = r"^((https?|file)://.+|[^:]+)$"


def _evaluation_workers(value: Any) -> int | str:
    if value == "auto" or (type(value) is int and 0 <= value <= 256):
        return value  # type: ignore[no-any-return]
    raise PydanticCustomError("evaluation_workers", "allowed: auto, or a whole number from 0 to 256")


def _threads(value: Any) -> int | str:
    if value == "auto" or (type(value) is int and 1 <= value <= 256):
        return value  # type: ignore[no-any-return]
    raise PydanticCustomError("threads", "allowed: auto, or a whole number from 1 to 256")


# One validator instead of a union: of a union every member would complain.
Threads = Annotated[int | str, PlainValidator(_threads)]
EvaluationWorkers = Annotated[int | str, PlainValidator(_evaluation_workers)]


class Section(BaseModel):
    """A part of params.yaml: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of the training loop and of the evaluations during training (the learning curve)."""

    steps: PositiveInt = 2_000_000
    batch_size: PositiveInt = 256
    lr_decay: Literal["cosine", "constant"] = "cosine"
    precision: Precision = "fp32"  # where it is not named; the shipped params.yaml names another
    eval_interval: PositiveInt = 10_000
    eval_episodes: PositiveInt = 10
    eval_action_samples: PositiveInt = 10
    eval_temperature: Temperature = 0.0
    kept_policies: PositiveInt = 5


@dataclass(frozen=True)
class Settings(TrainingSettings, AgentSettings):
    """Every setting of a group of runs, the agent's and the training's, once its layers are resolved."""

    __pydantic_config__: ClassVar[ConfigDict] = Section.model_config

    def as_json(self) -> dict[str, Any]:
        """By name, as params.yaml has them."""
        return {**vars(self), "hidden_sizes": list(self.hidden_sizes)}


SETTINGS = TypeAdapter(Settings)
"""Checks settings and makes them of one spelling: 2 of a setting that is a float becomes 2.0."""


class EvaluationSettings(Section):
    """The evaluation of the kept policies after training; a change here never trains."""

    action_samples: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (10,)
    episodes: PositiveInt = 10
    temperature: Temperature = 0.0


class ReportSettings(Section):
    """How tables and figures summarise; a change here re-renders pages and nothing else."""

    window: PositiveInt = 5
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    bootstrap_samples: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    bootstrap_seed: Seed = 0
    curve_band: Literal["sd", "ci"] = "sd"
    reproduction_seeds: Annotated[int, Field(ge=2, le=1000)] = 8
    reproduction_margin: Annotated[float, Field(ge=0, le=1000)] = 1.0


DEVICE = r"^(auto|cpu|cuda(:[0-9]+)?)$"  # what a device may be called, here and on the command line


class ComputeSettings(Section):
    """Where and in which portions work is done. Nothing here can change a number or belongs to a fingerprint."""

    device: Annotated[str, Field(pattern=DEVICE)] = "auto"
    pack_size: Annotated[int, Field(ge=1, le=256)] = 8
    packs_per_gpu: Annotated[int, Field(ge=1, le=16)] = 1
    threads_per_job: Threads = "auto"
    evaluation_workers: EvaluationWorkers = "auto"
    checkpoint_seconds: PositiveInt = 300
    cuda_graphs: bool = True
    d4rl_mirrors: tuple[Annotated[str, Field(pattern=MIRROR_PATTERN)], ...] | None = None  # () asks no built-in one

    @property
    def cpu_threads(self) -> int:
        """Cores of a job that computes on the CPU, or that says nothing else: with `auto`, one."""
        return self.threads_per_job if isinstance(self.threads_per_job, int) else 1

    def on(self, kind: str | None) -> ComputeSettings:
        """The same for a job that is to compute on a `gpu` and nowhere else, or on the `cpu`; None: as they are."""
        device = {"gpu": "cuda" if self.device == "auto" else self.device, "cpu": "cpu"}.get(kind or "", self.device)
        return self.model_copy(update={"device": device})


class SacSettings(Section):
    """Soft Actor-Critic (Stable-Baselines3) that collects the data of a `collect:` dataset."""

    steps: PositiveInt
    learning_starts: PositiveInt = 1000
    batch_size: PositiveInt = 256
    hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (256, 256)
    learning_rate: PositiveFloat = 3e-4
    train_freq: PositiveInt = 1
    gradient_steps: PositiveInt = 1
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.99
    tau: Annotated[float, Field(gt=0, le=1)] = 0.005
    buffer_size: PositiveInt = 1_000_000
    eval_interval: PositiveInt = 1000
    eval_episodes: PositiveInt = 5


class PolicySettings(Section):
    """Recorded policies that are rolled out with noise for the data of a `collect:` dataset.

    `noise`: an episode's share p of noise is drawn between these two. `mixture`: an action is a uniform one instead
    with probability p (`replace`), or (1 - p) of the policy's and p of a uniform one (`blend`).
    """

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    noise: tuple[Share, Share] = (0.0, 1.0)
    mixture: Literal["replace", "blend"] = "replace"


class CollectLevel(Section):
    """One dataset of a collection: taken at a step of SAC, or when its evaluated return reaches a threshold; or so many
    transitions of recorded policies.
    """

    at_step: PositiveInt | None = None
    at_return: float | None = None
    transitions: PositiveInt | None = None


class CollectRecipe(Section):
    """How the data of one environment are collected, by SAC or by recorded policies; the recipe is their identity."""

    seed: Seed = 0
    sac: SacSettings | None = None
    policies: PolicySettings | None = None
    levels: dict[Literal["medium", "medium-replay", "expert", "mixed"], CollectLevel]


_TYPES = get_type_hints(Settings, include_extras=True)
Preset: type[Section] = create_model(  # type: ignore[call-overload]
    "Preset", __base__=Section, **{field.name: (_TYPES[field.name], None) for field in fields(Settings)}
)
"""Any subset of the agent's and the training's settings."""

Overrides: type[Section] = create_model("Overrides", __base__=Preset, preset=(ExperimentName | None, None))
"""Settings as a task, a study, an experiment or a variant may set them: a preset's, and its own, which count more."""


class Task(Section):
    """A dataset with the environment to evaluate in."""

    dataset: Annotated[str, Field(pattern=r"^[^:]+:.+$")]  # <source>:<name>, a source of dac.study.sources
    env: str | None = None  # left out: the one that the data name
    reward_scaling: Literal["locomotion", "antmaze-shift", "none"] = "locomotion"
    reference_returns: tuple[float, float] | None = None
    settings: Overrides = Overrides()


class PartialEvaluation(Section):
    """Any subset of the evaluation settings."""

    action_samples: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = None
    episodes: PositiveInt | None = None
    temperature: Temperature | None = None


class ClaimSide(Section):
    """One side of a claim: a variant's score, at the training's N_a or of its kept policies at another.

    Or, where steps are timed, its time at a value of the setting that is varied.
    """

    variant: str
    action_samples: PositiveInt | None = None
    value: float | None = Field(None, exclude_if=lambda value: value is None)


class Claim(Section):
    """What an experiment is to show, for each of its tasks or of those named: that one number is above another.

    With `within` it is to show that they are so near to each other; with `average` the tasks' mean is what counts.
    """

    says: str
    higher: ClaimSide
    # data: the mean score of the data. A mistake is told of the kind that was meant alone.
    lower: Annotated[
        Annotated[ClaimSide, Tag(SIDE_TAG)] | Annotated[Literal["data"], Tag(DATA_TAG)],
        Discriminator(lambda value: DATA_TAG if value == "data" else SIDE_TAG),
    ]
    # inside, reward: of a bandit's drawn actions. step_ms, actor_ms: of an experiment that times steps.
    measure: Literal["score", "inside", "reward", "step_ms", "actor_ms"] = "score"
    within: Annotated[float, Field(gt=0)] | None = Field(None, exclude_if=lambda value: value is None)
    average: bool = Field(False, exclude_if=lambda value: not value)
    # These three are left out of the page's identity where they are not given, as before they existed.
    tasks: Annotated[tuple[TaskName, ...], Field(min_length=1)] | None = Field(
        None, exclude_if=lambda value: value is None
    )


class TimingSettings(Section):
    """How steps are timed: so often, each time for so many seconds, and the actor's update alone for half as many."""

    repeats: Annotated[int, Field(ge=2, le=100)] = 5
    seconds: Annotated[float, Field(gt=0, le=600)] = 4.0


class ExperimentSettings(Section):
    """Tasks × variants, with the tables and figures they feed. Variants are named (`variants`) or swept (`vary`).

    One that shows `timing` trains nothing: the steps of its variants are timed at each of the values.
    """

    title: Title
    description: str = ""
    tasks: Annotated[tuple[TaskName, ...], Field(min_length=1)]
    variants: dict[VariantName, Overrides] | None = None
    vary: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] | None = None
    settings: Overrides = Overrides()
    evaluation: PartialEvaluation = PartialEvaluation()
    show: tuple[str, ...] = ("scores", "curves")
    published: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    timing: TimingSettings = TimingSettings()

    @property
    def times_steps(self) -> bool:
        """Whether its gradient steps are timed, and nothing is trained."""
        return "timing" in self.show

    @property
    def variant_names(self) -> tuple[str, ...]:
        """The variants by display name, in the file's order; none where the experiment names none."""
        varied = next(iter(self.vary.values()), ()) if self.vary else ()
        return tuple(
            self.variants or (str(value).lower() if isinstance(value, bool) else str(value) for value in varied)
        )


class Study(Section):
    """A list of experiments at some scale."""

    description: str = ""
    experiments: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    settings: Overrides = Overrides()
    evaluation: PartialEvaluation = PartialEvaluation()


class Params(Section):
    """All of params.yaml. Sections that DVC tracks must be there, if only as `collect: {}`."""

    dvc_study: str
    agent: AgentSettings
    training: TrainingSettings
    evaluation: EvaluationSettings
    report: ReportSettings
    compute: ComputeSettings = ComputeSettings()
    collect: dict[EnvironmentId, CollectRecipe]
    presets: dict[ExperimentName, Preset]
    tasks: dict[TaskName, Task]
    experiments: dict[ExperimentName, ExperimentSettings]
    studies: dict[StudyName, Study]
