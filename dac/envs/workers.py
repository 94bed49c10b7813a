"""A vector of environments that are stepped in several processes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dac.envs.episodes import episode_vector
from dac.system.children import Child, end_with_parent, serve

Transition = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class WorkerVector:
    """`envs.episode_vector` in worker processes: the same environments in the same order give the same numbers.

    Every worker holds a contiguous slice of the environments. Processes are spawned, so a script that uses this needs
    the usual `if __name__ == "__main__"`.

    Args:
        env_id: as in `envs.make`.
        n: number of environments.
        workers: number of processes, 1 to n.

    Attributes:
        num_envs: n.
        single_action_space: of one environment.
        pids: the processes' numbers.

    Raises:
        UserError: as `envs.make`; here and from every method: a worker has died.
    """

    def __init__(self, env_id: str, n: int, workers: int) -> None:
        self.num_envs = n
        bounds = [n * worker // workers for worker in range(workers + 1)]
        self._slices = [slice(start, end) for start, end in itertools.pairwise(bounds)]
        self._workers: list[Child] = []
        try:
            for part in self._slices:
                self._workers.append(Child("environment worker", _work, env_id, part.stop - part.start))
            self.single_action_space: gym.Space[Any] = self._ask("space", [None] * workers)[0]
        except BaseException:
            self.close()
            raise
        self.pids = [worker.pid for worker in self._workers]

    def reset(self, *, seed: list[int | None]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode in every environment; returns observations (n, O) and no infos."""
        return np.concatenate(self._ask("reset", [seed[part] for part in self._slices])), {}

    def step(self, actions: NDArray[np.floating[Any]]) -> Transition:
        """Take actions (n, A); returns observations (n, O), rewards, terminated and truncated (n,), and no infos."""
        answers = self._ask("step", [actions[part] for part in self._slices])
        observations, rewards, terminated, truncated = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        return observations, rewards, terminated, truncated, {}

    def _ask(self, name: str, arguments: Sequence[Any]) -> list[Any]:
        """All workers' answers; they work at the same time."""
        for worker, argument in zip(self._workers, arguments, strict=True):
            worker.send((name, argument))
        return [worker.receive() for worker in self._workers]

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()


class _Slice:
    """A worker's environments, made at the first request, so that what goes wrong there is an answer."""

    def __init__(self, env_id: str, n: int) -> None:
        self._env_id = env_id
        self._n = n
        self._vector: gym.vector.SyncVectorEnv | None = None

    def __call__(self, request: tuple[str, Any]) -> Any:
        name, argument = request
        if self._vector is None:
            self._vector = episode_vector(self._env_id, self._n)
        if name == "space":
            return self._vector.single_action_space
        if name == "reset":
            return self._vector.reset(seed=argument)[0]
        return self._vector.step(argument)[:4]


def _work(connection: Connection, env_id: str, n: int) -> None:
    end_with_parent()
    serve(connection, _Slice(env_id, n))
