"""How mistakes in params.yaml are told: each place, what was found there, and what is allowed."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dac.study.params import DATA_TAG, SIDE_TAG, Params
from dac.system.errors import closest

MOST_TOLD = 50  # problems; of more, and of longer texts than this, the beginning says enough
MOST_SHOWN = 300  # characters of a value


def listing(path: Path, problems: list[str], count: int | None = None) -> str:
    """What is wrong with a file, a line for each place; `count` says it where only the first problems are given."""
    count = len(problems) if count is None else count
    head = f"{path}: {count} problem{'s' if count > 1 else ''}; nothing was run."
    more = [f"  … and {count - MOST_TOLD} more"] if count > MOST_TOLD else []
    return "\n".join([head, *(f"  - {problem}" for problem in problems[:MOST_TOLD]), *more])


@cache
def _schema() -> dict[str, Any]:
    return Params.model_json_schema()


def _section_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema allows where the unknown key at `location` stands."""
    schema: Any = _schema()
    definitions = schema["$defs"]
    for part in location[:-1]:
        schema = _child(schema, part, definitions)
    return sorted(_dereference(schema, definitions).get("properties", {}))


def _dereference(schema: Any, definitions: Any) -> Any:
    for option in schema.get("anyOf", schema.get("oneOf", [])):
        if option.get("type") != "null":
            return _dereference(option, definitions)
    if "$ref" in schema:
        return definitions[schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def _child(schema: Any, part: int | str, definitions: Any) -> Any:
    schema = _dereference(schema, definitions)
    if isinstance(part, int) and isinstance(schema.get("items"), dict):
        return schema["items"]
    if part in schema.get("properties", {}):
        return schema["properties"][part]
    child: Any = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
    return child if isinstance(child, dict) else {}


def explained(path: Path, error: ValidationError) -> str:
    """What the schema finds wrong with params.yaml."""
    details = error.errors()
    return listing(path, [explained_one(detail) for detail in details[:MOST_TOLD]], len(details))


_LINE = "a line of {} characters at most, that neither begins nor ends with a space"
_WORD = "allowed are letters, digits and _, a letter first, at most 40"
# What a name may be, by the section whose key it is.
_NAMES = {
    "studies": _WORD,
    "experiments": _WORD,
    "presets": _WORD,
    "tasks": "allowed are letters, digits and _ . -, a letter or digit first, at most 80",
    "variants": f"allowed is {_LINE.format(60)}",
    "collect": "allowed is an environment's id for Gymnasium: letters, digits and _ . : -, with at most one /",
}
# What is allowed, by place, where the schema could only show a regular expression.
_ALLOWED = {
    r"tasks\..+\.dataset": "allowed is <source>:<name>, such as d4rl:hopper-medium-v2",
    r"experiments\..+\.title": f"allowed is {_LINE.format(200)}",
    r"experiments\..+\.claims\[\d+\]\.lower": "allowed is a variant, such as {variant: soft}, or data",
    r"compute\.device": "allowed: auto, cpu, cuda, cuda:<index>",
    r"compute\.d4rl_mirrors": "allowed is a list of addresses (http, https) and folders, such as [/disk/d4rl]; or null",
    r"compute\.d4rl_mirrors\[\d+\]": "allowed is an address (http://…, https://…, file://…) or a folder",
}


def explained_one(detail: ErrorDetails) -> str:
    """One place that the schema finds wrong: where, what was found, what is allowed."""
    location = tuple(part for part in detail["loc"] if part not in ("[key]", SIDE_TAG, DATA_TAG))
    where = _place(location) or "the file"
    found = detail["input"]
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):  # of a section; of a data class
        return f"{where}: unknown key; {closest(str(location[-1]), _section_at(location))}"
    if detail["type"] == "missing":
        hint = f"; write `{where}: {{}}` where there is none" if where in ("collect", "presets") else ""
        return f"{where}: this key is required and missing{hint}"
    if isinstance(found, str) and detail["type"] == "literal_error":
        allowed = [part.strip(" '") for part in detail["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where}: found {_brief(found)}; {closest(found, allowed)}"
    if "[key]" in detail["loc"]:
        return f"{where}: this name is not allowed; {_NAMES[str(location[-2])]}"
    for pattern, rule in _ALLOWED.items():
        if re.fullmatch(pattern, where) and detail["type"] in (
            "string_pattern_mismatch",
            "string_too_long",
            "tuple_type",
            "model_type",
        ):
            return f"{where}: found {_brief(found)}; {rule}"
    return f"{where}: found {_brief(found)}; {_rule(detail)}{_spelling_hint(found, detail['type'])}"


def _rule(detail: ErrorDetails) -> str:
    """What the schema asks for, in words of YAML."""
    if detail["type"] in ("tuple_type", "list_type"):
        return "a list is needed, such as [a, b]"
    if detail["type"] in ("dict_type", "model_type", "model_attributes_type", "dataclass_type"):
        return "keys with values are needed, such as {key: value}"
    if detail["type"] == "too_short":
        return f"at least {detail['ctx']['min_length']} of them is needed"
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}"


def _spelling_hint(found: Any, error: str) -> str:
    """How to write a number that stands in quotes, or a whole number that is written as a float; else nothing."""
    if not isinstance(found, str | float) or not error.startswith(("int_", "float_")):
        return ""
    try:
        value = float(found)
    except ValueError:
        return ""
    if error.startswith("int_") and value.is_integer():
        return f". Write it without point, exponent and quotes: {value:.0f}"
    return ". Write it without quotes" if isinstance(found, str) and math.isfinite(value) else ""


def _place(location: tuple[int | str, ...]) -> str:
    """A place in the file: keys behind points, and numbers of a list's values in brackets."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in location)
    return text.removeprefix(".")


def _shown(part: int | str) -> str:
    """A part of a place in the file, in quotes where a reader would not see what it is."""
    text = str(part)
    plain = text and text == text.strip() and text.isprintable() and len(text) <= MOST_SHOWN
    return text if plain else _brief(text)


def _brief(value: Any) -> str:
    """A value as Python writes it, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
