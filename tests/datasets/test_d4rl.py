"""Where D4RL's files are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import write_rows

from dac.datasets import d4rl
from dac.study.catalog import D4RLFile, d4rl_file
from dac.system.errors import UserError
from dac.system.hashing import sha256_of


def test_mirrors_are_asked_first_and_keep_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    file = d4rl_file("hopper-medium-v2")
    assert d4rl.addresses(file) == [file.url]
    monkeypatch.setenv("DAC_D4RL_MIRROR", "file:///disk/d4rl/  http://near.example/x")
    assert d4rl.addresses(file, ["https://far.example"]) == [
        "file:///disk/d4rl/gym_mujoco_v2/hopper_medium-v2.hdf5",
        "http://near.example/x/gym_mujoco_v2/hopper_medium-v2.hdf5",
        "https://far.example/gym_mujoco_v2/hopper_medium-v2.hdf5",
        file.url,
    ]


def test_a_mirror_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAC_D4RL_MIRROR", "/disk/d4rl")
    with pytest.raises(UserError, match=r"DAC_D4RL_MIRROR: found '/disk/d4rl'; allowed .* file:///disk/d4rl"):
        d4rl.addresses(d4rl_file("hopper-medium-v2"))


def test_a_mirror_on_the_disk_gives_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    served = tmp_path / "mirror" / "gym_mujoco_v2" / "some.hdf5"
    write_rows(served)
    file = D4RLFile("some-v2", "http://127.0.0.1:9/offline_rl/gym_mujoco_v2/some.hdf5", None, sha256_of(served))
    destination = tmp_path / "data" / "some.hdf5"
    assert d4rl.fetch(file, destination, [f"file://{tmp_path}/mirror"]) == file.sha256
    assert destination.read_bytes() == served.read_bytes()
