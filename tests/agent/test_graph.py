"""The recorded gradient step, and that a step can be recorded: it never waits for the device.

No GPU is needed: a stand-in records functions instead of kernels, and PyTorch's device without memory follows a step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from small import (
    ACTION_DIM,
    BATCH_SIZE,
    OBSERVATION_DIM,
    assert_states_equal,
    draws_of,
    inputs_of,
    make_agent,
    pack_batch,
)
from small import small_config as config
from torch.utils._python_dispatch import TorchDispatchMode

from dac.agent import Agent, Batch, Draws, UpdateNoise
from dac.agent.components import GUIDANCES
from dac.agent.critic import Metrics
from dac.agent.graph import WARM_UP, CapturedUpdate, ReplayError, capture_cuda_graph, updater
from dac.agent.streams import BLOCK_STEPS

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
    """To the bit, over epochs, blocks of draws, the start of the target actor's average and the learning rate's decay;
    recorded once.
    """
    settings = config(guidance=guidance, lr_decay_steps=12)
    eager, recorded, recorder = make_agent(settings, SEEDS), make_agent(settings, SEEDS), Recorder()
    inputs, update = inputs_of(settings, SEEDS), CapturedUpdate(recorded, inputs_of(settings, SEEDS), recorder)
    steps = BLOCK_STEPS + 3
    for step in range(steps):
        expected, found = eager.update(*inputs.at(step)), update()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        assert recorded.step == eager.step == step + 1
    assert (recorder.records, recorder.replays) == (1, steps - WARM_UP)
    for run in range(len(SEEDS)):
        assert_states_equal(recorded.run_state(run), eager.run_state(run))


def test_what_a_replay_reads_is_renewed_where_it_is() -> None:
    """A graph holds addresses: it would read what is freed, where a later block of draws, or order of rows, was another
    tensor.
    """
    inputs = inputs_of(config(), SEEDS)

    def places() -> dict[str, int]:
        values = {**inputs.scan._values, **inputs.noise._values}
        return {name: value.data_ptr() for name, value in values.items()}

    inputs.prepare(0)
    inputs.at_count(torch.zeros((), dtype=torch.float64))
    before = places()
    assert len(before) > 3
    for step in range(1, BLOCK_STEPS + 3):
        inputs.prepare(step)
        assert places() == before


def test_steps_that_are_left_out_are_no_hindrance() -> None:
    """As where training goes on at another step: what a replay reads is fetched for the step that it makes."""
    eager, recorded = make_agent(config(), SEEDS), make_agent(config(), SEEDS)
    inputs, update = inputs_of(config(), SEEDS), CapturedUpdate(recorded, inputs_of(config(), SEEDS), Recorder())
    for step in (0, 1, 2, 3, 4, 70, 71, 5):
        eager.step = recorded.step = step
        eager.update(*inputs.at(step))
        update()
    assert_states_equal(recorded.run_state(0), eager.run_state(0))


class Launches(TorchDispatchMode):
    """Counts the operations on tensors that are issued one by one, beside a recorder's replays."""

    def __init__(self) -> None:
        super().__init__()
        self.beside: list[str] = []
        self.replaying = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.replaying and not func.is_view:
            self.beside.append(func.name().removeprefix("aten::").partition(".")[0])
        return result


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("guidance", GUIDANCES)
def test_nothing_but_the_replay_is_launched_in_most_steps(guidance: str, sampler: str) -> None:
    """A block of draws is made once for its steps, and a permutation once an epoch."""
    settings = config(guidance=guidance, sampler=sampler)
    agent, launches = make_agent(settings, SEEDS), Launches()

    def record(step: Callable[[], Metrics]) -> tuple[Callable[[], None], Metrics]:
        replay, metrics = Recorder()(step)

        def aside() -> None:
            launches.replaying = True
            replay()
            launches.replaying = False

        return aside, metrics

    epoch = 10
    update = CapturedUpdate(agent, inputs_of(settings, SEEDS, epoch=epoch), record)
    beside = {}
    with launches:
        for step in range(2 * BLOCK_STEPS + 4):
            launches.beside.clear()
            update()
            beside[step] = list(launches.beside)
    quiet = {step for step in beside if step > WARM_UP and step % BLOCK_STEPS and step % epoch}
    assert len(quiet) == 56
    assert all(not beside[step] for step in quiet), beside
    drawn = {"empty", "normal_", "random_", "copy_"}
    assert set(beside[BLOCK_STEPS]) == set(beside[2 * BLOCK_STEPS]) == drawn
    assert beside[BLOCK_STEPS].count("normal_") % len(SEEDS) == 0
    assert {"randperm", "copy_"} <= set(beside[epoch])
    assert beside[epoch].count("randperm") == len(SEEDS)


def test_on_a_cpu_steps_are_launched_as_they_are() -> None:
    agent, inputs = make_agent(config(), SEEDS), inputs_of(config(), SEEDS)
    assert not isinstance(updater(agent, inputs, captured=True), CapturedUpdate)


def record_nothing(step: Callable[[], Metrics]) -> tuple[Callable[[], None], Metrics]:
    """What CUDA does where the current device is not the one that the step is on."""
    return lambda: None, {}


def test_a_replay_that_does_nothing_is_an_error() -> None:
    agent = make_agent(config(), SEEDS)
    update = CapturedUpdate(agent, inputs_of(config(), SEEDS), record_nothing)
    for _ in range(WARM_UP):
        update()
    with pytest.raises(ReplayError, match=r"^at step 3, .* left the device at step 3, .* left it at step 3, not 4$"):
        update()


def test_a_replay_that_makes_two_steps_is_an_error() -> None:
    agent = make_agent(config(), SEEDS)

    def record_twice(step: Callable[[], Metrics]) -> tuple[Callable[[], None], Metrics]:
        replay, metrics = Recorder()(step)

        def replay_twice() -> None:
            replay()
            replay()

        return replay_twice, metrics

    update = CapturedUpdate(agent, inputs_of(config(), SEEDS), record_twice)
    with pytest.raises(ReplayError, match="which left it at step 5, not 4"):
        for _ in range(WARM_UP + 1):
            update()


class FakeCuda:
    """As much of `torch.cuda` as recording needs, with two devices, of which number 0 is the current one."""

    def __init__(self) -> None:
        self.current = 0
        self.streams = [-1]
        self.recorded_on: list[tuple[int, int]] = []

    @contextlib.contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        before, self.current = self.current, device.index
        yield
        self.current = before

    def Stream(self) -> int:  # noqa: N802 - PyTorch's name
        """The device that a stream would be on."""
        return self.current

    def CUDAGraph(self) -> Any:  # noqa: N802
        return types.SimpleNamespace(replay=lambda: None)

    def current_stream(self) -> int:
        """The stream in use, by its device."""
        return self.streams[-1]

    @contextlib.contextmanager
    def stream(self, stream: int) -> Iterator[None]:
        """Use a stream; the one before is restored also where the block fails."""
        before = list(self.streams)
        self.streams.append(stream)
        try:
            yield
        finally:
            self.streams = before

    @contextlib.contextmanager
    def graph(self, _: Any, stream: int) -> Iterator[None]:
        """As PyTorch's: where the recording fails, its stream stays in use."""
        self.recorded_on.append((self.current, stream))
        self.streams.append(stream)
        yield
        self.streams.pop()


class Elsewhere:
    """An agent that says it is on the second GPU."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.eta = types.SimpleNamespace(device=torch.device("cuda", 1), is_cuda=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """Two GPUs, as recording sees them."""
    fake = FakeCuda()
    for name in ("device", "Stream", "CUDAGraph", "graph", "stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    return fake


def test_a_recording_that_fails_leaves_the_stream_as_it_was(cuda: FakeCuda) -> None:
    def refuse() -> Metrics:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        capture_cuda_graph(refuse)
    assert cuda.streams == [-1]
    capture_cuda_graph(dict)
    assert cuda.streams == [-1]


def test_a_step_is_recorded_on_the_agents_device(cuda: FakeCuda) -> None:
    """And on a stream of that device, whichever is current; afterwards the current device is what it was."""
    agent = Elsewhere(make_agent(config(), SEEDS))
    update = updater(agent, inputs_of(config(), SEEDS), captured=True)  # type: ignore[arg-type]
    assert isinstance(update, CapturedUpdate)
    # Nothing here records: the step is made at once, as where CUDA records another device, and the replay is empty.
    with pytest.raises(ReplayError, match="left the device at step 4, and replayed, which left it at step 4, not 4"):
        for _ in range(WARM_UP + 1):
            update()
    assert cuda.recorded_on == [(1, 1)]
    assert cuda.current == 0
    assert capture_cuda_graph(dict)[1] == {}
    assert cuda.recorded_on == [(1, 1), (0, 0)]


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
@pytest.mark.usefixtures("by_pytorch")
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
    changed = [agent.eta, agent.active, agent.count, *agent.critic.online.named.values()]
    assert {value.device.type for value in [*metrics.values(), *changed]} == {"meta"}
    with pytest.raises((RuntimeError, NotImplementedError), match=r"(?i)device|meta"):
        agent.update(pack_batch(SEEDS, 0), draws)
