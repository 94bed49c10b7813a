from __future__ import annotations

import os
import signal
from contextlib import closing

import numpy as np
import pytest
from linear import linear_policy
from processes import all_gone

from dac import envs
from dac.envs.workers import WorkerVector
from dac.system.errors import UserError


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_same_episodes_as_in_one_process(workers: int) -> None:
    """To the bit, with slices of different sizes and ragged episodes, and again with other seeds."""
    with closing(envs.episode_vector("Hopper-v5", 7)) as one, closing(WorkerVector("Hopper-v5", 7, workers)) as many:
        assert many.num_envs == 7
        assert many.single_action_space == one.single_action_space
        for seeds in (list(range(7)), list(range(20, 13, -1))):
            expected, found = (envs.rollout(vector, linear_policy, seeds) for vector in (one, many))
            assert found.returns.tolist() == expected.returns.tolist()
            assert found.lengths.tolist() == expected.lengths.tolist()
            assert found.last_actions.tobytes() == expected.last_actions.tobytes()
            assert len(set(found.lengths.tolist())) > 2


def test_every_step_is_the_same() -> None:
    with closing(envs.episode_vector("Hopper-v5", 3)) as one, closing(WorkerVector("Hopper-v5", 3, 2)) as many:
        observations, others = one.reset(seed=[1, 2, 3])[0], many.reset(seed=[1, 2, 3])[0]
        for _ in range(100):
            assert (others.dtype, others.tobytes()) == (observations.dtype, observations.tobytes())
            step, other = one.step(linear_policy(observations)), many.step(linear_policy(others))
            for value, found in zip(step[:4], other[:4], strict=True):
                assert (found.dtype, found.tobytes()) == (value.dtype, value.tobytes())
            observations, others = step[0], other[0]


def test_an_environment_that_cannot_be_made() -> None:
    with pytest.raises(UserError, match=r"'Hoper-v5' is unknown. Close matches: .*Hopper-v5"):
        WorkerVector("Hoper-v5", 2, 2)


def test_a_dead_worker_is_an_error() -> None:
    with closing(WorkerVector("InvertedPendulum-v5", 4, 2)) as vector:
        vector.reset(seed=[0, 1, 2, 3])
        os.kill(vector.pids[1], signal.SIGKILL)
        message = rf"environment worker process \(pid {vector.pids[1]}\) ended unexpectedly, by signal 9"
        with pytest.raises(UserError, match=message):
            vector.step(np.zeros((4, 1), np.float32))
    assert all_gone(vector.pids, 0)


def test_a_failure_in_a_worker_is_an_error() -> None:
    with closing(WorkerVector("InvertedPendulum-v5", 2, 2)) as vector, pytest.raises(RuntimeError, match="in a child"):
        vector.step(np.zeros((2, 1), np.float32))  # before any reset


def test_close_leaves_no_process() -> None:
    vector = WorkerVector("InvertedPendulum-v5", 2, 2)
    vector.close()
    assert all_gone(vector.pids, 0)
    vector.close()
