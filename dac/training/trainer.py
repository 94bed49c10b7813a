"""The training loop: batches, gradient steps, evaluations and checkpoints of a pack of runs.

A checkpoint belongs to one run and is one file (`dac.training.checkpoint`), so packs may re-form after an interruption.
Random streams and batches are functions of the run's seed and the step, so the checkpoint needs none of their state,
and a resumed run computes what an uninterrupted one does.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from dac.agent import Agent, initial_run_state, native
from dac.agent.graph import ReplayError
from dac.agent.precision import multiplies_bf16
from dac.study import store
from dac.study.identity import Group, Run
from dac.study.params import ComputeSettings
from dac.study.plan import evaluation_steps, kept_steps
from dac.system import devices, files, locks, paths
from dac.system.errors import UserError
from dac.system.progress import Bar
from dac.system.signals import Interrupted, Stopped, StopRequest
from dac.training import checkpoint
from dac.training.checkpoint import RunState, begin
from dac.training.curve import CurveTask, Evaluator, evaluator
from dac.training.data import training_data
from dac.training.pack import EvaluationFailed, Pack
from dac.training.policies import agent_config
from dac.training.publish import Publisher
from dac.training.rollouts import evaluation_workers
from dac.training.steps import GradientSteps

LOG = logging.getLogger(__name__)

ATTEMPTS = 2  # at kept policies that are whole when a run is to be published


def train(group: Group, seeds: list[int], compute: ComputeSettings, threads: int, varied: str = "") -> None:
    """Train the seeds of a group that the store lacks, in one pack, and publish them.

    Args:
        varied: settings that the group's label leaves out, for the names of its runs in TensorBoard.

    Raises:
        UserError: the dataset is missing, damaged or does not fit the environment; the disk is full; a device did not
            compute what it was told to.
        Interrupted: SIGTERM or SIGINT came; everything is saved and the same call goes on from there.
    """
    torch.set_num_threads(threads)
    with _disk_errors(group), contextlib.ExitStack() as held:
        for seed in sorted(seeds):
            held.enter_context(locks.lock(paths.LOCKS / f"train-{group.fingerprint}-{seed}", LOG.info))
        # Another process may have finished them while this one waited for the lock.
        runs = [Run(group, seed) for seed in seeds if store.run_problem(Run(group, seed))]
        for seed in seeds:
            if Run(group, seed) not in runs:
                LOG.info("%s is complete", Run(group, seed))
        if not runs:
            return
        files.check_writable(store.group_directory(group))
        device = held.enter_context(devices.claimed(compute.device, compute.packs_per_gpu))
        LOG.info("%s %s: %d runs on %s", group.task, group.name, len(runs), devices.name(device))
        if group.settings.precision == "bf16":
            _say_where_bf16_gains_nothing(group, device)
        _Trainer(group, compute, device, threads, _board(group, varied)).train(runs)


def _board(group: Group, varied: str) -> Path:
    """Folder of a group's runs for TensorBoard, which shows its name: with what the label leaves out."""
    return paths.TENSORBOARD / group.task / "-".join(filter(None, (group.label, varied, group.fingerprint)))


def _say_where_bf16_gains_nothing(group: Group, device: torch.device) -> None:
    if group.settings.next_action_samples == 1:
        LOG.warning(
            "training.precision: bf16 computes what tf32 does where next_action_samples is 1 (dac/agent/precision.py)."
        )
    if device.type == "cpu" or not multiplies_bf16(device):
        LOG.warning(
            "training.precision: bf16 is for GPUs since Ampere; on this device its steps take longer than fp32's."
        )


@contextlib.contextmanager
def _disk_errors(group: Group) -> Iterator[None]:
    """A full or read-only disk, or a folder of another user's, as a user's error: met by a lock, a log, the journal."""
    try:
        yield
    except OSError as error:
        if error.errno not in files.DISK_ERRORS:
            raise
        raise UserError(
            f"{group.task}/{group.name}: {error}. Make room in {paths.WORK}/, logs/ and results/, or allow to write "
            "there, and start again: training goes on from the last saved state."
        ) from error


class _Trainer:
    """Advances runs of one group; holds what they share."""

    def __init__(self, group: Group, compute: ComputeSettings, device: torch.device, threads: int, board: Path) -> None:
        self.group = group
        self.board = board
        self.settings = group.settings
        self.config = agent_config(self.settings)
        self.compute = compute
        self.device = device
        self.threads = threads
        self.data = training_data(group)
        self.evaluated = evaluation_steps(self.settings.steps, self.settings.eval_interval)
        self.kept = frozenset(kept_steps(self.settings))
        self.stop = StopRequest()
        self.together: int | None = None  # most runs that train at once; None: all
        self.checkpointed = time.monotonic()

    @property
    def where(self) -> str:
        """The group's name, for messages."""
        return f"{self.group.task}/{self.group.name}"

    def train(self, runs: list[Run]) -> None:
        """Advance all runs to the end and publish them. Runs that lag behind are brought level first.

        Raises:
            UserError: a device did not do what it was told, or the disk does not keep what is written.
        """
        states = [self._load(run) for run in runs]
        resumed_from = {state.run: state.step for state in states}
        publisher = Publisher(
            self.config,
            self.data,
            self.kept,
            devices.name(self.device),
            resumed_from,
            pack=len(runs),
            compiled=native.computes_on(self.device),
        )
        for _ in range(ATTEMPTS):
            self._finish(states)
            states = [self._load(state.run) for state in publisher.publish_whole(states)]
            if not states:
                return
            resumed_from |= {state.run: state.step for state in states}
        raise UserError(
            f"{store.work_directory(states[0].run)}: policies that were kept there were damaged or missing before they "
            "were published, again after they were made anew. Look at that disk, then start again."
        )

    def _finish(self, states: list[RunState]) -> None:
        """Take all states to the last step."""
        while unfinished := [state for state in states if not self._is_finished(state)]:
            step = min(state.step for state in unfinished)
            behind = [state for state in unfinished if state.step == step][: self.together]
            ahead = [state.step for state in states if state.step > step]
            refused = self._refused(behind, min(ahead, default=self.settings.steps))
            if refused is not None:
                self._train_fewer(len(behind), refused)

    def _refused(self, states: list[RunState], until: int) -> str | None:
        """Advance some runs; what was said where the device's memory does not hold them, None where it does.

        Nothing of the failed stretch is left then: its tensors would be in the way of the next.
        """
        try:
            self._advance(states, until)
        except ReplayError as error:
            raise self._not_computed(str(error)) from error
        except (RuntimeError, MemoryError) as error:
            refused = devices.out_of_memory(error)
            if refused is None:
                raise
            return refused
        return None

    def _is_finished(self, state: RunState) -> bool:
        """Whether a run has all its steps and evaluations: those that were pending when it was saved may be missing."""
        steps = self.settings.steps
        return state.step >= steps and state.pending is None and steps in set(state.curve["step"])

    def _not_computed(self, what: str) -> UserError:
        return UserError(
            f"{self.where}: {what}. Nothing of it was saved or published. Set compute.cuda_graphs: false in "
            "params.yaml and start again: training goes on from the state before, one kernel at a time."
        )

    def _train_fewer(self, runs: int, refused: str) -> None:
        """After the device refused memory to so many runs: half of them from now on, the others after those.

        What the runs have in hand is their last checkpoint, or their beginning, so nothing is lost but the steps since.

        Args:
            refused: what the device, or a library, said.

        Raises:
            UserError: one run alone does not fit.
        """
        if runs == 1:
            raise UserError(
                f"{self.where}: one run alone does not fit the memory of {devices.name(self.device)} ({refused}). "
                "Lower batch_size, ensemble_size, next_action_samples or hidden_sizes in params.yaml, or use a larger "
                "device; where a graph could not be recorded, set compute.cuda_graphs: false."
            )
        self.together = runs // 2
        LOG.info(
            "%s: %d runs do not fit the device's memory; %d at a time (%s)", self.where, runs, self.together, refused
        )
        gc.collect()  # the error's frames and what they hold may refer to each other
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # One stretch of steps of a pack

    def _advance(self, states: list[RunState], until: int) -> None:
        """Take runs that are at one step to the step `until`, evaluating on the way, and save them there.

        Raises:
            Interrupted: a signal came; everything is saved.
            UserError: an evaluation failed; everything is saved. As `_checkpoint`.
        """
        started = time.monotonic()
        agent = Agent.from_run_states(self.config, [state.agent for state in states], states[0].step, self.device)
        seeds = [state.run.seed for state in states]
        gradient_steps = GradientSteps(
            agent, seeds, self.data, self.settings.batch_size, self.device, captured=self.compute.cuda_graphs
        )
        with contextlib.ExitStack() as held:
            evaluations = held.enter_context(self._evaluator(seeds))
            progress = held.enter_context(self._progress(agent.step))
            writers = [held.enter_context(self._writer(state)) for state in states]
            pack = Pack(agent, states, evaluations, writers, progress, started)
            held.callback(pack.count_seconds)  # also those of a stretch that the device's memory ended
            self._take_stretch(pack, gradient_steps, until)

    def _take_stretch(self, pack: Pack, gradient_steps: GradientSteps, until: int) -> None:
        """As `_advance`, of a pack."""
        with self.stop.heard():
            try:
                pack.resume_evaluations()
                self._take_steps(pack, gradient_steps, until)
                pack.finish_evaluation()
            except Stopped:
                LOG.info("the evaluation of step %s is given up; it is made again later", pack.evaluator.pending)
            except EvaluationFailed as failure:
                if pack.agent.step > pack.states[0].step:
                    self._checkpoint(pack)
                raise self._not_evaluated(failure, pack.agent.step) from failure.__cause__
            self._checkpoint(pack)
        if self.stop.signal is not None:
            raise Interrupted(
                f"{self.where}: interrupted at step {pack.agent.step}, which is saved; run again to go on",
                self.stop.signal,
            )

    def _not_evaluated(self, failure: EvaluationFailed, step: int) -> UserError:
        """What to say of a failed evaluation; of what is no user's mistake the traceback goes to the log."""
        cause = failure.__cause__
        saved = f"{self.where}: {failure}; training is saved at step {step}"
        if isinstance(cause, UserError):
            return UserError(f"{saved}. {cause}")
        LOG.error("%s", failure, exc_info=cause)
        *_, last = "".join(traceback.format_exception_only(cause)).strip().splitlines()
        return UserError(
            f"{saved}. {self.group.env} raised {last} (the log has the traceback). Start again to go on from there."
        )

    def _take_steps(self, pack: Pack, gradient_steps: GradientSteps, until: int) -> None:
        """Gradient steps, evaluations, logs and checkpoints of a pack up to the step `until`, or until a stop.

        Raises:
            Stopped: a stop was asked for, and an evaluation is still pending.
            EvaluationFailed: see there.
        """
        agent, steps = pack.agent, self.settings.steps
        log_interval = max(1, min(1000, self.settings.eval_interval // 2))
        started, first = time.monotonic(), agent.step
        frozen = _all_diverged(agent)
        while not self.stop:
            step = agent.step
            if step in self.evaluated and any(step not in set(state.curve["step"]) for state in pack.states):
                pack.evaluate(self.kept)
            if step >= until:
                break
            self._checkpoint_if_due(pack)
            if frozen:
                agent.step = min([until, *(later for later in self.evaluated if later > step)])
                pack.progress.update(agent.step - step)
                continue
            metrics = gradient_steps.make()
            pack.progress.update()
            if (step + 1) % log_interval == 0:
                pack.log(step + 1, steps, metrics, (step + 1 - first) / (time.monotonic() - started))
                frozen = _all_diverged(agent)
                if pack.evaluator.ready():
                    pack.finish_evaluation()

    def _progress(self, step: int) -> Bar:
        disable = not sys.stderr.isatty()
        return Bar(total=self.settings.steps, initial=step, unit="step", disable=disable, dynamic_ncols=True)

    # Evaluations

    @contextlib.contextmanager
    def _evaluator(self, seeds: list[int]) -> Iterator[Evaluator]:
        """The evaluator of a stretch; what training waited for it is logged at the end."""
        episodes, started = self.settings.eval_episodes, time.monotonic()
        workers = evaluation_workers(self.compute.evaluation_workers, self.device, self.threads, len(seeds) * episodes)
        task = CurveTask(
            env_id=self.group.env,
            config=self.config,
            seeds=tuple(seeds),
            episodes=episodes,
            action_samples=self.settings.eval_action_samples,
            temperature=self.settings.eval_temperature,
            device=self.device,
            threads=self.threads,
        )
        with contextlib.closing(evaluator(task, workers, self.stop)) as evaluations:
            try:
                yield evaluations
            finally:
                LOG.info("evaluation: waited %.1f s of %.1f s", evaluations.waited, time.monotonic() - started)

    def _writer(self, state: RunState) -> SummaryWriter:
        return SummaryWriter(str(self.board / f"seed-{state.run.seed}"), purge_step=state.step)

    # Files

    def _load(self, run: Run) -> RunState:
        """A run's checkpoint, or its beginning."""
        saved = checkpoint.newest(run, self.data.sha256, self.kept)
        if saved is not None:
            return saved
        return begin(run, initial_run_state(self.config, run.seed, self.data.observation_dim, self.data.action_dim))

    def _checkpoint_if_due(self, pack: Pack) -> None:
        if time.monotonic() - self.checkpointed > self.compute.checkpoint_seconds:
            self._checkpoint(pack)

    def _checkpoint(self, pack: Pack) -> None:
        """Save every run's state, each in one file and atomically, with what is needed of a pending evaluation.

        Raises:
            UserError: the device has not made the steps that it was told to, or the disk does not take the states.
        """
        step, counted = pack.agent.step, pack.agent.device_step()
        if counted != step:
            raise self._not_computed(
                f"the device has counted {counted} gradient steps where it was told to make {step}"
            )
        pack.count_seconds()
        pack.note_pending()
        for index, state in enumerate(pack.states):
            state.step, state.agent = step, pack.agent.run_state(index)
            checkpoint.save(state, self.data.sha256)
        self.checkpointed = time.monotonic()


def _all_diverged(agent: Agent) -> bool:
    """Whether further gradient steps would change nothing; waits for the device."""
    return not bool(agent.active.any())
