"""How long what is left of a study takes: by the speeds that its own runs had, where there are such, else estimated."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dac.cost import estimate
from dac.cost.speeds import Calibration
from dac.study import jobs, store
from dac.study.identity import Evaluation, Group, Run
from dac.study.records import provenance_record
from dac.study.states import State
from dac.system.provenance import device_seconds

# Speeds of more runs of a group say nothing new.
MEASURED_RUNS = 2


@dataclass(frozen=True)
class Left:
    """Seconds of jobs that have their device to themselves.

    Attributes:
        seconds: by run, of its part of a pack. measured: settings whose speed was measured by their own runs.
    """

    seconds: Mapping[Run, float]
    measured: int

    def of(self, runs: Iterable[Run]) -> float:
        """Seconds of some runs together, one job after the other."""
        return sum(self.seconds[run] for run in runs)


def left(
    states: Mapping[Run, State], evaluations: Mapping[Group, tuple[Evaluation, ...]], pack: int, speed: Calibration
) -> Left:
    """What is left of some runs.

    A group whose runs were measured takes what they took. One without takes its estimate, times what the measured ones
    took of theirs, in the median.

    Args:
        pack: runs that train together.
        speed: of the estimates.
    """
    groups = {run.group for run in states}
    estimated = {group: estimate.training_seconds(group, pack, speed) / pack for group in groups}
    taken = {group: _measured(group, states) for group in groups}
    measured = {group: seconds for group, seconds in taken.items() if seconds is not None}
    usual = statistics.median([measured[group] / estimated[group] for group in measured] or [1.0])
    rests = {}
    for run, state in states.items():
        training = measured.get(run.group, estimated[run.group] * usual)
        rest = 1 - state.step / run.group.settings.steps
        after = estimate.evaluation_seconds(run.group, pack, evaluations[run.group], speed) / pack * usual
        rests[run] = 0.0 if state.kind in ("done", "diverged") else training * rest + after
    return Left(rests, len(measured))


def _measured(group: Group, states: Mapping[Run, State]) -> float | None:
    """Seconds of a training of a group, a run's part of its pack, as its runs had; None where no run was measured."""
    found: list[float] = []
    for run, state in states.items():
        if run.group != group or len(found) == MEASURED_RUNS:
            continue
        if state.kind == "training" and state.job is not None and state.job.speed:
            found.append(group.settings.steps / state.job.speed / len(jobs.seeds_of(state.job.job)))
        elif state.step == group.settings.steps:
            seconds = device_seconds(provenance_record(store.run_directory(run)) or {})
            found += [seconds] if seconds > 0 else []
    return statistics.mean(found) if found else None
