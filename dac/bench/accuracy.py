"""How far a precision's targets are from those of the same trained networks in float64, and its layers from theirs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from dac.agent import Agent, AgentConfig, ShuffledScan, UpdateNoise, native
from dac.agent.config import PRECISIONS
from dac.agent.critic import next_values
from dac.agent.networks import Params, noise_predictor, q_values
from dac.agent.policy import state_dims
from dac.agent.precision import matrix_products, without_gradient
from dac.bench.drift import drift
from dac.bench.here import here
from dac.bench.imitation import Tf32Factors
from dac.bench.subjects import BATCH, PENDULUM, TRAININGS, Subject, of_run, trained
from dac.system import devices

LOG = logging.getLogger(__name__)

BATCHES = 4  # of states
IMITATED = "tf32, imitated"


def measure(device: str, threads: int, runs: Sequence[str] = ()) -> dict[str, Any]:
    """Measure every precision on runs of the store, or, where none is named, on small ones that are trained first.

    Args:
        device: of the precisions, `cpu`, `cuda` or `auto`; float64 is computed on the CPU.
        threads: of PyTorch, on the CPU.
        runs: names of runs that params.yaml plans.

    Returns:
        `accuracy`, a list of `target_errors` by subject, `samples` (N) and precision, on a CPU also of an imitated
        tf32; without runs `drift`, see there; machine, device, threads, versions and date.

    Raises:
        UserError: a run is not there, or not as recorded.
    """
    torch.set_num_threads(threads)
    with devices.claimed(device, asked_by="--device") as chosen:
        subjects = [of_run(name) for name in runs] if runs else [trained(training) for training in TRAININGS]
        found: dict[str, Any] = {"accuracy": [row for subject in subjects for row in _rows(subject, chosen)]}
        if not runs:
            found["drift"] = drift(PENDULUM, chosen)
        return found | here(chosen, threads)


def _rows(subject: Subject, device: torch.device) -> Iterator[dict[str, Any]]:
    for samples in subject.samples:
        for precision in PRECISIONS:
            LOG.info("%s: N = %d, %s", subject.name, samples, precision)
            found = target_errors(subject, samples, precision, device)
            yield {"subject": subject.name, "samples": samples, "precision": precision, **found}
        if device.type == "cpu":  # which multiplies in float32 where tf32 is asked for
            with native.by_pytorch(), Tf32Factors():
                found = target_errors(subject, samples, "tf32", device)
            yield {"subject": subject.name, "samples": samples, "precision": IMITATED, **found}


def target_errors(
    subject: Subject, samples: int, precision: str, device: torch.device, kind: type[Agent] = Agent
) -> dict[str, Any]:
    """Differences of the next states' values, the targets but for their rewards, from those in float64.

    Args:
        samples: N, next actions of a state.
        kind: of the agent, by which code it computes.

    Returns:
        `rms` and `mean` of the difference; `spread`, the mean standard deviation over the ensemble of what is averaged
        over a state's actions; `size`, the mean of the values without their sign: all in the values' unit. `layers`:
        `layer_errors` in the first batch of states.
    """
    config = dataclasses.replace(subject.config, next_action_samples=samples, precision=precision)
    rounded, exact = (
        _agent(subject, config, device, torch.float32, kind),
        _agent(subject, config, torch.device("cpu"), torch.float64),
    )
    size = min(BATCH, len(subject.observations))
    scan = ShuffledScan([0], len(subject.observations), size)
    noise = UpdateNoise([0], config, size, state_dims(subject.state)[1])
    differences, spreads, sizes, layers = [], [], [], []
    for batch in range(min(BATCHES, scan.batches_per_epoch)):
        observations, draws = subject.observations[scan.batch_indices(batch)], noise.draws(batch)
        assert draws.critic_prior is not None
        with matrix_products(precision):
            _, values = _next_action_values(rounded, observations, draws.critic_prior, draws.critic_z)
        actions, truth = _next_action_values(exact, observations, draws.critic_prior, draws.critic_z)
        value = next_values(config, truth)
        differences.append(next_values(config, values).double().cpu() - value)
        spreads.append(truth.mean(-1).std(1, correction=0))
        sizes.append(value.abs())
        if not batch:
            layers = layer_errors(rounded, exact, observations, draws.critic_prior, actions)
    difference = torch.cat(differences)
    return {
        "rms": difference.square().mean().sqrt().item(),
        "mean": difference.mean().item(),
        "spread": torch.cat(spreads).mean().item(),
        "size": torch.cat(sizes).mean().item(),
        "layers": layers,
    }


@torch.no_grad()
def layer_errors(
    rounded: Agent, exact: Agent, observations: Tensor, prior: Tensor, actions: Tensor
) -> list[dict[str, Any]]:
    """How far every layer's output before its activation is from float64's, for the same inputs of the network.

    Args:
        rounded, exact: agents of the same networks, the second one in float64. observations: (1, b, O).
        prior: (1, b * m, A), the actor's input at t = T. actions: (1, b * m, A), the critics'.

    Returns:
        By `network` (actor, critic) and `layer`: `rms`, and `rms_of_means`, that of the averages over a state's m rows,
        as shares of the output's root mean square.
    """
    rows = []
    for network, layer in [*_layers(exact, "actor"), *_layers(exact, "critic")]:
        found, truth = (
            _output(agent, network, layer, observations, prior if network == "actor" else actions)
            for agent in (rounded, exact)
        )
        error, size = found - truth, truth.square().mean().sqrt()
        means = error.view(len(error), observations.shape[1], -1, error.shape[-1]).mean(2)
        shares = {"rms": error, "rms_of_means": means}
        rows.append(
            {"network": network, "layer": layer}
            | {name: (value.square().mean().sqrt() / size).item() for name, value in shares.items()}
        )
    return rows


def _layers(agent: Agent, network: str) -> list[tuple[str, int]]:
    return [(network, layer) for layer in range(len(agent.config.hidden_sizes) + 1)]


def _output(agent: Agent, network: str, layer: int, observations: Tensor, actions: Tensor) -> Tensor:
    """Output of one layer, (M, b * m, its width), in float64 on the CPU: of the network without those behind it."""
    precision = agent.config.precision if agent.eta.dtype == torch.float32 else "fp32"
    states, inputs = observations.to(agent.eta), actions.to(agent.eta)
    samples = inputs.shape[1] // states.shape[1]
    with matrix_products(precision):
        if network == "actor":
            actor = _up_to(without_gradient(agent.actor.target.named, precision, samples), "noise/", layer)
            steps = agent.config.diffusion_steps
            output = noise_predictor(actor, states, steps, inputs.shape[-1])(inputs, steps)
        else:
            critic = _up_to(without_gradient(agent.critic.target.named, precision, samples), "", layer)
            members = agent.config.ensemble_size
            output = q_values(critic, states, inputs).view(members, inputs.shape[1], -1)
    return output.double().cpu()


def _up_to(params: Params, prefix: str, layer: int) -> Params:
    """A network's parameters without those of the layers behind one."""
    return {
        name: value
        for name, value in params.items()
        if not name.startswith(prefix) or int(name.removeprefix(prefix).partition("/")[0]) <= layer
    }


def _agent(
    subject: Subject, config: AgentConfig, device: torch.device, dtype: torch.dtype, kind: type[Agent] = Agent
) -> Agent:
    if dtype == torch.float64:
        config = dataclasses.replace(config, precision="fp32")
    return kind.from_run_states(config, [subject.state], 0, device, dtype)


def _next_action_values(agent: Agent, observations: Tensor, prior: Tensor, z: Tensor | None) -> tuple[Tensor, Tensor]:
    """As the agent's, from tensors that may be of another type or elsewhere."""
    noise = None if z is None else z.to(agent.eta)
    return agent.next_action_values(observations.to(agent.eta), prior.to(agent.eta), noise)
