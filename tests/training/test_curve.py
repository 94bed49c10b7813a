from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pandas as pd
import pytest
import torch
from processes import all_gone, children, process_of

from dac.agent import Agent, AgentConfig
from dac.system.errors import UserError
from dac.system.signals import StopRequest
from dac.training.curve import CurveTask, Evaluator, Overlapped, PolicyState, evaluator

CONFIG = AgentConfig(hidden_sizes=(8, 8), ensemble_size=2)
TASK = CurveTask(
    env_id="Hopper-v5",
    config=CONFIG,
    seeds=(0, 1),
    episodes=2,
    action_samples=2,
    temperature=0.0,
    device=torch.device("cpu"),
    threads=1,
)
LONG = replace(TASK, env_id="HalfCheetah-v5", episodes=50)  # 1000 steps each: seconds


def states(observation_dim: int = 11, action_dim: int = 3) -> list[PolicyState]:
    agent = Agent(CONFIG, [0, 1], observation_dim, action_dim)
    return [agent.policy_state(run) for run in range(2)]


@pytest.fixture
def busy() -> Iterator[Overlapped]:
    """An evaluator with two workers in the middle of a long evaluation."""
    with closing(Overlapped(LONG, 2, StopRequest())) as evaluations:
        evaluations.submit(0, states(17, 6))
        until = time.monotonic() + 60
        while len(children(evaluations.pid)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        yield evaluations


def frames(evaluations: Evaluator) -> list[pd.DataFrame]:
    found = []
    for step in (0, 10):
        evaluations.submit(step, states())
        assert evaluations.pending == step
        found.append(evaluations.result())
        assert evaluations.pending is None
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_rows_in_this_process_and_beside_it(workers: int) -> None:
    with (
        closing(evaluator(TASK, 0, StopRequest())) as inside,
        closing(evaluator(TASK, workers, StopRequest())) as beside,
    ):
        assert isinstance(beside, Overlapped)
        for expected, found in zip(frames(inside), frames(beside), strict=True):
            assert expected["return"].nunique() == 4
            pd.testing.assert_frame_equal(
                found.drop(columns="action"), expected.drop(columns="action"), check_exact=True
            )
        grandchildren = children(beside.pid)
        assert len(grandchildren) == (2 if workers == 2 else 0)
        assert beside.waited > 0
    assert all_gone([beside.pid], 0)
    assert all_gone(grandchildren)


def test_ready_says_whether_collecting_would_wait(busy: Overlapped) -> None:
    assert busy.pending == 0
    assert not busy.ready()
    with closing(evaluator(TASK, 0, StopRequest())) as inside:
        assert not inside.ready()
        inside.submit(0, states())
        assert inside.ready()


def test_a_dead_evaluator_is_an_error(busy: Overlapped) -> None:
    workers = children(busy.pid)
    os.kill(busy.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=rf"The evaluator process \(pid {busy.pid}\) ended unexpectedly, by signal 9"):
        busy.result()
    assert all_gone(workers)


def test_a_dead_worker_of_the_evaluator_is_an_error(busy: Overlapped) -> None:
    workers = children(busy.pid)
    os.kill(workers[0], signal.SIGKILL)
    with pytest.raises(UserError, match=rf"environment worker process \(pid {workers[0]}\) ended unexpectedly"):
        busy.result()


def test_close_gives_a_pending_evaluation_up(busy: Overlapped) -> None:
    everyone = [busy.pid, *children(busy.pid)]
    assert len(everyone) == 3
    process = process_of(busy.pid)
    busy.close()
    assert process.exitcode == -signal.SIGKILL  # and not ended by itself, with the evaluation
    assert all_gone(everyone)


def test_an_environment_that_cannot_be_made() -> None:
    with closing(Overlapped(replace(TASK, env_id="Hoper-v5"), 1, StopRequest())) as evaluations:
        evaluations.submit(0, states())
        with pytest.raises(UserError, match=r"'Hoper-v5' is unknown"):
            evaluations.result()


def test_a_lack_of_memory_stays_one() -> None:
    """The trainer answers it with smaller packs."""
    with closing(Overlapped(Refusing(**vars(TASK)), 1, StopRequest())) as evaluations:
        evaluations.submit(0, states())
        with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
            evaluations.result()


class Refusing(CurveTask):
    """A task that the device's memory does not hold."""

    def evaluate(self, *_: object) -> pd.DataFrame:
        raise torch.OutOfMemoryError("CUDA out of memory")
