"""The registry of commands: each module of this package adds its own to it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Command = Callable[[argparse.Namespace], None]


class Commands:
    """The commands of a parser, in the order in which `dac --help` lists them."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(self, name: str, function: Command, help: str) -> argparse.ArgumentParser:
        """A new command's parser, for its arguments; `function` runs it, on what was parsed."""
        command = self._parsers.add_parser(name, help=help, description=help)
        command.set_defaults(command=function)
        return command
