"""What a trained run's state must show, whatever it learned."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dac.agent.agent import initial_run_state
from dac.agent.config import AgentConfig
from dac.agent.policy import state_dims


def untrained(config: AgentConfig, seed: int, step: int, state: Mapping[str, Tensor]) -> list[str]:
    """What in a run's state no training can have left there, in words; empty for a run that was trained.

    A gradient step changes the online networks, the optimisers' moments and the target critic, and the target actor
    where its average is due. All values of a run that has not diverged are finite.

    Args:
        step: gradient steps made. state: as `Agent.run_state`.
    """
    infinite = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    problems = [f"values that are not finite, in {infinite[0]}"] if infinite else []
    initial = initial_run_state(config, seed, *state_dims(state))
    for part in _changed_parts(config, step):
        names = [name for name in state if name.startswith(f"{part}/")]
        if all(torch.equal(state[name], initial[name].to(state[name].dtype)) for name in names):
            problems.append(f"{part} after {step} gradient steps is what it was before the first")
    return problems


def _changed_parts(config: AgentConfig, steps: int) -> list[str]:
    """The parts of a state that so many steps have changed."""
    if steps == 0:
        return []
    last_average = (steps - 1) // config.actor_ema_interval * config.actor_ema_interval
    average = ["target_actor"] if last_average > config.actor_ema_start else []
    moments = [f"{network}_adam/{moment}" for network in ("actor", "critic") for moment in ("m", "v")]
    return ["actor", "critic", *moments, "target_critic", *average]
