"""The compiled functions against PyTorch's operations, in float64: networks of many shapes, gradients, whole steps."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from small import ACTION_DIM, OBSERVATION_DIM, advance, assert_states_equal, draws_of, make_agent, pack_batch
from small import small_config as config
from torch import Tensor

from dac.agent import Agent, AgentConfig, activation, native, networks
from dac.agent.components import GUIDANCES
from dac.agent.diffusion import make_schedule
from dac.agent.networks import actor_layout, critic_layout, initial_parameters
from dac.agent.optim import Adam, moving_average
from dac.agent.parameters import Layout, Parameters
from dac.agent.policy import sample_actions

pytestmark = pytest.mark.skipif(native._library() is None, reason="needs a C compiler")

# Widths around and between whole vectors and panels of every processor; rows that leave every remainder.
SHAPES = [((8,), 1, 1), ((64, 64, 64), 3, 7), ((5, 33, 17), 2, 12), ((256, 256), 2, 100), ((31, 1, 16), 1, 300)]
OBSERVATION, ACTION, RUNS = 5, 3, 2


@pytest.fixture(params=[1, 2], ids=["one-thread", "two-threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    monkeypatch.setattr(native, "SHARED_OUT", 0)
    yield
    torch.set_num_threads(before)


def made(layout: Layout, dtype: torch.dtype) -> Parameters:
    """Two runs' networks, the same in every type, with biases that are not zero."""
    generator = torch.Generator().manual_seed(0)
    parameters = Parameters(layout, RUNS, "cpu", dtype)
    for run in range(RUNS):
        state = initial_parameters(layout, generator)
        biased = {
            name: value + 0.3 * torch.randn(value.shape, generator=generator).double() for name, value in state.items()
        }
        parameters.load_run_state(run, "", biased)
    return parameters.requires_grad_()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_near(found: Tensor, expected: Tensor) -> None:
    """To a few roundings of the largest number: a sum may cancel."""
    assert found.dtype == torch.float32 and found.shape == expected.shape
    assert (found.double() - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max().item())


@pytest.mark.parametrize(("hidden", "ensemble", "rows"), SHAPES)
@pytest.mark.parametrize("samples", [1, 4])
def test_values(hidden: tuple[int, ...], ensemble: int, rows: int, samples: int, threads: None) -> None:
    layout = critic_layout(OBSERVATION, ACTION, hidden, ensemble)
    states, actions = normal(RUNS, rows, OBSERVATION), normal(RUNS, rows * samples, ACTION, seed=1)
    with torch.no_grad():
        found = networks.q_values(made(layout, torch.float32).named, states, actions)
        expected = networks.q_values(made(layout, torch.float64).named, states.double(), actions.double())
    assert_near(found, expected)


@pytest.mark.parametrize(("hidden", "ensemble", "rows"), SHAPES)
def test_critics_and_their_gradients(hidden: tuple[int, ...], ensemble: int, rows: int, threads: None) -> None:
    layout = critic_layout(OBSERVATION, ACTION, hidden, ensemble)
    found, expected = (
        critics_with_gradients(made(layout, dtype), rows, ensemble) for dtype in (torch.float32, torch.float64)
    )
    for one, other in zip(found, expected, strict=True):
        assert_near(one, other)


def critics_with_gradients(critics: Parameters, rows: int, ensemble: int) -> tuple[Tensor, ...]:
    """Values, the gradient of something of them to the parameters, to the actions alone, and that of their mean."""
    dtype = critics.matrix.dtype
    states, weights = normal(RUNS, rows, OBSERVATION).to(dtype), normal(RUNS, ensemble, rows, seed=2).to(dtype)
    actions = normal(RUNS, rows, ACTION, seed=1).to(dtype)
    values = networks.q_values(critics.named, states, actions)
    of_parameters = critics.gradient((values * weights).sum())
    actions.requires_grad_()
    (of_actions,) = torch.autograd.grad((networks.q_values(critics.named, states, actions) * weights).sum(), actions)
    return values.detach(), of_parameters, of_actions, networks.action_gradient(critics.named, states, actions)


@pytest.mark.parametrize(("hidden", "rows"), [(hidden, rows) for hidden, _, rows in SHAPES])
def test_noise_prediction_and_its_gradient(hidden: tuple[int, ...], rows: int, threads: None) -> None:
    layout = actor_layout(OBSERVATION, ACTION, hidden)
    t = torch.randint(1, 6, (RUNS, rows), generator=torch.Generator().manual_seed(3))
    results = []
    for dtype in (torch.float32, torch.float64):
        actor = made(layout, dtype)
        x_t, states = normal(RUNS, rows, ACTION).to(dtype), normal(RUNS, rows, OBSERVATION, seed=1).to(dtype)
        prediction = networks.noise_prediction(actor.named, x_t, states, t)
        weights = normal(RUNS, rows, ACTION, seed=2).to(dtype)
        results.append((prediction.detach(), actor.gradient((prediction * weights).sum())))
    for one, other in zip(*results, strict=True):
        assert_near(one, other)


@pytest.mark.parametrize(("hidden", "rows"), [(hidden, rows) for hidden, _, rows in SHAPES])
@pytest.mark.parametrize("settings", [{}, {"clip_denoised": False}, {"sampler": "ddim", "sampler_steps": 3}])
def test_sampling(
    hidden: tuple[int, ...], rows: int, settings: dict[str, object], threads: None, request: pytest.FixtureRequest
) -> None:
    """Early steps divide by a small signal, which makes float32's roundings larger: no more than PyTorch's are."""
    agent_config = AgentConfig(**settings)  # type: ignore[arg-type]
    layout, samples, steps = actor_layout(OBSERVATION, ACTION, hidden), 3, agent_config.diffusion_steps
    states, prior = normal(RUNS, rows, OBSERVATION), normal(RUNS, 2, rows * samples, ACTION, seed=1)[:, 1]
    z = normal(RUNS, 2, steps - 1, rows * samples, ACTION, seed=2)[:, 0] if agent_config.sampler == "ddpm" else None

    def actions(dtype: torch.dtype) -> Tensor:
        schedule, named = make_schedule("vp", steps, dtype=dtype), made(layout, dtype).named
        noise = None if z is None else z.to(dtype)
        return sample_actions(agent_config, schedule, named, states.to(dtype), prior.to(dtype), noise)

    exact, found = actions(torch.float64), actions(torch.float32)
    request.getfixturevalue("by_pytorch")
    error, usual = ((x.double() - exact).abs().max() for x in (found, actions(torch.float32)))
    assert found.shape == exact.shape and error <= 4 * usual.clamp(min=1e-6)


@pytest.mark.parametrize("size", [0, 1, 3, 15, 16, 17, 1000, 4097])
def test_mish(size: int, threads: None) -> None:
    x = 8 * normal(size)
    x[:3] = torch.tensor([0.0, 1e4, -1e4])[:size]
    value, slope = native.mish_and_slope(x)
    exact = x.double().requires_grad_()
    expected = torch.nn.functional.mish(exact)
    (derivative,) = torch.autograd.grad(expected.sum(), exact)
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-6, atol=1e-30)
    torch.testing.assert_close(slope.double(), derivative, rtol=0, atol=1e-6)
    assert torch.equal(native.mish(x.clone()), activation.mish(x)) and torch.allclose(x, value, rtol=1e-6, atol=0)


def test_what_is_not_finite_stays_so() -> None:
    x = torch.tensor([float("nan"), float("inf"), float("-inf"), 1.0])
    value, slope = native.mish_and_slope(x)
    assert (~torch.isfinite(value)).tolist() == [True, True, True, False]
    assert torch.isnan(slope[0])


def test_nothing_changes_a_bit_but_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the pack nor the threads: five steps of a run by itself, and beside others, by one thread and by two."""
    settings = config(hidden_sizes=(48, 48), lr_decay_steps=12)
    alone = states_after(settings, [1], 5)[0]
    monkeypatch.setattr(native, "SHARED_OUT", 0)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            beside = states_after(settings, [0, 1, 2], 5)[1]
            assert_states_equal(alone, beside)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("guidance", "precision"), [*itertools.product(GUIDANCES, ["fp32", "bf16"])])
def test_steps_are_those_of_pytorch(guidance: str, precision: str, request: pytest.FixtureRequest) -> None:
    """Twenty steps of two runs by either code: what differs is float32's rounding."""
    settings = config(guidance=guidance, precision=precision, lr_decay_steps=30, eta_lr=1e-3)
    found = states_after(settings, [0, 1], 20)
    request.getfixturevalue("by_pytorch")
    expected = states_after(settings, [0, 1], 20)
    for one, other in zip(found, expected, strict=True):
        for name, value in other.items():
            # Of the whole tensor: where a gradient is all but zero, Adam makes a whole step of its rounding.
            apart = torch.linalg.vector_norm(one[name].double() - value.double())
            assert apart <= 1e-3 * torch.linalg.vector_norm(value.double()) + 1e-6, name
        assert not torch.equal(one["actor/noise/0/kernel"], other["actor/noise/0/kernel"])


def states_after(settings: AgentConfig, seeds: list[int], steps: int) -> list[dict[str, Tensor]]:
    """The runs' states after some gradient steps."""
    agent = make_agent(settings, seeds)
    advance(agent, seeds, steps)
    return [agent.run_state(run) for run in range(len(seeds))]


@pytest.mark.parametrize("size", [1, 100, 40_000])
def test_the_optimiser(size: int, threads: None, request: pytest.FixtureRequest) -> None:
    """Three steps of three runs: a long gradient, a short one, and one that is not finite from the second on."""
    results = []
    for by_pytorch in (False, True):
        if by_pytorch:
            request.getfixturevalue("by_pytorch")
        parameters, target = normal(3, size), normal(3, size, seed=1)
        adam = Adam(torch.zeros(3, size), torch.zeros(3, size))
        active = torch.tensor([True, True, True])
        for step in range(3):
            gradient = normal(3, size, seed=2 + step) * torch.tensor([[1.0], [1e-3], [1.0]]) * 3
            gradient[2, 0] = float("inf") if step else 1.0
            count, lr = torch.tensor(float(step), dtype=torch.float64), torch.tensor(1e-2, dtype=torch.float64)
            active = adam.descend(parameters, gradient, torch.ones(3), active, count, lr, 1.0)
            moving_average(target, parameters, (0.1, 0.7, 1.0)[step], active)
        results.append((parameters, target, adam.first, adam.second))
        assert active.tolist() == [True, True, False]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=1e-7)


def test_a_loss_that_is_not_finite_stops_its_run() -> None:
    adam, parameters = Adam(torch.zeros(2, 4), torch.zeros(2, 4)), torch.ones(2, 4)
    step = torch.tensor(0.0, dtype=torch.float64)
    loss = torch.tensor([float("nan"), 1.0])
    active = adam.descend(parameters, torch.ones(2, 4), loss, torch.tensor([True, True]), step, step + 0.1, 1.0)
    assert active.tolist() == [False, True]
    assert torch.equal(parameters[0], torch.ones(4)) and not torch.equal(parameters[1], torch.ones(4))


def test_float64_and_other_precisions_are_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The half without a gradient in bf16, and all of float64; float32 is the compiled functions'."""
    called: list[str] = []
    for name in ("sample", "values", "outputs", "action_gradient"):
        monkeypatch.setattr(native, name, counted(name, called))
    for precision, dtype, expected in (
        ("tf32", torch.float32, {"sample", "values", "outputs", "action_gradient"}),
        ("bf16", torch.float32, {"values", "outputs", "action_gradient"}),
        ("fp32", torch.float64, set()),
    ):
        called.clear()
        settings = config(precision=precision)
        agent = Agent(settings, [0], OBSERVATION_DIM, ACTION_DIM, dtype=dtype)
        agent.update(pack_batch([0], 0, dtype), draws_of(settings, [0], 0, dtype))
        assert set(called) == expected, precision


def counted(name: str, called: list[str]) -> object:
    function = getattr(native, name)

    def wrapper(*args: object, **settings: object) -> object:
        called.append(name)
        return function(*args, **settings)

    return wrapper


@pytest.mark.parametrize("rows", range(1, 26))
def test_a_row_does_not_know_of_others(rows: int) -> None:
    """To the bit, wherever in a block it is: the first rows of many are those of few."""
    agent = make_agent(config(hidden_sizes=(40, 24)), [0])
    states, actions = normal(1, 60, OBSERVATION_DIM), normal(1, 60, ACTION_DIM, seed=1)
    t = torch.full((1, 60), 3)
    z = normal(1, agent.config.diffusion_steps - 1, 60, ACTION_DIM, seed=2)

    def found(count: int) -> list[Tensor]:
        few, taken = states[:, :count], actions[:, :count]
        critics, actor = agent.critic.online.named, agent.actor.online.named
        with torch.no_grad():
            valued = networks.q_values(critics, few, taken).transpose(1, 2)
        return [
            valued,
            networks.q_values(critics, few, taken).transpose(1, 2),
            networks.action_gradient(critics, few, taken),
            networks.noise_prediction(actor, taken, few, t[:, :count]),
            sample_actions(agent.config, agent.schedule, actor, few, taken, z[:, :, :count]),
        ]

    for few, many in zip(found(rows), found(60), strict=True):
        assert torch.equal(few, many[:, :rows])
    without_gradient, with_gradient, *_ = found(rows)
    assert torch.equal(without_gradient, with_gradient)


def test_no_rows() -> None:
    agent = make_agent(config(), [0, 1])
    states, actions = torch.empty(2, 0, OBSERVATION_DIM), torch.empty(2, 0, ACTION_DIM)
    z, t = torch.empty(2, agent.config.diffusion_steps - 1, 0, ACTION_DIM), torch.empty(2, 0, dtype=torch.int64)
    critics, actor = agent.critic.target.named, agent.actor.online.named
    assert networks.q_values(critics, states, actions).shape == (2, agent.config.ensemble_size, 0)
    assert networks.action_gradient(critics, states, actions).shape == (2, 0, ACTION_DIM)
    assert networks.noise_prediction(actor, actions, states, t).shape == (2, 0, ACTION_DIM)
    assert sample_actions(agent.config, agent.schedule, actor, states, actions, z).shape == (2, 0, ACTION_DIM)


def test_shapes_that_do_not_fit_are_refused() -> None:
    """What native.c would read lies behind the tensors."""
    agent = make_agent(config(), [0, 1])
    critics, actor = agent.critic.target.named, agent.actor.online.named
    states, actions = normal(2, 4, OBSERVATION_DIM), normal(2, 8, ACTION_DIM)
    z = normal(2, agent.config.diffusion_steps - 1, 8, ACTION_DIM)
    t = torch.ones(2, 4, dtype=torch.int64)

    def sampled(states: Tensor, prior: Tensor, z: Tensor) -> Tensor:
        return sample_actions(agent.config, agent.schedule, actor, states, prior, z)

    for refused in (
        lambda: networks.q_values(critics, normal(2, 4, OBSERVATION_DIM + 1), actions),
        lambda: networks.q_values(critics, states, normal(2, 8, ACTION_DIM - 1)),
        lambda: networks.q_values(critics, states[:1], actions),
        lambda: networks.q_values(critics, states, actions[:, :7]),
        lambda: networks.action_gradient(critics, states[:, :, :-1], actions[:, :4]),
        lambda: networks.noise_prediction(actor, actions, states, t),
        lambda: networks.noise_prediction(actor, actions[:, :4], states, t[:, :1]),
        lambda: sampled(states[:, :, :-1], actions, z),
        lambda: sampled(states, actions[:1], z),
        lambda: sampled(states, actions, z[:, :, :7]),
        lambda: sampled(states, actions, z.double()),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            refused()
    assert torch.equal(sampled(states, actions, z[:1]), sampled(states, actions, z[:1].expand(2, -1, -1, -1)))


def test_pytorchs_defaults_change_nothing() -> None:
    agent = make_agent(config(), [0])
    states, actions = normal(1, 4, OBSERVATION_DIM), normal(1, 4, ACTION_DIM)
    expected = networks.q_values(agent.critic.target.named, states, actions)
    torch.set_default_dtype(torch.float64)
    try:
        found = networks.q_values(agent.critic.target.named, states, actions)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


@pytest.mark.parametrize("again", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_copies_are_of_their_own_parameters(again: Callable[[Any], Any]) -> None:
    """Of networks that were used: a copy computes the same, and goes its own way when it is trained."""
    critics = make_agent(config(), [0]).critic.online
    states, actions = normal(1, 4, OBSERVATION_DIM), normal(1, 4, ACTION_DIM)
    before = networks.q_values(critics.named, states, actions)
    other = again(critics)
    assert torch.equal(networks.q_values(other.named, states, actions), before)
    gradient = other.gradient(networks.q_values(other.named, states, actions).sum())
    assert torch.equal(gradient, critics.gradient(before.sum()))
    with torch.no_grad():
        other.matrix.mul_(0.5)
        assert torch.equal(other.named["1/kernel"], critics.named["1/kernel"] / 2)
        assert not torch.equal(networks.q_values(other.named, states, actions), before)
        assert torch.equal(networks.q_values(critics.named, states, actions), before)


def test_gradients_of_changed_parameters_are_refused() -> None:
    agent = make_agent(config(), [0])
    critics, batch, draws = agent.critic.online, pack_batch([0], 0), draws_of(agent.config, [0], 0)
    values = networks.q_values(critics.named, batch.observations, batch.actions)
    agent.update(batch, draws)
    with pytest.raises(RuntimeError, match="parameters were changed"):
        critics.gradient(values.sum())
    with pytest.raises(RuntimeError, match="does not depend on the network"):
        critics.gradient(torch.ones((), requires_grad=True) * 2)


def test_a_gradient_to_observations_is_not_lost() -> None:
    critics = make_agent(config(), [0]).critic.target.named
    states, actions = normal(1, 4, OBSERVATION_DIM).requires_grad_(), normal(1, 4, ACTION_DIM)
    (found,) = torch.autograd.grad(networks.q_values(critics, states, actions).sum(), states)
    doubled = {name: value.double() for name, value in critics.items()}
    exact = states.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(networks.q_values(doubled, exact, actions.double()).sum(), exact)
    assert_near(found, expected)


def test_memory_that_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    library = native._library()
    monkeypatch.setattr(library, "mish", lambda *_: 1)
    with pytest.raises(MemoryError, match="no memory for the activations of a network"):
        native.mish(torch.ones(3))
