"""The recorded gradient step, and that a step can be recorded: it never waits for the device.

No GPU is needed: a stand-in records functions instead of kernels, and PyTorch's device without memory follows a step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small import ACTION_DIM, BATCH_SIZE, OBSERVATION_DIM, assert_states_equal, draws_of, make_agent, pack_batch
from small import small_config as config
from torch.utils._python_dispatch import TorchDispatchMode

from dac.agent import Agent, Batch, Draws, UpdateNoise
from dac.agent.config import GUIDANCES
from dac.agent.critic import Metrics
from dac.agent.graph import WARM_UP, RecordedUpdate, updater

SEEDS = [0, 1]


class Recorder:
    """Stands in for CUDA: a replay computes the function and writes its value where the record put it."""

    def __init__(self) -> None:
        self.records = self.replays = 0

    def __call__(self, step: Callable[[], Metrics]) -> tuple[Callable[[], None], Metrics]:
        self.records += 1
        values: Metrics = {}

        def replay() -> None:
            self.replays += 1
            for name, value in step().items():
                values.setdefault(name, torch.empty_like(value)).copy_(value)

        return replay, values


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_a_recorded_step_computes_what_a_launched_one_does(guidance: str) -> None:
    """To the bit, over the start of the target actor's average and the learning rate's decay; recorded once."""
    settings = config(guidance=guidance, lr_decay_steps=12)
    eager, recorded, recorder = make_agent(settings, SEEDS), make_agent(settings, SEEDS), Recorder()
    update = RecordedUpdate(recorded, recorder)
    for step in range(10):
        batch, draws = pack_batch(SEEDS, step), draws_of(settings, SEEDS, step)
        expected, found = eager.update(batch, draws), update(batch, draws)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        assert recorded.step == eager.step == step + 1
    assert (recorder.records, recorder.replays) == (1, 10 - WARM_UP)
    for run in range(len(SEEDS)):
        assert_states_equal(recorded.run_state(run), eager.run_state(run))


def test_the_inputs_are_copied() -> None:
    """A replay reads its own tensors, so those of the caller may change or go."""
    agent, other = make_agent(config(), SEEDS), make_agent(config(), SEEDS)
    update = RecordedUpdate(agent, Recorder())
    for step in range(6):
        batch, draws = pack_batch(SEEDS, step), draws_of(config(), SEEDS, step)
        update(batch, draws)
        other.update(batch, draws)
        batch.rewards.fill_(float("nan"))
    assert_states_equal(agent.run_state(0), other.run_state(0))


def test_on_a_cpu_steps_are_launched_as_they_are() -> None:
    agent = make_agent(config(), SEEDS)
    assert updater(agent, recorded=True) == agent.update


class NoWaiting(TorchDispatchMode):
    """Refuses what would make a host wait for its device: reading a value, or a size that depends on one."""

    WAITS = frozenset(
        {
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.is_nonzero.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.masked_select.default,
            torch.ops.aten.equal.default,
        }
    )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in self.WAITS, func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("guidance", GUIDANCES)
def test_a_step_never_waits_for_the_device(guidance: str, sampler: str) -> None:
    settings = config(guidance=guidance, sampler=sampler)
    agent, noise = make_agent(settings, SEEDS), UpdateNoise(SEEDS, settings, BATCH_SIZE, ACTION_DIM)
    batch = pack_batch(SEEDS, 0)
    with NoWaiting():
        for step in range(5):
            agent.update(batch, noise.draws(step))
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            bool(agent.active.any())


@pytest.mark.parametrize("guidance", GUIDANCES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_stays_on_its_device(guidance: str, precision: str) -> None:
    """Every tensor that a step makes or changes is on the agent's device: the device without memory reads no value, and
    mixes with no other.
    """
    settings = config(guidance=guidance, precision=precision, lr_decay_steps=12)
    agent = Agent(settings, SEEDS, OBSERVATION_DIM, ACTION_DIM, "meta")

    def there(values: Batch | Draws) -> dict[str, Any]:
        tensors = ((field.name, getattr(values, field.name)) for field in dataclasses.fields(values))
        return {name: None if value is None else value.to("meta") for name, value in tensors}

    batch, draws = Batch(**there(pack_batch(SEEDS, 0))), Draws(**there(draws_of(settings, SEEDS, 0)))
    metrics = agent.update(batch, draws)
    changed = [agent.eta, agent.active, agent._count, *agent._critic.online.named.values()]
    assert {value.device.type for value in [*metrics.values(), *changed]} == {"meta"}
    with pytest.raises((RuntimeError, NotImplementedError), match=r"(?i)device|meta"):
        agent.update(pack_batch(SEEDS, 0), draws)
