"""Edits of params.yaml that change nothing, for people: a default that a study overrides, a YAML anchor."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent

from dac.study import plan, resolve, safe_yaml
from dac.study.check import PARAMS_FILE, validated
from dac.study.params import Params
from dac.system.errors import UserError

SECTIONS = ("agent", "training", "evaluation", "report", "collect", "presets", "tasks", "experiments", "studies")
MOST = 20  # edits that are looked at: each is a plan of the study
NOTHING = object()  # in the place of a value that is not there


def notices(params: Params, study: str) -> list[str]:
    """Sentences about anchors in params.yaml, and `idle_edits`: for DVC's experiments, and where somebody asks."""
    return _anchors(PARAMS_FILE.read_text()) + idle_edits(params, study)


def idle_edits(params: Params, study: str) -> list[str]:
    """Sentences about edits of params.yaml since the last commit that the study does not heed."""
    text, committed = PARAMS_FILE.read_text(), _committed()
    if committed is None or committed == text:
        return []
    try:
        before = safe_yaml.read(committed)
    except (YAMLError, TypeError, ValueError):
        return []
    return list(unheeded(params, study, before, safe_yaml.read(text)))


def _anchors(text: str) -> list[str]:
    """A sentence about the anchors that are used in a YAML text; none where there are none."""
    events = YAML(pure=True).parse(text)
    used = {event.anchor: event.start_mark.line + 1 for event in events if isinstance(event, AliasEvent)}
    if not used:
        return []
    places = ", ".join(f"*{name} (line {line})" for name, line in used.items())
    return [
        f"params.yaml uses YAML anchors: {places}. `dvc exp run -S` does not follow them: it changes all users of an "
        "anchor, or none, in silence. Write the values where they belong, or name them once under presets."
    ]


def _committed() -> str | None:
    """params.yaml in git's last commit; None without git, or a commit."""
    try:
        shown = subprocess.run(
            ["git", "show", f"HEAD:./{PARAMS_FILE}"], capture_output=True, text=True, check=True, timeout=30
        )
        return shown.stdout
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def unheeded(params: Params, study: str, before: Any, now: Any) -> Iterator[str]:
    """A sentence for each value that differs and without which the study would be the same.

    Two that are each covered by the other change something together, and so nothing is said of either.

    Args:
        params: `now`, checked.
        before, now: contents of params.yaml.
    """
    resolved = plan.study_plan(params, study).identity
    edits = {place: old_new for place, old_new in _edits(before, now).items() if not _of_another_study(place, study)}
    looked_at = list(edits.items())[:MOST]
    idle = {place: old for place, (old, _) in looked_at if _without(now, {place: old}, study) == resolved}
    if len(idle) > 1 and _without(now, idle, study) != resolved:
        return
    for place, old in idle.items():
        edit = f"{'.'.join(place)}: {_show(old)} → {_show(edits[place][1])}"
        yield f"params.yaml: {edit} changes nothing in study {study}: {_reason(params, study, place)}"
    if len(edits) > len(looked_at):
        yield f"params.yaml: {len(edits) - len(looked_at)} more edits were not looked at."


def _of_another_study(place: tuple[str, ...], study: str) -> bool:
    return place[0] == "studies" and place[1:2] != (study,)


def _edits(before: Any, now: Any) -> dict[tuple[str, ...], tuple[Any, Any]]:
    """What differs, by place: the value before and now."""
    old, new = _leaves(before), _leaves(now)
    return {
        place: (old.get(place, NOTHING), new.get(place, NOTHING))
        for place in dict.fromkeys([*old, *new])
        if place[0] in SECTIONS and old.get(place, NOTHING) != new.get(place, NOTHING)
    }


def _leaves(content: Any, place: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if content is None:
        return {}  # as if it were not there
    if not isinstance(content, Mapping):
        return {place: content}
    return {where: value for key, item in content.items() for where, value in _leaves(item, (*place, key)).items()}


def _without(now: Any, edits: Mapping[tuple[str, ...], Any], study: str) -> dict[str, Any] | None:
    """What the study would be without some edits; None where the file would not be right."""
    content = copy.deepcopy(now)
    for place, old in edits.items():
        section = content
        for key in place[:-1]:
            if not isinstance(section.get(key), dict):
                section[key] = {}  # it was a section and is a value now
            section = section[key]
        if old is NOTHING:
            section.pop(place[-1], None)
        else:
            section[place[-1]] = old
    try:
        return plan.study_plan(validated(content), study).identity
    except UserError:
        return None


def _reason(params: Params, study: str, place: tuple[str, ...]) -> str:
    """What overrides a setting in the study, as far as that is why."""
    *section, key = place
    above: dict[str, None] = {}
    for experiment in params.studies[study].experiments:
        for task in params.experiments[experiment].tasks:
            layers = _layers(params, study, experiment, task, section[-1])
            order, own = list(layers), ".".join(section)
            later = order[order.index(own) + 1 :] if own in order else order if len(section) == 1 else []
            above |= dict.fromkeys(f"{where}.{key}" for where in later if key in layers[where])
    return f"{', '.join(above)} counts more." if above else "nothing in it depends on that."


def _layers(params: Params, study: str, experiment: str, task: str, kind: str) -> dict[str, Mapping[str, Any]]:
    """What overrides what, by its place: of the evaluation after training, or of the agent and its training."""
    chosen = params.experiments[experiment]
    if kind == "evaluation":
        places = {f"studies.{study}": params.studies[study].evaluation, f"experiments.{experiment}": chosen.evaluation}
        return {f"{place}.evaluation": settings.model_dump(exclude_none=True) for place, settings in places.items()}
    variants = {f"experiments.{experiment}.vary": chosen.vary} if chosen.vary else {}
    for name, settings in (chosen.variants or {}).items():
        variants[f"experiments.{experiment}.variants.{name}"] = settings.model_dump(exclude_unset=True)
    return {**resolve.layers(params, study, experiment, task), **variants}


def _show(value: Any) -> str:
    return "not set" if value is NOTHING else json.dumps(value)
