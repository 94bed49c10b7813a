"""The films of a page: of which policy each is, and whether the page of before has it already."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from dac.envs import normalised_score
from dac.report.data import Film
from dac.study import pages, store, versions
from dac.study.identity import Run
from dac.study.plan import Cell, StudyPlan, kept_steps
from dac.study.records import page_record
from dac.system.hashing import sha256_of
from dac.training import films

LOG = logging.getLogger(__name__)


def films_of(plan: StudyPlan, contents: Mapping[Run, Mapping[str, Any]]) -> dict[str, Film | str]:
    """The films of the experiments that show one, by experiment; or why one of them has none, in a sentence.

    A film is of the first task, variant and seed that is there and did not diverge. One that the study's page has is
    taken from there: a page that is rendered again, maybe on a machine that draws nothing, or otherwise, keeps it.

    Args:
        contents: run.json of the runs that are there.

    Raises:
        UserError: the file of the policy is damaged.
    """
    found: dict[str, Film | str] = {}
    for name in plan.params.studies[plan.name].experiments:
        if "film" not in plan.params.experiments[name].show:
            continue
        cells = [cell for cell in plan.cells if cell.experiment == name]
        runs = [(cell, Run(cell.group, seed)) for cell in cells for seed in plan.seeds]
        whole = [(cell, run) for cell, run in runs if contents.get(run, {}).get("status") == "complete"]
        found[name] = _film(plan.name, *whole[0], contents) if whole else "No run of it is complete."
        if isinstance(film := found[name], str):
            LOG.warning(f"The page of {plan.name} has no film of {name}. {film}")
    return found


def _film(study: str, cell: Cell, run: Run, contents: Mapping[Run, Mapping[str, Any]]) -> Film | str:
    from dac.training.policies import policy_name

    if contents[run].get("synthetic"):
        return "Its runs are invented ones, which have no policy."
    settings = run.group.settings
    step = kept_steps(settings)[-1]
    policy = store.verified_file(run, policy_name(step))
    about = {"policy": str(policy), "sha256": contents[run]["files"][policy.name]["sha256"], "version": versions.REPORT}
    made = _kept(study, about) or films.film_of(policy, about)
    if isinstance(made, str):
        return made
    said = films.facts(made)
    return Film(
        task=cell.task,
        variant=cell.variant,
        seed=run.seed,
        step=step,
        action_samples=settings.eval_action_samples,
        gif=made,
        episode_seed=films.EPISODE_SEED,
        steps=said["steps"],
        shown=said["shown"],
        returned=said["return"],
        score=float(normalised_score(said["return"], *cell.evaluations[0].reference)),
    )


def _kept(study: str, about: Mapping[str, Any]) -> bytes | None:
    """The film of a policy that the study's page has, where it is as it was published."""
    directory = pages.folder_of(study)
    recorded = (page_record(directory) or {"files": {}})["files"]
    for path in (directory / name for name in recorded if name.endswith(".gif")):
        if path.is_file() and sha256_of(path) == recorded[str(path.relative_to(directory))]["sha256"]:
            film: bytes = path.read_bytes()
            if about.items() <= films.facts(film).items():
                return film
    return None
