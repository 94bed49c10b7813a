"""Evaluations of a pack of policies during training: in the training's process, or beside it in one of their own."""

from __future__ import annotations

import abc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dac.agent import AgentConfig, Policy
from dac.system import devices
from dac.system.children import Child, end_with_parent, serve
from dac.system.errors import UserError
from dac.system.signals import Stopped, StopRequest
from dac.training.policies import PolicyState
from dac.training.rollouts import Rollouts, worker_processes

STOP_SECONDS = 0.2  # between two looks for a stop while an evaluation is waited for

Request = tuple[int, list[dict[str, NDArray[Any]]]]


@dataclass(frozen=True)
class CurveTask:
    """What all evaluations of one pack have in common.

    Attributes:
        env_id: as in `envs.make`.
        config: of the agents.
        seeds: of the R runs.
        episodes: E, per run and evaluation.
        action_samples: N_a.
        temperature: of the choice among them.
        device: where the policies act.
        threads: of torch in the process that acts. On a CPU sums may depend on it, so it is the training's.
    """

    env_id: str
    config: AgentConfig
    seeds: tuple[int, ...]
    episodes: int
    action_samples: int
    temperature: float
    device: torch.device
    threads: int

    def rollouts(self, workers: int, stop: StopRequest | None = None) -> Rollouts:
        """The environments, see `Rollouts`."""
        return Rollouts(self.env_id, len(self.seeds), self.episodes, self.device, workers, stop)

    def evaluate(self, rollouts: Rollouts, step: int, states: Sequence[PolicyState]) -> pd.DataFrame:
        """Roll the R policies out, see `Rollouts.evaluate`."""
        policy = Policy.from_states(self.config, states, self.device)
        return rollouts.evaluate(policy, self.seeds, "curve", step, self.action_samples, self.temperature)


class Evaluator(abc.ABC):
    """Evaluates one snapshot of the policies at a time.

    Args:
        task: what all evaluations have in common.
        stop: asked while `result` waits.

    Attributes:
        pending: gradient step of the evaluation that was submitted and whose result was not taken; None: there is none.
        states: the R snapshots that it is of, empty where none is pending.
        waited: seconds spent in `submit` and `result` so far.
    """

    def __init__(self, task: CurveTask, stop: StopRequest) -> None:
        self.task = task
        self.stop = stop
        self.pending: int | None = None
        self.states: Sequence[PolicyState] = ()
        self.waited = 0.0

    def submit(self, step: int, states: Sequence[PolicyState]) -> None:
        """Begin an evaluation; none may be pending.

        Args:
            step: gradient steps that the policies were trained for.
            states: R snapshots, `Agent.policy_state`.

        Raises:
            UserError: the evaluator's process has died.
            RuntimeError: in which `devices.out_of_memory` finds it: the device's memory does not suffice;
                `result` may raise it, too.
        """
        started = time.monotonic()
        self._submit(step, states)
        self.pending, self.states = step, states
        self.waited += time.monotonic() - started

    def result(self) -> pd.DataFrame:
        """Wait for the pending evaluation; returns its R·E rows, see `Rollouts.evaluate`.

        Raises:
            UserError: the evaluator's process, or a worker, has died.
            Stopped: a stop was asked for; the evaluation stays pending, and is not to be waited for again.
        """
        started = time.monotonic()
        try:
            episodes = self._result()
        finally:
            self.waited += time.monotonic() - started
        self.pending, self.states = None, ()
        return episodes

    @abc.abstractmethod
    def ready(self) -> bool:
        """Whether an evaluation is pending and `result` would not wait."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the environments and end all processes; a pending evaluation is given up."""

    @abc.abstractmethod
    def _submit(self, step: int, states: Sequence[PolicyState]) -> None: ...

    @abc.abstractmethod
    def _result(self) -> pd.DataFrame: ...


class InProcess(Evaluator):
    """Evaluates in `result`."""

    def __init__(self, task: CurveTask, stop: StopRequest) -> None:
        super().__init__(task, stop)
        self._rollouts = task.rollouts(0, stop)

    def ready(self) -> bool:
        return self.pending is not None

    def close(self) -> None:
        self._rollouts.close()

    def _submit(self, step: int, states: Sequence[PolicyState]) -> None:
        """Nothing yet: what is pending can be saved before it is begun."""

    def _result(self) -> pd.DataFrame:
        assert self.pending is not None
        return self.task.evaluate(self._rollouts, self.pending, self.states)


class Overlapped(Evaluator):
    """Evaluates in a process of its own, with its own policies and, on a GPU, its own context, while training goes on.

    Args:
        workers: n >= 1 environment processes; with one the evaluator itself steps the environments.

    Attributes:
        pid: the process's number.
    """

    def __init__(self, task: CurveTask, workers: int, stop: StopRequest) -> None:
        super().__init__(task, stop)
        self._child = Child("evaluator", _work, task, workers)
        self.pid = self._child.pid

    def ready(self) -> bool:
        return self.pending is not None and self._child.ready()

    def close(self) -> None:
        self._child.close()

    def _submit(self, step: int, states: Sequence[PolicyState]) -> None:
        # As arrays: torch would send tensors as handles of shared memory, which may be short.
        request: Request = (step, [{name: value.numpy() for name, value in state.items()} for state in states])
        self._child.send(request)

    def _result(self) -> pd.DataFrame:
        while not self._child.ready(STOP_SECONDS):
            if self.stop:
                raise Stopped
        episodes: pd.DataFrame = self._child.receive()
        return episodes


def evaluator(task: CurveTask, workers: int, stop: StopRequest) -> Evaluator:
    """The evaluator for a number of workers, see `rollouts.evaluation_workers`.

    Raises:
        UserError: as `envs.make`; of an overlapped one it comes from `result`.
    """
    return Overlapped(task, workers, stop) if workers else InProcess(task, stop)


class _Evaluations:
    """What the process does; the environments are made at the first request, so that an error there is an answer."""

    def __init__(self, task: CurveTask, workers: int) -> None:
        self._task = task
        self._workers = workers
        self._rollouts: Rollouts | None = None

    def __call__(self, request: Request) -> pd.DataFrame:
        step, arrays = request
        if self._rollouts is None:
            self._rollouts = self._task.rollouts(worker_processes(self._workers))
        states = [{name: torch.from_numpy(np.array(value)) for name, value in state.items()} for state in arrays]
        return self._task.evaluate(self._rollouts, step, states)

    def close(self) -> None:
        if self._rollouts is not None:
            self._rollouts.close()


def _work(connection: Connection, task: CurveTask, workers: int) -> None:
    end_with_parent()
    devices.use(task.device)
    torch.set_num_threads(task.threads)
    evaluations = _Evaluations(task, workers)
    try:
        serve(connection, evaluations, (UserError, torch.OutOfMemoryError, MemoryError))
    finally:
        evaluations.close()
