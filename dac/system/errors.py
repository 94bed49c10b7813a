"""Errors that a user can cause."""

from __future__ import annotations


class UserError(Exception):
    """A mistake outside the code: a wrong key, a missing or broken file, an edit in the middle of a run.

    The message names the key or file, what was found, what is allowed and what to do next; the command line
    prints it alone, without a traceback, and exits with status 1.
    """
