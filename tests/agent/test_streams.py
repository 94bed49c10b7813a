from __future__ import annotations

import dataclasses

import pytest
import torch
from small import small_config

from dac.agent import ActingNoise, AgentConfig, Draws, ShuffledScan, UpdateNoise, stream_generator
from dac.agent.streams import BLOCK_STEPS


def test_generators_differ_by_every_part() -> None:
    parts = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]
    first = [torch.randn(4, generator=stream_generator(*part)) for part in parts]
    again = [torch.randn(4, generator=stream_generator(*part)) for part in parts]
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert len({tuple(values.tolist()) for values in first}) == 4


@pytest.mark.parametrize("guidance", ["soft", "denoised"])
def test_draws_are_the_same_in_any_pack_and_order(guidance: str) -> None:
    config = small_config(guidance=guidance)
    pack = UpdateNoise([3, 7, 5], config, 16, 2)
    alone = UpdateNoise([7], config, 16, 2)
    steps = (BLOCK_STEPS + 3, 0, BLOCK_STEPS - 1, 5)
    for step in steps:
        together, single = pack.draws(step), alone.draws(step)
        for field in dataclasses.fields(together):
            value = getattr(together, field.name)
            if guidance == "soft" and field.name.startswith("actor_"):
                assert value is None
            else:
                assert torch.equal(value[1], getattr(single, field.name)[0]), field.name
                assert not torch.equal(value[1], value[0])


def test_draws_have_their_distributions_and_shapes() -> None:
    config = small_config(guidance="denoised", diffusion_steps=4)
    noise = UpdateNoise([0], config, 64, 2)
    many = [noise.draws(step) for step in range(2 * BLOCK_STEPS)]
    assert many[0].critic_prior.shape == (1, 256, 2)
    assert many[0].critic_z is not None and many[0].critic_z.shape == (1, 3, 256, 2)
    assert many[0].actor_z is not None and many[0].actor_z.shape == (1, 3, 64, 2)
    eps = torch.stack([draws.eps for draws in many])
    assert abs(eps.mean().item()) < 0.04 and abs(eps.std().item() - 1) < 0.03
    times = torch.stack([draws.t for draws in many]).flatten()
    counts = times.bincount(minlength=5).tolist()
    assert counts[0] == 0 and len(counts) == 5
    assert min(counts[1:]) > 0.22 * len(times)
    assert not torch.equal(many[0].eps, many[1].eps)


def test_the_deterministic_sampler_draws_no_noise() -> None:
    config = small_config(sampler="ddim")
    assert UpdateNoise([0], config, 16, 2).draws(0).critic_z is None
    assert ActingNoise([0], "evaluation", 0, config, 3, 4, 2).draws(0).z is None


def test_draws_for_next_actions_are_not_made_where_all_transitions_end() -> None:
    config = AgentConfig(guidance="denoised")
    with_them = UpdateNoise([3], config, 4, 2).draws(5)
    without = UpdateNoise([3], config, 4, 2, next_actions=False).draws(5)
    assert without.critic_prior is None and without.critic_z is None
    for name in Draws.__dataclass_fields__:
        if not name.startswith("critic"):
            assert torch.equal(getattr(without, name), getattr(with_them, name)), name


def test_acting_noise_depends_on_seed_purpose_and_step_alone() -> None:
    config = small_config(temperature=0.5)

    def draws(seeds: list[int], purpose: str, step: int, time: int) -> torch.Tensor:
        return ActingNoise(seeds, purpose, step, config, 3, 4, 2).draws(time).prior

    reference = draws([4], "curve", 100, 40)[0]
    assert torch.equal(draws([1, 4], "curve", 100, 40)[1], reference)
    for other in (draws([5], "curve", 100, 40), draws([4], "final", 100, 40), draws([4], "curve", 200, 40)):
        assert not torch.equal(other[0], reference)
    full = ActingNoise([1, 4], "curve", 100, config, 3, 4, 2).draws(0)
    assert full.prior.shape == (2, 12, 2)
    assert full.z is not None and full.z.shape == (2, 4, 12, 2)
    assert full.gumbel is not None and full.gumbel.shape == (2, 3, 4)
    assert ActingNoise([1], "curve", 0, config, 3, 4, 2, temperature=0.0).draws(0).gumbel is None


def test_gumbel_moments() -> None:
    noise = ActingNoise([0], "curve", 0, small_config(), 500, 10, 2, temperature=1.0).draws(0).gumbel
    assert noise is not None
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.06)
    assert noise.var().item() == pytest.approx(torch.pi**2 / 6, rel=0.1)


def test_a_scan_covers_every_row_at_most_once_per_epoch() -> None:
    scan = ShuffledScan([0, 9], 103, 10)
    assert scan.batches_per_epoch == 10
    epochs = [torch.cat([scan.batch_indices(10 * epoch + i) for i in range(10)], dim=1) for epoch in range(3)]
    for epoch in epochs:
        assert epoch.shape == (2, 100)
        for run in epoch:
            assert len(set(run.tolist())) == 100
            assert run.min() >= 0 and run.max() < 103
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0][0], epochs[0][1])
    assert len(set(torch.cat(epochs, dim=1)[0].tolist())) == 103  # another remainder is dropped each time


def test_batches_are_the_same_in_any_pack_and_order() -> None:
    pack, alone = ShuffledScan([2, 6], 50, 8), ShuffledScan([6], 50, 8)
    for step in (20, 3, 21, 0):
        assert torch.equal(pack.batch_indices(step)[1], alone.batch_indices(step)[0])


def test_a_batch_larger_than_the_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size: 64; the dataset has only 50 transitions"):
        ShuffledScan([0], 50, 64)
