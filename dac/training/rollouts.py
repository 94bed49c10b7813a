"""Episodes of a pack of policies in a Gymnasium vector environment."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from dac import envs
from dac.agent import ActingNoise, Policy
from dac.cost.estimate import ENVIRONMENTS_PER_WORKER
from dac.envs.workers import WorkerVector
from dac.rows.raw import FloatArray
from dac.system.signals import Stopped, StopRequest


def episode_seed(seed: int, purpose: str, step: int, episode: int) -> int:
    """Seed of one episode's environment: a function of the run, what the episode is for, the step and its number."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}/{episode}/environment".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def evaluation_workers(setting: int | str, device: torch.device, threads: int, environments: int) -> int:
    """How many processes step environments, by `compute.evaluation_workers`; 0: everything in the caller's process.

    Args:
        setting: a number, or `auto`: none on a CPU, where the training uses the job's cores itself.
        threads: cores of the job.
        environments: R·E.
    """
    if isinstance(setting, int):
        return min(setting, environments)
    if device.type == "cpu":
        return 0
    return max(1, min(threads - 1, environments // ENVIRONMENTS_PER_WORKER))


def worker_processes(workers: int) -> int:
    """Processes to start for so many workers: one worker is the process that acts, which has nothing else to do."""
    return workers if workers > 1 else 0


class Rollouts:
    """Environments for R policies × E episodes, kept open between evaluations.

    Args:
        env_id: Gymnasium id.
        runs: R, policies in the pack.
        episodes: E, episodes per policy; they run at the same time, one environment each.
        device: where the policies are.
        workers: processes that step the environments; 0: this one. It changes no number.
        stop: asked before every time step; None: nothing ever asks for a stop.

    Raises:
        UserError: as `envs.make`; here and from `evaluate`: a worker has died.
    """

    def __init__(
        self,
        env_id: str,
        runs: int,
        episodes: int,
        device: torch.device,
        workers: int = 0,
        stop: StopRequest | None = None,
    ) -> None:
        self.runs = runs
        self.episodes = episodes
        self.device = device
        self._stop = StopRequest() if stop is None else stop
        n = runs * episodes
        self._envs: envs.EpisodeVector = WorkerVector(env_id, n, workers) if workers else envs.episode_vector(env_id, n)
        self.action_dim: int = self._envs.single_action_space.shape[0]  # type: ignore[index]

    def evaluate(
        self,
        policy: Policy,
        seeds: Sequence[int],
        purpose: str,
        step: int,
        action_samples: int,
        temperature: float,
    ) -> pd.DataFrame:
        """One episode in every environment.

        All policies of the pack act in one batch. The random numbers are those of (seed, purpose, step): the same in
        any pack and after a resumption.

        Args:
            policy: the pack's R policies.
            seeds: the seeds of its runs.
            purpose: what the episodes are for; another purpose draws other numbers.
            step: gradient steps that the policies were trained for.
            action_samples: N_a.
            temperature: of the draw among the N_a candidates; 0 takes the best.

        Returns:
            R·E rows: seed, step, episode, return, length, and action, the episode's last one (a list of A numbers).

        Raises:
            Stopped: a stop was asked for.
        """
        act = self._acting(policy, seeds, f"{purpose}/{action_samples}", step, action_samples, temperature)
        episodes = [(seed, episode) for seed in seeds for episode in range(self.episodes)]
        env_seeds = [episode_seed(seed, purpose, step, episode) for seed, episode in episodes]
        done = envs.rollout(self._envs, act, env_seeds)
        return pd.DataFrame(
            {
                "seed": [seed for seed, _ in episodes],
                "step": step,
                "episode": [episode for _, episode in episodes],
                "return": done.returns,
                "length": done.lengths,
                "action": list(done.last_actions),
            }
        )

    def _acting(
        self, policy: Policy, seeds: Sequence[int], purpose: str, step: int, action_samples: int, temperature: float
    ) -> Callable[[FloatArray], FloatArray]:
        """The policies as one function of the observations (R·E, O); every call is one time step further."""
        noise = ActingNoise(
            seeds,
            purpose,
            step,
            policy.config,
            self.episodes,
            action_samples,
            self.action_dim,
            temperature=temperature,
            device=self.device,
        )
        time = itertools.count()

        def act(observations: FloatArray) -> FloatArray:
            if self._stop:
                raise Stopped
            states = torch.as_tensor(observations, device=self.device, dtype=torch.float32)
            draws = noise.draws(next(time))
            actions = policy.act(
                states.view(self.runs, self.episodes, -1),
                action_samples,
                draws.prior,
                draws.z,
                temperature=temperature,
                gumbel=draws.gumbel,
            )
            return actions.flatten(0, 1).cpu().numpy().astype(np.float32)

        return act

    def close(self) -> None:
        """Close the environments and end their processes."""
        self._envs.close()
