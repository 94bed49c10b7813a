"""What a large study that is about to train on a CPU is told first."""

from __future__ import annotations

from dac.cost import demand, speeds, table
from dac.study import store
from dac.study.plan import StudyPlan
from dac.system import durations, gpus

STEPS = 1_000_000  # gradient steps of a study, from which on it belongs on a GPU


def notices(plan: StudyPlan) -> list[str]:
    """How long a study's missing trainings would take on this machine's CPU, where they are long; else nothing.

    Raises:
        UserError: work/calibration.json is damaged.
    """
    params = plan.params
    steps = sum(run.group.settings.steps for run in plan.runs() if store.run_problem(run))
    if steps < STEPS or demand.gpu_jobs(params):
        return []
    slots = max(1, speeds.cores() // params.compute.cpu_threads)
    seconds = table.missing_seconds(plan, speeds.calibration(params.compute), slots)
    why = "compute.device is cpu" if params.compute.device == "cpu" else f"no GPU was found: {gpus.why_none()}"
    return [
        f"studies.{plan.name}: {steps:,} gradient steps on the CPU ({why}), about {durations.rounded(seconds)} on "
        f"{speeds.cores()} cores; `dac plan {plan.name}` says more. Ctrl-C loses nothing."
    ]
