"""What an installation has of the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_room_is_installed() -> None:
    """Setuptools takes the folders that are listed, and no others."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = [".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "dac").rglob("__init__.py")]
    assert sorted(settings["packages"]) == sorted(found)
