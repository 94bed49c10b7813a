"""The command line: one command per step of the pipeline, and those that look at the plan and the store."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from dac.cli import bench, data, planning, report, training, workflow
from dac.cli.commands import Commands
from dac.system import signals
from dac.system.errors import UserError, visible
from dac.system.files import DISK_ERRORS

# Their commands are listed in this order.
SUBJECTS = (planning, data, training, report, workflow, bench)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 a user's mistake, 2 wrong usage, 130 or 143 interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    for chatty in ("fontTools", "OpenGL", "httpx", "httpx2"):  # a line for every font table in a PDF, for every request
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if not options.renders:
        # What is said of a renderer must not matter: MuJoCo would not start with a wrong one.
        os.environ["MUJOCO_GL"] = "disable"
    try:
        with signals.ending_at_once():
            options.command(options)
    except UserError as error:
        print(f"dac: {visible(str(error))}", file=sys.stderr)
        return 1
    except signals.Interrupted as interrupted:
        print(f"dac: {interrupted}", file=sys.stderr)
        return 128 + interrupted.signal
    except BrokenPipeError:  # `dac plan | head`
        return 141
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        print(
            f"dac: {error}. Make room, or allow to write there, and run again: what is done is kept.", file=sys.stderr
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dac", description="Diffusion Actor-Critic: the steps of the reproduction.")
    parser.set_defaults(renders=False)
    commands = Commands(parser)
    for subject in SUBJECTS:
        subject.register(commands)
    return parser
