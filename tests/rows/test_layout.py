from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dac.datasets.transitions import to_transitions
from dac.envs import normalised_score
from dac.rows import layout
from dac.rows.raw import RawDataset, content_hash, episode_returns
from dac.study.catalog import reference_returns
from dac.system.errors import UserError


def write(path: Path, raw: RawDataset, **changes: np.ndarray | None) -> Path:
    """Write `raw` as HDF5 with some arrays replaced, or left out where the replacement is None."""
    with h5py.File(path, "w") as file:
        for key in layout.KEYS:
            array = changes.get(key, getattr(raw, key))
            if array is not None:
                file[key] = array
        file["metadata/env_id"] = "Hopper-v4"
    return path


def test_reading_gives_the_arrays_back(tmp_path: Path, raw: RawDataset) -> None:
    read = layout.read(write(tmp_path / "a.hdf5", raw))
    assert content_hash(read) == content_hash(raw)


def test_double_precision_and_columns_are_brought_to_the_layout(tmp_path: Path, raw: RawDataset) -> None:
    path = write(
        tmp_path / "a.hdf5",
        raw,
        observations=raw.observations.astype(np.float64),
        rewards=raw.rewards[:, None],
        terminals=raw.terminals.astype(np.uint8)[:, None],
    )
    assert content_hash(layout.read(path)) == content_hash(raw)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.hdf5: no such file.*dac fetch"):
        layout.read(tmp_path / "none.hdf5")


def test_not_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "page.hdf5"
    path.write_text("<html>404</html>")
    with pytest.raises(UserError, match=r"page.hdf5: it is an HTML page and not HDF5"):
        layout.read(path)


def test_missing_key_names_those_found(tmp_path: Path, raw: RawDataset) -> None:
    path = write(tmp_path / "a.hdf5", raw, timeouts=None)
    with pytest.raises(UserError, match=r"'timeouts' is missing; found actions, metadata, observations, rewards"):
        layout.read(path)


def test_disagreeing_lengths(tmp_path: Path, raw: RawDataset) -> None:
    path = write(tmp_path / "a.hdf5", raw, rewards=raw.rewards[:-1])
    with pytest.raises(UserError, match=r"actions 9, rewards 8"):
        layout.read(path)


def test_wrong_number_of_axes(tmp_path: Path, raw: RawDataset) -> None:
    path = write(tmp_path / "a.hdf5", raw, actions=raw.actions[:, 0])
    with pytest.raises(UserError, match=r"actions has shape \(9,\); 2 axes"):
        layout.read(path)


def test_rows_without_a_number(tmp_path: Path, raw: RawDataset) -> None:
    path = write(tmp_path / "a.hdf5", raw, actions=raw.actions[:, :0])
    with pytest.raises(UserError, match=r"a.hdf5: actions has shape \(9, 0\): a row of it holds no number"):
        layout.read(path)


def test_an_array_that_was_made_without_values(tmp_path: Path, raw: RawDataset) -> None:
    path = write(tmp_path / "a.hdf5", raw, rewards=None)
    with h5py.File(path, "r+") as file:
        file["rewards"] = h5py.Empty("f4")
    with pytest.raises(UserError, match=r"a.hdf5: /rewards was made without values"):
        layout.read(path)


@pytest.mark.parametrize("key", ["terminals", "timeouts"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda flags: flags * 2, r"in 2 of 9 rows, the first is row \d \(2\)"),
        (lambda flags: flags * -1, r"in 2 of 9 rows, the first is row \d \(-1\)"),
        (lambda flags: flags * 0.5, r"in 2 of 9 rows, the first is row \d \(0.5\)"),
        (lambda flags: np.where(flags, 1.0, np.nan), r"in 7 of 9 rows, the first is row 0 \(nan\)"),
    ],
)
def test_flags_that_are_no_flags(
    tmp_path: Path, raw: RawDataset, key: str, make: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    path = write(tmp_path / "a.hdf5", raw, **{key: make(getattr(raw, key).astype(np.int64))})
    with pytest.raises(UserError, match=rf"a.hdf5: {key} is neither 0 nor 1 {said}. Write 1 \(true\) at an episode's"):
        layout.read(path)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64])
def test_flags_of_any_type(tmp_path: Path, raw: RawDataset, kind: type) -> None:
    path = write(tmp_path / "a.hdf5", raw, terminals=raw.terminals.astype(kind), timeouts=raw.timeouts.astype(kind))
    assert content_hash(layout.read(path)) == content_hash(raw)


def test_nan_names_the_first_row(tmp_path: Path, raw: RawDataset) -> None:
    observations = raw.observations.copy()
    observations[[3, 7], 1] = np.nan
    path = write(tmp_path / "a.hdf5", raw, observations=observations)
    with pytest.raises(UserError, match=r"observations has NaN or infinity in 2 rows, the first is row 3"):
        layout.read(path)


@pytest.mark.parametrize(
    ("name", "env_id", "expected"),
    [
        ("hopper_medium", "Hopper-v4", (200_000, 463, 49.1, 22.8, 112.6)),
        ("hopper_medium_replay", "Hopper-v4", (200_000, 1281, 14.5, 13.5, 112.0)),
        ("hopper_medium_expert", "Hopper-v4", (201_330, 347, 66.5, 33.9, 117.3)),
        ("halfcheetah_medium", "HalfCheetah-v4", (200_000, 200, 45.2, 9.9, 49.3)),
        ("halfcheetah_medium_replay", "HalfCheetah-v4", (200_000, 200, 24.8, 12.9, 49.1)),
        ("halfcheetah_medium_expert", "HalfCheetah-v4", (200_000, 200, 70.0, 25.0, 97.9)),
        ("walker2d_medium", "Walker2d-v4", (200_000, 207, 82.8, 13.1, 88.8)),
        ("walker2d_medium_replay", "Walker2d-v4", (200_000, 907, 11.8, 17.6, 89.6)),
        ("walker2d_medium_expert", "Walker2d-v4", (201_077, 223, 91.3, 22.7, 124.7)),
    ],
)
def test_statistics_of_recorded_data(
    zoo: Path, name: str, env_id: str, expected: tuple[int, int, float, float, float]
) -> None:
    """Steps, episodes, and mean, std and max of the scores.

    They are those published with the files for five of the nine. The flags and rewards of hopper_medium, hopper_medium_
    replay, walker2d_medium and walker2d_medium_replay, counted here and by hand, give other numbers than that table, by
    up to 13 episodes and 0.8 points.
    """
    raw = layout.read(zoo / f"{name}-zoo-v0.hdf5")
    scores = normalised_score(episode_returns(raw), *reference_returns(env_id))
    found = (len(raw), len(scores), *(round(float(value), 1) for value in (scores.mean(), scores.std(), scores.max())))
    assert found == expected


def test_transitions_of_recorded_data(zoo: Path) -> None:
    raw = layout.read(zoo / "hopper_medium-zoo-v0.hdf5")
    transitions = to_transitions(raw, "locomotion")
    timeouts = int((raw.timeouts & ~raw.terminals)[:-1].sum())
    assert len(transitions) == len(raw) - 1 - timeouts
    assert transitions.dones.sum() == raw.terminals[:-1].sum()
    spread = np.ptp(episode_returns(raw))
    assert transitions.rewards[0] == pytest.approx(raw.rewards[0] * 1000 / spread, rel=1e-6)
    # Within an episode, the next observation of a row is the observation of the row after it.
    inside = np.flatnonzero(transitions.dones[:1000] == 0)[:-1]
    consecutive = (transitions.next_observations[inside] == transitions.observations[inside + 1]).all(axis=1)
    assert consecutive.mean() > 0.99
