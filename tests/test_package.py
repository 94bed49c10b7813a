"""What an installation has of the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_every_room_is_installed() -> None:
    """Setuptools takes the folders that are listed, and no others."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = [".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "dac").rglob("__init__.py")]
    assert sorted(settings["packages"]) == sorted(found)


def test_what_is_cited_is_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    (paper,) = cited["references"]
    assert paper["title"].startswith("Diffusion Actor-Critic: Formulating Constrained Policy Iteration")
    assert len(paper["authors"]) == 5
