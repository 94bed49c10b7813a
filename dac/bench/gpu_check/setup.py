"""What all parts of a check are told: where they compute, at which sizes, and how long they may take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dac.agent import AgentConfig
from dac.study.params import Settings
from dac.system import files

PAPERS_SIZES = 11, 3  # Hopper's observation and action


@dataclass(frozen=True)
class Sizes:
    """How large everything is; the defaults are for a GPU, `SMALL` for a CPU, on which each part takes seconds.

    Attributes:
        networks: hidden_sizes, ensemble_size and next_action_samples. batch_size: of a gradient step.
        packs: that are timed. seconds: for each number.
        pack: runs of one training. steps: of it, and interval of its evaluations. episodes: of an evaluation.
        env: that data are collected in. transitions: of them.
        short_steps: of the trainings that only show that something works.
    """

    networks: tuple[tuple[int, ...], int, int] = (Settings().hidden_sizes, 10, 10)
    batch_size: int = 256
    packs: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    seconds: float = 3.0
    pack: int = 8
    steps: tuple[int, int] = (100_000, 5_000)
    episodes: int = 10
    env: str = "HalfCheetah-v5"
    transitions: int = 100_000
    short_steps: int = 200

    def config(self, precision: str = "tf32") -> AgentConfig:
        """Of the agents that are timed."""
        hidden, members, samples = self.networks
        return AgentConfig(hidden_sizes=hidden, ensemble_size=members, next_action_samples=samples, precision=precision)


SMALL = Sizes(
    networks=((16, 16), 2, 2),
    batch_size=32,
    packs=(1, 2),
    seconds=0.05,
    pack=2,
    steps=(100, 50),
    episodes=2,
    env="Pendulum-v1",
    transitions=2_000,
    short_steps=20,
)


@dataclass(frozen=True)
class Setup:
    """One part's.

    Attributes:
        folder: of the results. kind: `cuda` or `cpu`. gpus: that are visible.
        seconds: after which the part should be done.
        data: a file of one's own in D4RL's layout, to train on, and the Gymnasium id `env` that it is of.
    """

    folder: Path
    kind: str
    gpus: int
    seconds: float
    data: Path | None = None
    env: str | None = None

    @property
    def sizes(self) -> Sizes:
        return Sizes() if self.kind == "cuda" else SMALL

    @property
    def project(self) -> Path:
        """The folder of the study that is trained."""
        return self.folder / "project"

    def file_of(self, part: str) -> Path:
        """Where a part's outcome is."""
        return self.folder / "parts" / f"{part}.json"

    def result_of(self, part: str) -> Any:
        """What an earlier part found; None where it did not run or failed."""
        outcome = files.read_json(self.file_of(part)) or {}
        return outcome.get("result") if outcome.get("state") == "passed" else None


class Skipped(Exception):  # noqa: N818 - it is no error
    """A part has nothing to do here, and why."""


class Failed(Exception):  # noqa: N818 - it is a result
    """A part computed something else than it should.

    Attributes:
        result: what there is of its result.
    """

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result = result
