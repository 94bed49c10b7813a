"""Reading a pickle runs what it says: nothing that came from elsewhere is read so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dac.bench import parity
from dac.system.errors import UserError

ROOT = Path(__file__).parents[1]
# A state that this program wrote on this machine, in a folder that is named after its sha256.
ALLOWED = {("dac/datasets/sac/checkpoint.py", name) for name in ("torch.load", "SAC.load", "model.load_replay_buffer")}
READERS = ("torch.load", "SAC.load", "load_replay_buffer", "read_pickle", "joblib.load", "np.load", "numpy.load")


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a module that read pickles, or may."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.endswith(READERS) or any(keyword.arg == "allow_pickle" for keyword in node.keywords):
                yield name, node


def test_only_states_of_this_program_are_unpickled() -> None:
    found = set()
    modules = [*(ROOT / "dac").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")]
    assert len(modules) > 100
    for path in modules:
        text = path.read_text()
        assert not any(f"import {name}" in text for name in ("pickle", "cloudpickle", "dill", "joblib", "shelve")), path
        for name, call in calls(path):
            safe = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if name.startswith("safetensors.") or (name in ("np.load", "numpy.load") and "allow_pickle" not in safe):
                continue
            found.add((str(path.relative_to(ROOT)), name))
    assert found == ALLOWED


def test_a_recording_with_a_pickle_in_it_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    path = tmp_path / "recording.npz"
    np.savez(path, x=np.array([Hostile()], dtype=object))
    with pytest.raises(UserError):
        list(parity.check([path], None, pack=1, precision="fp32", largest=None))
    assert not (tmp_path / "ran").exists()


def test_a_recording_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recording.npz"
    np.savez(path, x=np.arange(1000))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"cannot be read as an \.npz recording"):
        list(parity.check([path], None, pack=1, precision="fp32", largest=None))
