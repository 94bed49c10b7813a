"""Run the tests of random faults for long, and write docs/reliability.md from what they record.

`python tests/support/soak.py --minutes 10 --examples 10000`, in the installed environment; `make soak` does so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reliability import EXAMPLES, FOLDER, MINUTES, Kind, Record, read
from tabulate import tabulate

from dac.system.files import write_text
from dac.system.provenance import commit, provenance

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
PACKAGES = ("torch", "snakemake", "dvc", "h5py", "minari")
SECTIONS: Mapping[Kind, tuple[str, str]] = {
    "kill": ("Killed", "kills survived"),
    "fault": ("Other faults", "other faults survived"),
    "input": ("Hostile and damaged inputs", "inputs tried"),
}


def page(records: Sequence[Record], made: Mapping[str, Any]) -> str:
    """docs/reliability.md: what was injected, what happened, what was lost, and how long recovery took.

    Args:
        made: `provenance` of the one run that all records are from, with its `seconds`, and the `minutes` and
            `examples` that it was asked for.
    """
    counted = {kind: sum(one.count for one in records if one.kind == kind) for kind in SECTIONS}
    counts = ", ".join(f"{counted[kind]:,} {said}" for kind, (_, said) in SECTIONS.items() if counted[kind])
    versions = ", ".join(f"{name} {made['versions'][name]}" for name in PACKAGES if name in made["versions"])
    parts = [
        "# Nothing lost, nobody let in",
        "Faults that the tests inject at random, and what came of them: what was lost, and how long it took until the "
        "work had gone on. Every line is from a test that passed; a test that fails leaves this page as it was.",
        f"**{counts}.** All in one run of {made['seconds'] / 60:.0f} minutes, which ended on {made['finished'][:10]}, "
        f"at the commit {made['commit']}. Machine: {made['machine']}; Python {made['python']}, {versions}.",
        "The command that made this page, with so many minutes for each storm and so many inputs in all; `make test` "
        "has the same tests, for some minutes:",
        f"<!-- not run by the tests: it takes long -->\n```bash\nmake soak MINUTES={made['minutes']:g} "
        f"EXAMPLES={made['examples']}\n```",
    ]
    for kind, (title, _) in SECTIONS.items():
        chosen = sorted((one for one in records if one.kind == kind), key=lambda one: one.fault)
        if chosen:
            parts += [f"## {title}", _table(chosen)]
    return "\n\n".join(parts) + "\n"


def _table(records: Sequence[Record]) -> str:
    rows = [
        [one.fault, one.what, one.lost, "–" if one.recovery_s is None else f"{one.recovery_s:.1f} s", f"{one.count:,}"]
        for one in records
    ]
    header = ["fault", "what happened", "lost", "longest recovery", "times"]
    safe = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    align = ("left", "left", "left", "right", "right")
    return tabulate(safe, header, tablefmt="pipe", colalign=align, disable_numparse=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests with the mark `soak`; write the page if all passed. Returns the exit status of pytest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each storm")
    parser.add_argument("--examples", type=int, default=10_000, help="inputs of all kinds of files together")
    options = parser.parse_args(arguments)
    tried, started = commit(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        asked = {FOLDER: folder, MINUTES: str(options.minutes), EXAMPLES: str(options.examples)}
        command = [sys.executable, "-m", "pytest", "-n", "2", "-x", "-m", "soak", "--durations=0"]
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, **asked}, check=False).returncode
        records = read(Path(folder))
    if status == 0:
        made = provenance("cpu", **vars(options), seconds=time.monotonic() - started)
        write_text(PAGE, page(records, {**made, "commit": tried}))
        print(f"Read {PAGE.relative_to(ROOT)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
