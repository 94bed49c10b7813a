"""The guidances and Q-targets that an agent can have: one record each, and all that is asked about one.

Adding one is a record here and a function of its name, in `dac.agent.actor` (a guidance) or `dac.agent.critic` (a
Q-target). It imports no torch: the plan reads the records at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


@dataclass(frozen=True)
class Guidance:
    """What a guidance asks of a gradient step.

    Attributes:
        critic_passes: passes of a batch through every critic, a backward one counted twice.
        chain_passes: passes of a batch through the actor at each of the T diffusion steps, counted likewise; their
            activations are kept for the backward pass.
        draws: fields of `Draws` that it reads besides t and eps, which every step has: actor_prior, actor_z.
        moves_eta: whether the dual ascent moves eta. Without Q in the actor's loss there is nothing to weigh.
    """

    critic_passes: int = 3
    chain_passes: int = 0
    draws: tuple[str, ...] = ()
    moves_eta: bool = True


@dataclass(frozen=True)
class QTarget:
    """What a Q-target reads.

    Attributes:
        has_coefficient: whether lcb_coefficient has a part in it.
    """

    has_coefficient: bool = True


GUIDANCES: dict[str, Guidance] = {
    "soft": Guidance(),
    "hard": Guidance(),
    "denoised": Guidance(chain_passes=3, draws=("actor_prior", "actor_z")),
    "none": Guidance(critic_passes=0, moves_eta=False),
}

Q_TARGETS: dict[str, QTarget] = {
    "lcb": QTarget(),
    "min": QTarget(has_coefficient=False),
    "convex": QTarget(),
}


def function_of(functions: dict[str, Function], name: str) -> Callable[[Function], Function]:
    """Decorator: this function is the one that belongs to the record `name`."""

    def entered(function: Function) -> Function:
        functions[name] = function
        return function

    return entered


def check_complete(records: Mapping[str, object], functions: Mapping[str, object], module: str) -> None:
    """Whether every record has its function and the other way round.

    Raises:
        LookupError: one is missing; the message names it and where it belongs.
    """
    if lacking := sorted(records.keys() - functions.keys()):
        raise LookupError(f"{', '.join(lacking)}: a record in {__name__}, but no function_of it in {module}")
    if unknown := sorted(functions.keys() - records.keys()):
        raise LookupError(f"{', '.join(unknown)}: a function_of it in {module}, but no record in {__name__}")
