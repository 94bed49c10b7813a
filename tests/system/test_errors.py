from __future__ import annotations

import h5py
import pytest
from tiny import Project

from dac.cli import main
from dac.system.errors import visible


def test_what_would_command_a_terminal_is_visible() -> None:
    assert visible("a\x1b[2Jb\r\u202e\ud800") == r"a\x1b[2Jb\r\u202e\ud800"
    assert visible("N_a × 3 …\n\té") == "N_a × 3 …\n\té"


def test_names_in_files_of_others_do_not_command_a_terminal(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File("data/pendulum.hdf5", "a") as file:
        del file["rewards"]
        file["\x1b[2J"] = 1
    project.load()
    assert main(["fetch", "pendulum"]) == 1
    told = capsys.readouterr().err
    assert "the key 'rewards' is missing" in told
    assert r"\x1b[2J" in told
    assert "\x1b" not in told
