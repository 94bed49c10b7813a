"""Errors that a user can cause."""

from __future__ import annotations

import difflib

_LONGEST = 200  # characters of a name that are compared with those that are allowed


class UserError(Exception):
    """A mistake outside the code: a wrong key, a missing or broken file, an edit in the middle of a run.

    The message names the key or file, what was found, what is allowed and what to do next; the command line
    prints it alone, without a traceback, and exits with status 1.
    """


def visible(text: str) -> str:
    """A text for a terminal: names in files of others may hold characters that would move its cursor or clear it."""
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def closest(name: str, allowed: list[str]) -> str:
    """What is allowed, with the nearest match first if there is one: the tail of an error message."""
    near = difflib.get_close_matches(str(name)[:_LONGEST], allowed, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"allowed: {', '.join(allowed)}.{hint}"
