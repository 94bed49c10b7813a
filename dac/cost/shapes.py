"""A *shape* is what changes the time of a step: two settings of one shape cost the same.

Each is a text, a key of the record of what was measured on a machine (`dac.cost.speeds`). No torch is imported.
"""

from __future__ import annotations

from typing import Any

from dac.study.identity import Group, canonical
from dac.study.jobs import Collect, Evaluate, Fetch, Job, Time, Train
from dac.study.params import Params, SacSettings

# Observation and action sizes by the environment's name without its version.
DIMENSIONS = {
    "HalfCheetah": (17, 6),
    "Hopper": (11, 3),
    "Walker2d": (17, 6),
    "Ant": (105, 8),
    "AntMaze_UMaze": (29, 8),
    "AntMaze_Medium": (29, 8),
    "AntMaze_Large": (29, 8),
    "PointMaze_": (6, 2),
    "InvertedPendulum": (4, 1),
    "InvertedDoublePendulum": (9, 1),
    "Reacher": (10, 2),
    "Swimmer": (8, 2),
    "Pusher": (23, 7),
    "Pendulum": (3, 1),
    "AdroitHandPen": (45, 24),
    "AdroitHandDoor": (39, 28),
    "AdroitHandHammer": (46, 26),
    "AdroitHandRelocate": (39, 30),
    "FrankaKitchen": (59, 9),
    "Kitchen_": (60, 9),
    "Bandit2D": (1, 2),
    # Recovered from one of Minari's.
    "minari:mujoco/hopper": (11, 3),
    "minari:mujoco/ant": (105, 8),
    "minari:D4RL/antmaze": (29, 8),
    "minari:D4RL/pointmaze": (6, 2),
    "minari:D4RL/pen": (45, 24),
    "minari:D4RL/door": (39, 28),
    "minari:D4RL/hammer": (46, 26),
    "minari:D4RL/relocate": (39, 30),
    "minari:D4RL/kitchen": (59, 9),
}
# Where an environment was not measured: how many times Hopper's a step of it takes, and the limit of an episode, by the
# beginning of its name. Ratios of random actions on one core.
STEPPING = {
    "HalfCheetah": (0.4, 1000),
    "AntMaze_UMaze": (2.5, 700),
    "AntMaze_": (2.8, 1000),
    "AdroitHandPen": (2.0, 100),
    "AdroitHand": (2.0, 200),
    "FrankaKitchen": (18.0, 280),
    "Kitchen_": (18.0, 280),
    "minari:D4RL/antmaze": (2.8, 1000),
    "minari:D4RL/pen": (2.0, 100),
    "minari:D4RL/kitchen": (18.0, 280),
    "": (1.0, 1000),  # of the others most are shorter
}
# Observation and action sizes together are rounded up to a multiple of this in a shape: among the layers of one network
# they make no difference, and hopper, walker2d and halfcheetah are measured once.
INPUTS_STEP = 32


def dimensions(env: str) -> tuple[int, int]:
    """Observation and action sizes of an environment; a locomotion task's where it is not in the table."""
    longest = max((key for key in DIMENSIONS if _name(env).startswith(key)), key=len, default="HalfCheetah")
    return DIMENSIONS[longest]


def stepping(env: str) -> tuple[float, int]:
    """How many times Hopper's a step of an environment takes, and the limit of an episode."""
    return STEPPING[max((key for key in STEPPING if _name(env).startswith(key)), key=len)]


def _name(env: str) -> str:
    """An environment's name without its version, and without that of D4RL's tasks as they are made here."""
    return (env.rpartition("-")[0] or env).removeprefix("D4RL/")


def gradient_shape(group: Group, runs: int) -> str:
    """What decides the time of one gradient step of a pack. Its entry: `seconds` per step of the pack."""
    settings = group.settings
    return "gradient " + canonical(
        {
            **_networks(group),
            "guidance": settings.guidance,
            "batch_size": settings.batch_size,
            "precision": settings.precision,
            # Where all transitions end their episodes no next actions are sampled.
            "next_action_samples": 0 if group.dataset.kind.one_step else settings.next_action_samples,
            "runs": runs,
        }
    )


def acting_shape(group: Group, runs: int, episodes: int, samples: int) -> str:
    """What decides the time to choose actions for all episodes of a pack. Its entry: `seconds` per choice of all."""
    return "acting " + canonical({**_networks(group), "runs": runs, "episodes": episodes, "samples": samples})


def environment_shape(env: str) -> str:
    """An environment. Its entry: seconds per `step` and to `make` and reset one, and steps to its `limit`."""
    return f"environment {env}"


def collection_shape(env: str, sac: SacSettings) -> str:
    """A SAC training. Its entry: seconds per `step` that learns, and to `act` once without learning."""
    return f"collection {env} " + canonical(
        {
            "batch_size": sac.batch_size,
            "hidden_sizes": sac.hidden_sizes,
            "train_freq": sac.train_freq,
            "gradient_steps": sac.gradient_steps,
        }
    )


def _networks(group: Group) -> dict[str, Any]:
    settings = group.settings
    return {
        "hidden_sizes": settings.hidden_sizes,
        "ensemble_size": settings.ensemble_size,
        "diffusion_steps": settings.diffusion_steps,
        "sampler": settings.sampler,
        "sampler_steps": settings.sampler_steps if settings.sampler == "ddim" else None,
        "inputs": -(-sum(dimensions(group.env)) // INPUTS_STEP) * INPUTS_STEP,
    }


def job_shapes(job: Job, params: Params) -> list[str]:
    """Keys of the shapes that a job's time depends on."""
    match job:
        case Train():
            settings = job.group.settings
            acting = acting_shape(job.group, job.runs, settings.eval_episodes, settings.eval_action_samples)
            return [gradient_shape(job.group, job.runs), acting, environment_shape(job.group.env)]
        case Evaluate():
            acting_shapes = [
                acting_shape(job.group, job.runs, item.episodes, item.action_samples) for item in job.evaluations
            ]
            return [*acting_shapes, environment_shape(job.group.env)]
        case Collect():
            sac = params.collect[job.env].sac
            trained = [collection_shape(job.env, sac)] if sac else []
            return [environment_shape(job.env), *trained]
        case Fetch() | Time():
            return []
