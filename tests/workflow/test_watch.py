"""The workflow under `dac watch` on a terminal, in a folder whose path has blanks."""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path

import pytest
import yaml
from project import TIMEOUT, Project, environment, new_project
from terminal import on_terminal
from tiny import PARAMS, write_rows

pytestmark = pytest.mark.workflow


def watched(project: Project) -> tuple[int, str]:
    command = ("snakemake", "tiny", "--cores", "2", "--show-failed-logs", "--quiet", "host", "reason")
    status, shown = on_terminal((sys.executable, "-m", "dac", "watch", *command), project.path, environment(), TIMEOUT)
    return status, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n")


def test_a_study_on_a_terminal_in_a_path_with_blanks(tmp_path: Path) -> None:
    project = new_project(tmp_path / "a b" / "c d")
    content = copy.deepcopy(PARAMS)
    write_rows(project.path / "data/pendulum.hdf5")
    content["studies"]["tiny"]["settings"]["batch_size"] = 1000
    (project.path / "params.yaml").write_text(yaml.safe_dump(content))
    status, shown = watched(project)
    assert status == 1, shown
    assert re.search(r"^Failed: Train pendulum soft-H2-lcb0.5-[0-9a-f]{12}, seeds 0-1$", shown, re.M), shown
    assert "    dac: file:data/pendulum.hdf5: 230 transitions, fewer than batch_size (1000)" in shown
    (log,) = re.findall(r"^    its log: (logs/train/.*/0-1\.log)$", shown, re.M)
    assert "fewer than batch_size" in (project.path / log).read_text()
    assert "Ended with status 1 after 0 of 4 jobs in " in shown
    assert "Error in rule" not in shown

    project.set_param("studies.tiny.settings.batch_size", 16)
    status, shown = watched(project)
    assert status == 0, shown
    assert "4 of 4 jobs in " in shown
    assert list((project.path / "work/progress").iterdir()) == []
    assert (project.path / "results/tiny/README.md").is_file()

    status, shown = watched(project)
    assert status == 0
    assert "Nothing to be done (all requested files are present and up to date)." in shown
