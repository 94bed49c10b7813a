"""The agent replays what the authors' released implementation computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from recording import Case, record

from dac.bench.parity import tolerance, worst_deviations
from dac.system.errors import UserError

RECORDINGS = sorted((Path(__file__).parents[1] / "data" / "parity").glob("*.npz"))


def test_all_seven_recordings_are_here() -> None:
    assert len(RECORDINGS) == 7


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("pack", [1, 3])
def test_replay_agrees(path: Path, dtype: torch.dtype, pack: int) -> None:
    deviations = worst_deviations(path, dtype, pack=pack)
    beyond = {name: value for name, value in deviations.items() if not value <= tolerance(name)}
    assert not beyond
    networks = {f"parameters/{name}" for name in ("actor", "target_actor", "critic", "target_critic")}
    infos = {f"info/{name}" for name in ("critic_loss", "q_mean", "q_std", "q_norm", "q_grad", "q_grad_abs")}
    infos |= {f"info/{name}" for name in ("bc_loss", "guidance_loss", "actor_loss", "eta")}
    others = {"schedule/betas", "schedule/alpha_bars", "next_actions", "next_q", "eta_after"}
    assert set(deviations) == networks | infos | others | {"act/candidates", "act/q", "act/chosen"}


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_replay_agrees_in_other_precisions(path: Path, precision: str) -> None:
    """Within their wider tolerances; on a CPU, tf32 is float32 and stays within the narrow one."""
    deviations = worst_deviations(path, precision=precision)
    assert not {name: value for name, value in deviations.items() if not value <= tolerance(name, precision)}
    if precision == "tf32":
        assert deviations == worst_deviations(path)
    else:
        assert deviations["next_q"] > tolerance("next_q")


OTHERS = [
    Case(),
    Case(T=1, num_qs=1, num_q_samples=1, hidden_dims=(9,), q_tar="min", action_dim=1),
    Case(T=7, num_qs=5, Q_guidance="hard", q_tar="convex", rho=0.6, hidden_dims=(8, 7, 6, 5), maxQ=True),
    Case(T=4, Q_guidance="denoised", q_tar="lcb", rho=0.3, observation_dim=6, action_dim=3, eta_lr=0.0),
    Case(Q_guidance="none", batch=5, lr_decay_steps=3, update_ema_every=1),
]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: f"{case.Q_guidance}-{case.q_tar}-T{case.T}-H{case.num_qs}")
@pytest.mark.parametrize("pack", [1, 2])
def test_recordings_of_other_sizes_by_a_second_implementation(case: Case, pack: int, tmp_path: Path) -> None:
    record(tmp_path / "other.npz", case)
    deviations = worst_deviations(tmp_path / "other.npz", torch.float64, pack=pack)
    assert max(deviations.values()) < 1e-7, deviations
    single = worst_deviations(tmp_path / "other.npz", torch.float32, pack=pack)
    assert not {name: value for name, value in single.items() if not value <= tolerance(name)}


def test_a_changed_number_is_seen(tmp_path: Path) -> None:
    with np.load(RECORDINGS[0]) as file:
        arrays = dict(file)
    arrays["step1/eta_after"] = arrays["step1/eta_after"] * np.float32(1.001)
    arrays["step2/info/bc_loss"] = np.float32(np.nan)
    np.savez(tmp_path / "changed.npz", **arrays)
    deviations = worst_deviations(tmp_path / "changed.npz")
    assert deviations["eta_after"] == pytest.approx(1e-3, rel=0.01)
    assert np.isnan(deviations["info/bc_loss"])
    assert deviations["next_q"] <= tolerance("next_q")


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    with pytest.raises(UserError, match=r"other\.npz: lacks the array config/"):
        worst_deviations(tmp_path / "other.npz")
    with pytest.raises(UserError, match=r"missing\.npz"):
        worst_deviations(tmp_path / "missing.npz")
