from __future__ import annotations

from contextlib import closing

import pandas as pd
import pytest
import torch

from dac.agent import Agent, AgentConfig
from dac.training.rollouts import Rollouts, evaluation_workers, worker_processes

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def rows(workers: int) -> list[pd.DataFrame]:
    """Two runs' episodes at two steps."""
    policy = Agent(AgentConfig(hidden_sizes=(8, 8), ensemble_size=2), [0, 1], 11, 3).policy
    with closing(Rollouts("Hopper-v5", 2, 3, CPU, workers)) as rollouts:
        return [rollouts.evaluate(policy, [0, 1], "curve", step, 2, 0.5) for step in (0, 10)]


def test_workers_change_no_number() -> None:
    expected = rows(0)
    assert expected[0]["return"].nunique() == 6
    for workers in (1, 2):
        for found, frame in zip(rows(workers), expected, strict=True):
            exact = frame.drop(columns="action")
            pd.testing.assert_frame_equal(found.drop(columns="action"), exact, check_exact=True)
            assert [one.tobytes() for one in found["action"]] == [one.tobytes() for one in frame["action"]]


@pytest.mark.parametrize(
    ("setting", "device", "threads", "environments", "expected"),
    [
        ("auto", CPU, 16, 80, 0),
        ("auto", GPU, 16, 80, 15),
        ("auto", GPU, 32, 80, 16),
        ("auto", GPU, 16, 10, 2),
        ("auto", GPU, 1, 80, 1),
        ("auto", GPU, 16, 2, 1),
        (0, GPU, 16, 80, 0),
        (3, CPU, 1, 80, 3),
        (200, CPU, 1, 80, 80),
    ],
)
def test_the_number_of_workers(
    setting: int | str, device: torch.device, threads: int, environments: int, expected: int
) -> None:
    assert evaluation_workers(setting, device, threads, environments) == expected


def test_one_worker_is_the_process_that_acts() -> None:
    assert [worker_processes(workers) for workers in (0, 1, 2, 15)] == [0, 0, 2, 15]
