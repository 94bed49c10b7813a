"""The same numbers on a GPU as on the CPU, from the same batches and draws; skipped where there is no GPU."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from small import ACTION_DIM, OBSERVATION_DIM, draws_of, inputs_of, pack_batch, small_config

from dac.agent import Agent, Batch, Draws
from dac.agent.components import GUIDANCES
from dac.agent.graph import CapturedUpdate, updater
from dac.agent.streams import BLOCK_STEPS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is here"),
]
SEEDS, STEPS = [0, 1, 2], 50


def to_gpu(values: Batch | Draws) -> Batch | Draws:
    """The same values with every tensor on the GPU."""
    tensors = {field.name: getattr(values, field.name) for field in fields(values)}
    return type(values)(**{name: value if value is None else value.cuda() for name, value in tensors.items()})


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_gpu_and_cpu_agree(guidance: str) -> None:
    """Parameters after 50 steps in float64, where rounding leaves no room for chaos: within 1e-9."""
    config = small_config(guidance=guidance)
    here = Agent(config, SEEDS, OBSERVATION_DIM, ACTION_DIM, dtype=torch.float64)
    there = Agent(config, SEEDS, OBSERVATION_DIM, ACTION_DIM, "cuda", dtype=torch.float64)
    for step in range(STEPS):
        batch = pack_batch(SEEDS, step, torch.float64)
        draws = draws_of(config, SEEDS, step, torch.float64)
        here.update(batch, draws)
        there.update(to_gpu(batch), to_gpu(draws))  # type: ignore[arg-type]
    for run in range(len(SEEDS)):
        expected = here.run_state(run)
        for name, value in there.run_state(run).items():
            torch.testing.assert_close(
                value, expected[name], rtol=1e-9, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}"
            )


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("guidance", ["soft", "denoised"])
def test_a_graph_computes_what_launched_kernels_do(guidance: str, precision: str) -> None:
    """In float32, within rounding; a replay also never waits for the device, where no draws and no order are renewed.

    Both are while the graph is in use: the blocks of draws after 32 steps, the order of the rows after six.
    """
    config = small_config(guidance=guidance, precision=precision)
    eager = Agent(config, SEEDS, OBSERVATION_DIM, ACTION_DIM, "cuda")
    recorded = Agent(config, SEEDS, OBSERVATION_DIM, ACTION_DIM, "cuda")
    inputs = inputs_of(config, SEEDS, "cuda", epoch=6)
    update = updater(recorded, inputs_of(config, SEEDS, "cuda", epoch=6), captured=True)
    assert isinstance(update, CapturedUpdate)
    for step in range(BLOCK_STEPS + 3):
        expected = eager.update(*inputs.at(step))
        renews = step % BLOCK_STEPS == 0 or step % 6 == 0
        torch.cuda.set_sync_debug_mode("error" if step > 5 and not renews else "default")
        try:
            metrics = update()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for name, value in metrics.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5)
    for run in range(len(SEEDS)):
        other = eager.run_state(run)
        for name, value in recorded.run_state(run).items():
            torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-5)
