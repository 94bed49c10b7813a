"""The agent replays what the authors' released implementation computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dac.errors import UserError
from dac.parity import replay, tolerance

RECORDINGS = sorted((Path(__file__).parent / "data" / "parity").glob("*.npz"))


def test_all_seven_recordings_are_here() -> None:
    assert len(RECORDINGS) == 7


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("pack", [1, 3])
def test_replay_agrees(path: Path, dtype: torch.dtype, pack: int) -> None:
    deviations = replay(path, dtype, pack=pack)
    beyond = {name: value for name, value in deviations.items() if not value <= tolerance(name)}
    assert not beyond
    networks = {f"parameters/{name}" for name in ("actor", "target_actor", "critic", "target_critic")}
    infos = {f"info/{name}" for name in ("critic_loss", "q_mean", "q_std", "q_norm", "q_grad", "q_grad_abs")}
    infos |= {f"info/{name}" for name in ("bc_loss", "guidance_loss", "actor_loss", "eta")}
    others = {"schedule/betas", "schedule/alpha_bars", "next_actions", "next_q", "eta_after"}
    assert set(deviations) == networks | infos | others | {"act/candidates", "act/q", "act/chosen"}


def test_a_changed_number_is_seen(tmp_path: Path) -> None:
    with np.load(RECORDINGS[0]) as file:
        arrays = dict(file)
    arrays["step1/eta_after"] = arrays["step1/eta_after"] * np.float32(1.001)
    arrays["step2/info/bc_loss"] = np.float32(np.nan)
    np.savez(tmp_path / "changed.npz", **arrays)
    deviations = replay(tmp_path / "changed.npz")
    assert deviations["eta_after"] == pytest.approx(1e-3, rel=0.01)
    assert np.isnan(deviations["info/bc_loss"])
    assert deviations["next_q"] <= tolerance("next_q")


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    with pytest.raises(UserError, match=r"other\.npz: lacks the array config/"):
        replay(tmp_path / "other.npz")
    with pytest.raises(UserError, match=r"missing\.npz"):
        replay(tmp_path / "missing.npz")
