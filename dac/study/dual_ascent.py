"""Studies whose trainings are too short for the dual ascent on eta: said when they are planned."""

from __future__ import annotations

from dac.agent.components import GUIDANCES
from dac.agent.config import AgentSettings
from dac.study import store
from dac.study.identity import Group, Run
from dac.study.params import Params
from dac.study.plan import Cell, StudyPlan, setting_place

# Usual trainings have so many times eta / eta_lr steps, in which the ascent can move eta by its first value. The
# paper's have 200 times as many (the bandit) and 2,000; what becomes of fewer, docs/data.md says.
USUAL = 100
MOST = 1e15  # where eta_lr is next to nothing


def usual_steps(settings: AgentSettings) -> int:
    """The fewest steps that are usual with the dual ascent, USUAL · eta / eta_lr; 0 where nothing moves eta."""
    if settings.eta_lr == 0 or not GUIDANCES[settings.guidance].moves_eta:
        return 0
    return int(min(USUAL * settings.eta / settings.eta_lr, MOST))


def notices(plan: StudyPlan) -> list[str]:
    """A sentence about those of a study's missing trainings that are too short; none where all of them are long enough.

    It names the shortest, measured by what is usual with its settings, and counts the others.
    """
    short: dict[Group, Cell] = {}
    for cell in plan.cells:
        if cell.group.settings.steps < _usual(cell) and _is_missing(plan, cell.group):
            short.setdefault(cell.group, cell)
    if not short:
        return []
    shortest = min(short.values(), key=lambda cell: cell.group.settings.steps / _usual(cell))
    return [_sentence(plan, shortest, others=len(short) - 1)]


def _sentence(plan: StudyPlan, cell: Cell, others: int) -> str:
    settings, more = cell.group.settings, f", and {others} more" if others else ""
    return (
        f"params.yaml: {setting_place(plan.params, plan.name, cell, 'steps')}: found {settings.steps} with eta "
        f"{settings.eta:g} and eta_lr {settings.eta_lr:g} ({cell.variant} on {cell.task}{more}); usual are "
        f"{_usual(cell)} ({USUAL} · eta / eta_lr) and more. In fewer, eta, the weight of the data against Q, may not "
        f"find its level in time (docs/data.md, Settings for small data). Fix eta: {_advice(plan.params)}."
    )


def _usual(cell: Cell) -> int:
    return usual_steps(cell.group.settings)


def _is_missing(plan: StudyPlan, group: Group) -> bool:
    return any(store.run_problem(Run(group, seed)) for seed in plan.seeds)


def _advice(params: Params) -> str:
    """How to fix eta: with a preset that does, where there is one."""
    fixed = next((name for name, preset in params.presets.items() if getattr(preset, "eta_lr", None) == 0), None)
    if fixed is None:
        return "`settings: {eta: 0.1, eta_lr: 0.0}`"
    return f"`settings: {{preset: {fixed}}}`, or `eta_lr: 0.0` with an eta of your own"
