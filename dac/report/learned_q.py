"""The Q that runs on bandits learned, for the figure that draws its level curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np

from dac.study.identity import Run
from dac.system.children import Child, end_with_parent, serve

Learned = list[np.ndarray]


@contextmanager
def learned(runs: Sequence[Run], grid: np.ndarray, *, apart: bool) -> Iterator[Callable[[], Learned]]:
    """A function that returns what `learned_q` does of each run.

    Args:
        apart: compute it in a process of its own while this one does something else; torch, which takes seconds and as
            much memory as the page, is not loaded in this one then.
    """
    if not (apart and runs):
        yield lambda: [learned_q(run, grid) for run in runs]
        return
    child = Child("critic", _answer, list(runs))
    try:
        child.send(grid)
        yield child.receive
    finally:
        child.close()


def _answer(connection: Connection, runs: Sequence[Run]) -> None:
    end_with_parent()
    serve(connection, lambda grid: [learned_q(run, grid) for run in runs])


def learned_q(run: Run, grid: np.ndarray) -> np.ndarray:
    """Ensemble mean of the Q of a bandit's run on the grid × grid actions, the first axis the second component."""
    import torch

    from dac.agent.networks import q_values
    from dac.training.policies import load_policies

    second, first = np.meshgrid(grid, grid, indexing="ij")
    actions = torch.as_tensor(np.column_stack([first.ravel(), second.ravel()]), dtype=torch.float32)
    policy = load_policies(run.group, [run], run.group.settings.steps, torch.device("cpu"))
    q = q_values(policy.critic, torch.zeros(1, 1, 1), actions.unsqueeze(0)).mean(1)
    return np.asarray(q.view(len(grid), len(grid)).numpy())
