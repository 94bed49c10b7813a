"""Inputs as strangers and damaged disks make them, and a watch on what is done with them."""

from __future__ import annotations

import copy
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reliability import FOLDER, examples, record

from dac.system.errors import UserError

Item = TypeVar("Item")

SECONDS = 10  # of a core, for one input; more counts as hung
WAITED = 300  # by the clock, the same: a machine may have much else to do

# Texts that would leave a folder, reach a shell, a terminal, a page or a pickle, or that encode to nothing.
TEXTS = (
    "../../x", "/etc/passwd", "..", "", "$(touch pwned)", "`touch pwned`", "'; touch pwned #", "a\nb", "\x1b[2Jx",
    "{wildcards.task}", "%s", "<script>", "[", "𝕏" * 300, "\ud800", "\x00", "nan", "-", "file:../x", "cuda:9",
    "cos\nsystem\n(S'touch pwned'\ntR.", "minari:../../x-v0", "0" * 12,
)  # fmt: skip
NUMBERS = (0, -1, 1, 2, 10**9, 2**31, 2**63, 10**30, 0.5, -0.0, 1e-320, 1e308, float("inf"), float("nan"))

scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.integers(), st.floats(), st.sampled_from(TEXTS), st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(TEXTS) | st.text(), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document in which some places are deleted, renamed, or hold something else."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            return document
        parent, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from(["replace", "replace", "number", "delete", "rename", "copy"]))
        if kind == "replace":
            parent[key] = draw(values)
        elif kind == "number":
            parent[key] = draw(st.sampled_from(NUMBERS))
        elif kind == "copy":
            other, name = places[draw(st.integers(0, len(places) - 1))]
            parent[key] = copy.deepcopy(other[name])
        elif isinstance(parent, list):
            del parent[key]
        else:
            kept = parent.pop(key)
            if kind == "rename":
                parent[draw(st.sampled_from(TEXTS) | st.text(max_size=5))] = kept
    return document


@st.composite
def stretched(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document in which some values are others of the same type, of any size."""
    document = copy.deepcopy(document)
    leaves = [(parent, key) for parent, key in _places(document) if not isinstance(parent[key], dict | list)]
    texts = [parent[key] for parent, key in leaves if isinstance(parent[key], str)]
    for _ in range(draw(st.integers(1, 2))):
        parent, key = leaves[draw(st.integers(0, len(leaves) - 1))]
        value = parent[key]
        if isinstance(value, bool):
            parent[key] = not value
        elif isinstance(value, int):
            parent[key] = draw(st.sampled_from([1, 2, 3, 7, 10**3, 10**6, 10**9, 2**31 - 1, 10**18, 10**30]))
        elif isinstance(value, float):
            parent[key] = draw(st.sampled_from([0.0, 0.5, 1.0, 1e-300, 1e-9, 1e9, 1e300]) | st.floats(0, 1))
        elif isinstance(value, str):
            parent[key] = draw(st.sampled_from(texts) | st.sampled_from(TEXTS))
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes of a file in which some are others, missing, repeated or cut off."""
    new = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(new) - 1)))
        kind = draw(st.sampled_from(["set", "set", "bit", "cut", "delete", "insert", "ones"]))
        if kind == "set" and new:
            new[place] = draw(st.integers(0, 255))
        elif kind == "bit" and new:
            new[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del new[place:]
        elif kind == "delete":
            del new[place : place + draw(st.integers(1, 64))]
        elif kind == "insert":
            new[place:place] = draw(st.binary(min_size=1, max_size=16))
        else:
            new[place : place + 8] = b"\xff" * 8
    return bytes(new)


def survive(
    fault: str, inputs: st.SearchStrategy[Item], read: Callable[[Item], object], usual: int, refuses: bool = True
) -> None:
    """Have a function read many inputs in the current folder: each is taken, or refused with a sentence, in time.

    Nothing else may be raised, nothing may be written outside of the folder, no program may be started but git, nothing
    unpickled; and some must be taken and some refused, or they would show nothing.

    Args:
        fault: for the table of docs/reliability.md.
        usual: how many inputs are tried where `make soak` does not say it.
        refuses: whether some must be refused: what is a memory, or a remark, is taken as far as it goes.
    """
    tally: Counter[str] = Counter()

    @settings(
        max_examples=examples(usual),
        deadline=None,  # `_watched` has one that counts the time of a core
        derandomize=FOLDER not in os.environ,  # a test finds the same each time, a soak something else
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(inputs)
    def one(value: Item) -> None:
        with _watched(Path.cwd()):
            try:
                read(value)
            except UserError as error:
                assert len(str(error)) > 20  # a sentence
                tally["refused"] += 1
            else:
                tally["taken"] += 1

    one()
    assert tally["refused"] or not refuses, tally
    assert tally["taken"], tally
    said = f"{tally['refused']:,} refused in a sentence, {tally['taken']:,} harmless and taken"
    record("input", fault, said, count=tally.total())


class _Hung(BaseException):  # no `except Exception` of a program is to take it for something else
    """An input took longer than it may."""


@contextmanager
def _watched(project: Path) -> Iterator[None]:
    """Fail where the block takes too long, writes elsewhere, starts a program or unpickles."""

    def hung(number: int, frame: object) -> None:
        raise _Hung(f"more than {SECONDS} s of a core, or {WAITED} s")

    before = {number: signal.signal(number, hung) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITED)
    _WATCH.begin(project)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, earlier in before.items():
            signal.signal(number, earlier)
        seen = _WATCH.end()
    assert not seen, f"{len(seen)} such as {seen[0]}"


class _Watch:
    """What Python is asked to do to files and processes, while it is looked at."""

    def __init__(self) -> None:
        self._project: Path | None = None
        self._seen: list[str] = []

    def begin(self, project: Path) -> None:
        self._project, self._seen = project.resolve(), []

    def end(self) -> list[str]:
        self._project = None
        return self._seen

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._project is None or event not in _EVENTS:
            return
        if problem := _EVENTS[event](*arguments):
            self._note(event, problem)

    def _note(self, event: str, what: object) -> None:
        project = self._project
        if isinstance(what, str | bytes | os.PathLike):
            path = Path(os.path.realpath(os.fsdecode(what)))
            if project is None or path.is_relative_to(project) or _harmless(path, project):
                return
        self._seen.append(f"{event}: {what!r}")


def _harmless(path: Path, project: Path) -> bool:
    """Where Python and pandas themselves write: not beside the project, which is in the folder for temporary files."""
    temporary = Path(tempfile.gettempdir()).resolve()
    beside = temporary / project.relative_to(temporary).parts[0]
    elsewhere = path.is_relative_to(temporary) and not path.is_relative_to(beside)
    return elsewhere or "__pycache__" in path.parts or path.is_relative_to("/dev")


def _written(path: Any, mode: Any, flags: Any) -> Any:
    """The path of an `open` that writes."""
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    return path if writes and not isinstance(path, int) else None


def _started(program: Any, *rest: Any) -> Any:
    return None if Path(os.fsdecode(program)).name == "git" else [program]


_EVENTS: dict[str, Callable[..., Any]] = {
    "open": _written,
    "os.mkdir": lambda path, *rest: path,
    "os.remove": lambda path, *rest: path,
    "os.rmdir": lambda path, *rest: path,
    "os.rename": lambda source, target, *rest: target,
    "os.link": lambda source, target, *rest: target,
    "os.symlink": lambda source, target, *rest: target,
    # Of what is open already, that was looked at when it was opened.
    "os.truncate": lambda path, *rest: None if isinstance(path, int) else path,
    "os.system": lambda command: [command],
    "os.exec": _started,
    "os.posix_spawn": _started,
    "subprocess.Popen": _started,
    "socket.connect": lambda socket, address: [address],
    "pickle.find_class": lambda module, name: [f"{module}.{name}"],
}
_WATCH = _Watch()
sys.addaudithook(_WATCH)
