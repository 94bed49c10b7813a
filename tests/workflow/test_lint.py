"""What Snakemake's own linter says of the workflow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from project import ROOT, new_project

pytestmark = pytest.mark.workflow


def test_the_linter_misses_environments_of_single_rules_alone(tmp_path: Path) -> None:
    """All rules run in the environment that Snakemake itself runs in, which `make` builds."""
    project = new_project(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "tests/workflow/params.yaml").read_text())
    _, output = project.run("snakemake", "--lint")
    found = set(re.findall(r"^    \* (.*)$", output, re.M))
    # The folder of markers has its one home in dac/system/paths.py, so the rules compose their paths with it.
    assert {item for item in found if not item.startswith(("Absolute path", "Path composition"))} == {
        "Specify a conda environment or container for each rule.:"
    }
