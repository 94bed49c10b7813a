"""The fenced blocks of the README, of docs/ and of the other pages that people write.

Commands are in blocks of the language `bash`. The tests run each as it is printed, those of a page in their order and
in one copy of the project, unless the line before the fence says why they do not:

    <!-- not run by the tests: needs a network -->
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from project import ROOT, TIMEOUT, environment

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/zoo/README.md",
    ROOT / "benchmarks/precision/README.md",
]
LANGUAGES = {"bash", "yaml", "python", "text"}
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"^ *<!-- not run by the tests: (.*) -->\n\Z", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        line: of its first line, from 1.
        reason: why the tests do not run it; None where they do.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The blocks of a page, in their order; of one language if named."""
    text, found = page.read_text(), []
    for match in _FENCE.finditer(text):
        reason = _REASON.search(text[: match.start()])
        lines = [line.removeprefix(match["indent"]) for line in match["text"].splitlines()]
        number = text[: match.start("text")].count("\n") + 1
        found.append(Block(page, number, match["language"], "\n".join(lines), reason[1] if reason else None))
    return [block for block in found if language in (None, block.language)]


def without_blocks(page: Path) -> str:
    """The text of a page outside its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def copy_of_the_project(folder: Path) -> Path:
    """A clone as a user has it, of the files as they are here: committed, with a repository to push to beside it."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    run("git init --quiet --initial-branch main && git add --all && git commit --quiet --message start", folder)
    upstream = folder.with_name(f"{folder.name}.git")
    run(f"git clone --quiet --bare . {upstream} && git remote add origin {upstream}", folder)
    run("git push --quiet --set-upstream origin main", folder)
    return folder


def run(commands: str, folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """Run commands as bash does, with the project's own code; returns their output.

    Raises:
        AssertionError: one failed; the message has the output.
    """
    person = {"GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example.org"}
    committer = {key.replace("AUTHOR", "COMMITTER"): value for key, value in person.items()}
    programs = {"PYTHONPATH": str(folder), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", commands],
        cwd=folder,
        env={**environment(), **person, **committer, **programs, **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\nended with {done.returncode}:\n{done.stdout}"
    return done.stdout
