"""Whether a precision's errors add up: the values that a whole training ends with, beside float32's on the same data.

A target is a reward and the next values, which were targets before: an error that has always the same sign grows by
1 / (1 - gamma). Trainings that differ by one rounding part ways too, so runs of float32 that begin a rounding apart are
the measure of what means nothing.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dac.agent import Agent, AgentConfig, Batch, UpdateNoise, initial_run_state
from dac.agent.critic import next_values
from dac.bench.subjects import Training, batch_of, batches, collected

LOG = logging.getLogger(__name__)

SEEDS = tuple(range(4))
# N is the paper's, or bf16 has nothing to round; at this rate of the targets a value settles in 1 / 0.05² steps.
CHANGES: dict[str, Any] = {"next_action_samples": 10, "target_rate": 0.05}
BATCH, STEPS = 64, 1200
NUDGE = 2.0**-20  # of every initial parameter, in the runs that begin elsewhere
READINGS, STATES = 6, 256  # of the values during a training, and of what states


def drift(training: Training, device: torch.device) -> dict[str, Any]:
    """Train a pack, nearly as a subject, in float32, in float32 from elsewhere by a rounding, and in bf16.

    Returns:
        `subject`, `seeds`, `steps`, `discount`; `size`, the mean of float32's values at the end without its sign;
        `nudged` and `bf16`, each a list of readings: `step`, and over the seeds the `mean` and the standard `error` of
        the mean value's difference from float32's; for bf16 also `injected`, the mean difference that its rounding
        makes in the values of its own networks.
    """
    config = dataclasses.replace(training.config, **CHANGES)
    data = batch_of(collected(training))
    data = Batch(**{field.name: getattr(data, field.name).to(device) for field in dataclasses.fields(Batch)})
    sizes = data.observations.shape[1], data.actions.shape[1]
    states = [initial_run_state(config, seed, *sizes) for seed in SEEDS]
    nudged = [{name: _nudged(name, value) for name, value in state.items()} for state in states]
    agents = {
        "fp32": Agent.from_run_states(config, states, 0, device),
        "nudged": Agent.from_run_states(config, nudged, 0, device),
        "bf16": Agent.from_run_states(dataclasses.replace(config, precision="bf16"), states, 0, device),
    }
    noise = UpdateNoise(list(SEEDS), config, BATCH, sizes[1], device)
    found: dict[str, list[dict[str, float]]] = {"nudged": [], "bf16": []}
    values: dict[str, Tensor] = {}
    for step, batch in enumerate(batches(data, SEEDS, STEPS, BATCH), start=1):
        draws = noise.draws(step - 1)
        for agent in agents.values():
            agent.update(batch, draws)
        if step % (STEPS // READINGS) == 0:
            values = {name: _values(agent, data, config) for name, agent in agents.items()}
            for name, readings in found.items():
                readings.append({"step": step, **_difference(values[name], values["fp32"])})
            own = _values(agents["bf16"], data, agents["bf16"].config)
            found["bf16"][-1]["injected"] = _difference(own, values["bf16"])["mean"]
            LOG.info("%s, step %d: %s", training.name, step, {name: rows[-1] for name, rows in found.items()})
    return {
        "subject": training.name,
        "seeds": len(SEEDS),
        "steps": STEPS,
        "discount": config.discount,
        "size": values["fp32"].mean().abs().item(),
        **found,
    }


def _nudged(name: str, value: Tensor) -> Tensor:
    return value * (1 + NUDGE) if name.endswith("kernel") else value


def _values(agent: Agent, data: Batch, config: AgentConfig) -> Tensor:
    """Values (R, n) of the first states of the data, by an agent's target networks in a precision."""
    states = data.next_observations[:STATES].expand(len(agent.eta), -1, -1)
    noise = UpdateNoise([0] * len(agent.eta), config, STATES, data.actions.shape[1], agent.eta.device).draws(0)
    assert noise.critic_prior is not None
    runs = [agent.run_state(run) for run in range(len(agent.eta))]
    other = Agent.from_run_states(config, runs, agent.step, agent.eta.device)
    _, found = other.next_action_values(states, noise.critic_prior, noise.critic_z)
    return next_values(config, found)


def _difference(values: Tensor, reference: Tensor) -> Mapping[str, float]:
    """Of the mean values of runs (R, n): mean over the runs, and its standard error."""
    difference = (values - reference).double().mean(1)
    return {"mean": difference.mean().item(), "error": (difference.std() / len(difference) ** 0.5).item()}
