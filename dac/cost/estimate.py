"""What a study's jobs cost in time, memory and disk, from the plan and the speed of a machine alone.

A shape that was measured on this machine (`dac.bench.calibrate`) counts as measured. Of another the arithmetic is
counted from the networks' sizes, and turned into time by a benchmark's FLOP/s; small networks take longer than that,
for each pass through one has a cost of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from dac.agent.components import GUIDANCES
from dac.agent.config import AgentSettings
from dac.cost import shapes
from dac.cost.shapes import acting_shape, collection_shape, dimensions, environment_shape, gradient_shape
from dac.cost.speeds import Calibration
from dac.study.identity import Evaluation, Group
from dac.study.jobs import Collect, Evaluate, Fetch, Job, Time, Train
from dac.study.params import Params, SacSettings, Settings, TrainingSettings
from dac.study.timings import Timing

TIME_FEATURES = 32
# Longest episodes of an environment that does not say so; most end earlier. A bandit's have one step.
EPISODE_STEPS = 1000
# Share of the time between two evaluations that one may take beside the training: the next must never wait for it.
EVALUATION_SHARE = 0.5
WORKER_SECONDS = 10.0  # of stepping, with less of which a process is not worth its start
ENVIRONMENTS_PER_WORKER = 5  # with fewer, a process that steps them waits for its turn more than it steps
# Rows of a dataset that is not here: D4RL's have 1 to 2 million.
TRANSITIONS = 1_000_000
# A pass through one network forward or backward, arithmetic aside: some dozen operations of PyTorch.
PASS_SECONDS = 1.1e-4
# Averages of the target networks, Adam, clipping, random numbers and metrics, in such passes.
UPDATE_PASSES = 13
# A step of SAC, which trains two critics and the actor: all of its passes.
SAC_PASSES = 24
# A step of a recorded policy, its noise, rounding and recording included.
RECORDED_POLICY_SECONDS = 5e-5
MAKE_SECONDS = 0.002
# Where nothing is known: a download depends on the network, the page on how much is in it.
FETCH_SECONDS = 60.0
REPORT_SECONDS = 8.0
# Snakemake itself: it starts, reads the plan, looks at the store.
WORKFLOW_SECONDS = 5.0


def _mlp_flops(inputs: int, hidden: tuple[int, ...], outputs: int) -> int:
    sizes = [inputs, *hidden, outputs]
    return 2 * sum(a * b for a, b in pairwise(sizes))


def _networks(settings: AgentSettings, observation: int, action: int) -> tuple[int, int]:
    """Operations of the noise predictor and of one critic, forward, for one row."""
    hidden = settings.hidden_sizes
    actor = _mlp_flops(observation + action + TIME_FEATURES, hidden, action)
    return actor, _mlp_flops(observation + action, hidden, 1)


def _sampler_steps(settings: AgentSettings) -> int:
    """Steps of the reverse process that draws actions."""
    return settings.sampler_steps or settings.diffusion_steps


def step_flops(settings: Settings, observation: int, action: int) -> float:
    """Floating-point operations of one gradient step of one run (matrix products; a backward pass counts twice)."""
    batch, members = settings.batch_size, settings.ensemble_size
    actor, critic = _networks(settings, observation, action)
    samples, steps = settings.next_action_samples, settings.diffusion_steps
    target = batch * samples * (_sampler_steps(settings) * actor + members * critic)
    critic_update = 3 * batch * members * critic
    asked = GUIDANCES[settings.guidance]
    guidance = batch * (asked.chain_passes * steps * actor + asked.critic_passes * members * critic)
    return float(target + critic_update + 3 * batch * actor + guidance)


def _step_passes(settings: AgentSettings) -> int:
    """Passes through a network in one gradient step, whatever their size; a backward pass counts twice."""
    target = _sampler_steps(settings) + 1 if settings.next_action_samples else 0
    asked = GUIDANCES[settings.guidance]
    guidance = asked.chain_passes * settings.diffusion_steps + asked.critic_passes
    return int(target + 3 + 3 + guidance + UPDATE_PASSES)


def _settings(group: Group) -> Settings:
    # Where all transitions end their episodes no next actions are sampled.
    return replace(group.settings, next_action_samples=0) if group.dataset.kind.one_step else group.settings


# Steps


def gradient_seconds(group: Group, runs: int, speed: Calibration) -> float:
    """Seconds of one gradient step of a pack."""
    measured = speed.measured.get(gradient_shape(group, runs))
    if measured:
        return measured["seconds"]
    settings = _settings(group)
    arithmetic = runs * step_flops(settings, *dimensions(group.env)) / speed.step_flops(settings.precision)
    return _step_passes(settings) * PASS_SECONDS + arithmetic


def acting_seconds(group: Group, runs: int, episodes: int, samples: int, speed: Calibration) -> float:
    """Seconds to choose actions once in all episodes of a pack."""
    measured = speed.measured.get(acting_shape(group, runs, episodes, samples))
    if measured:
        return measured["seconds"]
    settings = group.settings
    actor, critic = _networks(settings, *dimensions(group.env))
    steps = _sampler_steps(settings)
    candidate = steps * actor + settings.ensemble_size * critic
    arithmetic = float(runs * episodes * samples * candidate) / speed.flops
    return (steps + 2) * PASS_SECONDS + arithmetic


def environment(group: Group, speed: Calibration) -> dict[str, float]:
    """Seconds to `make` and reset an environment and of a `step` of it, and steps until the `limit` of an episode."""
    return environment_named(group.env, speed) | ({"limit": 1.0} if group.dataset.kind.one_step else {})


def environment_named(env: str, speed: Calibration) -> dict[str, float]:
    """`environment` by its id."""
    times, limit = shapes.stepping(env)
    assumed = {"step": times / speed.environment_steps, "make": MAKE_SECONDS, "limit": float(limit)}
    return assumed | dict(speed.measured.get(environment_shape(env), {}))


# Jobs


def evaluations(settings: TrainingSettings) -> int:
    """Number of evaluations during a training: at step 0, at every interval and at the end."""
    return 1 + -(-settings.steps // settings.eval_interval)


def _rollout_seconds(group: Group, runs: int, episodes: int, samples: int, speed: Calibration) -> float:
    """Seconds of one episode in every environment of a pack; an upper bound where episodes end early."""
    env = environment(group, speed)
    act = acting_seconds(group, runs, episodes, samples, speed)
    return env["limit"] * (act + runs * episodes * env["step"])


def workers_to_keep_up(group: Group, runs: int, speed: Calibration) -> int:
    """Processes that step environments so that a training on a GPU does not wait for the evaluations beside it.

    As many as bring one into `EVALUATION_SHARE` of the time of the gradient steps until the next; where the choice of
    actions alone takes longer, as many as are of use.
    """
    settings = group.settings
    environments, env = runs * settings.eval_episodes, environment(group, speed)
    time = EVALUATION_SHARE * settings.eval_interval * gradient_seconds(group, runs, speed)
    act = env["limit"] * acting_seconds(group, runs, settings.eval_episodes, settings.eval_action_samples, speed)
    most = max(1, environments // ENVIRONMENTS_PER_WORKER)
    if act >= time:
        return most
    return min(most, math.ceil(env["limit"] * environments * env["step"] / (time - act)))


def workers_to_step(group: Group, runs: int, item: Evaluation, speed: Calibration) -> int:
    """Processes that step environments about as fast as a GPU chooses the actions of an evaluation after training."""
    environments, env = runs * item.episodes, environment(group, speed)
    act = acting_seconds(group, runs, item.episodes, item.action_samples, speed)
    stepping = environments * env["step"]
    kept = min(group.settings.kept_policies, evaluations(group.settings))
    worth = kept * env["limit"] * stepping / WORKER_SECONDS
    return max(1, min(environments // ENVIRONMENTS_PER_WORKER, math.ceil(stepping / act), math.floor(worth)))


def training_seconds(group: Group, runs: int, speed: Calibration) -> float:
    """Seconds to train a pack of a group, evaluations during training included, without the job's start."""
    settings = group.settings
    gradient: float = settings.steps * gradient_seconds(group, runs, speed)
    episodes, samples = settings.eval_episodes, settings.eval_action_samples
    rollouts: float = evaluations(settings) * _rollout_seconds(group, runs, episodes, samples, speed)
    return gradient + rollouts + float(runs * episodes) * environment(group, speed)["make"]


def evaluation_seconds(group: Group, runs: int, wanted: tuple[Evaluation, ...], speed: Calibration) -> float:
    """Seconds to evaluate a pack's kept policies after training, without the job's start."""
    kept = min(group.settings.kept_policies, evaluations(group.settings))
    make = environment(group, speed)["make"]
    return sum(
        kept * _rollout_seconds(group, runs, item.episodes, item.action_samples, speed) + runs * item.episodes * make
        for item in wanted
    )


def collection_seconds(env_id: str, names: Sequence[str], params: Params, speed: Calibration) -> float:
    """Seconds to collect levels; one that waits for a return is assumed to come at the end of the SAC training."""
    recipe = params.collect[env_id]
    sac, env = recipe.sac, environment_named(env_id, speed)
    levels = [recipe.levels[name] for name in names]  # type: ignore[index]
    if sac is None:
        return sum((level.transitions or 0) * (RECORDED_POLICY_SECONDS + env["step"]) for level in levels)
    cost = _sac_step(env_id, sac, env["step"], speed)
    steps = max(sac.steps if level.at_step is None else level.at_step for level in levels)
    learning = max(0, steps - sac.learning_starts)
    seconds = learning * cost["step"] + (steps - learning) * env["step"]
    if any(level.at_return is not None for level in levels):
        seconds += learning / sac.eval_interval * env["limit"] * (cost["act"] + sac.eval_episodes * env["step"])
    return seconds + sum((level.transitions or 0) * (cost["act"] + env["step"]) for level in levels)


def _sac_step(env: str, sac: SacSettings, environment_step: float, speed: Calibration) -> dict[str, float]:
    """Seconds of a SAC step that learns, and to act once."""
    measured = speed.measured.get(collection_shape(env, sac))
    if measured:
        return dict(measured)
    observation, action = dimensions(env)
    network = _mlp_flops(observation + action, sac.hidden_sizes, 2 * action)
    # Two critics and the actor learn (3 each), their Q-values and the next actions' are asked: about 16 forward ones.
    learn = (
        sac.gradient_steps / sac.train_freq * (SAC_PASSES * PASS_SECONDS + 16 * sac.batch_size * network / speed.flops)
    )
    act = PASS_SECONDS + network / speed.flops
    return {"step": learn + act + environment_step, "act": act}


def timing_seconds(timing: Timing, speed: Calibration) -> float:
    """Seconds to time gradient steps, without the job's start: as many as are asked for, but at least some steps."""
    how, step = timing.how, gradient_seconds(timing.group, 1, speed)
    # Five steps before all, and by `dac.bench.clock.mean_seconds` two before each time and one at least.
    return 5 * step + how.repeats * (max(how.seconds, 3 * step) + max(how.seconds / 2, 3 * step))


def job_seconds(job: Job, params: Params, speed: Calibration) -> float:
    """Seconds of a job that has the machine to itself, its start included."""
    match job:
        case Fetch():
            work = FETCH_SECONDS
        case Collect():
            work = collection_seconds(job.env, job.levels, params, speed)
        case Train():
            work = training_seconds(job.group, job.runs, speed)
        case Evaluate():
            work = evaluation_seconds(job.group, job.runs, job.evaluations, speed)
        case Time():
            work = timing_seconds(job.timing, speed)
    return speed.startup + work


# Bytes


def _parameters(group: Group) -> tuple[float, float]:
    """Weights of the noise predictor and of the ensemble of critics."""
    actor, critic = _networks(group.settings, *dimensions(group.env))
    return actor / 2, group.settings.ensemble_size * critic / 2


def run_bytes(group: Group) -> float:
    """Bytes of one published run: the kept policies, and the curve."""
    settings = group.settings
    policies = 4 * settings.kept_policies * sum(_parameters(group))
    return float(policies + 40 * evaluations(settings) * settings.eval_episodes)


def pack_bytes(group: Group, runs: int, params: Params) -> float:
    """Bytes of memory (of the GPU, or RAM) that training a pack takes, PyTorch itself (about 0.5 GB) aside.

    4 bytes x (4 runs P + D (2 O + A + 2) + runs B (2 N H W + 2 (H + 1) L + [a guidance through the chain] 2 T L)):
    P parameters, each there as online, as target and in two moments; D transitions of the dataset with observations of
    O and actions of A numbers, shared by the runs; activations of B transitions, N next actions and H critics: the
    target's, of which two layers of the widest W are there at once, and those kept for backward passes, L in all layers
    of a network, values and derivatives.
    """
    settings = _settings(group)
    observation, action = dimensions(group.env)
    hidden, batch, members = settings.hidden_sizes, settings.batch_size, settings.ensemble_size
    target = 2 * settings.next_action_samples * members * max(hidden)
    kept = 2 * (members + 1) * sum(hidden)
    chain = 2 * settings.diffusion_steps * sum(hidden) if GUIDANCES[settings.guidance].chain_passes else 0
    parameters = 4 * runs * sum(_parameters(group))
    data = _transitions(group, params) * (2 * observation + action + 2)
    activations = float(runs * batch * (target + kept + chain))
    return 4.0 * (parameters + data + activations)


def _transitions(group: Group, params: Params) -> int:
    """Rows of a group's dataset; a guess of their number where nothing says it before the data are here."""
    return group.dataset.kind.rows(group.dataset.name, params.collect) or TRANSITIONS
