"""Rows that would train without a complaint: what is refused, what is said, and that good data are left alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from shared import shared_data
from tiny import write_rows

from dac.rows import checks, layout
from dac.rows.raw import RawDataset, content_hash
from dac.system.errors import UserError

PATH = Path("a.hdf5")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def following(raw: RawDataset) -> NDArray[np.float32]:
    """The true next observations; those after an episode's end are no row of the file."""
    found = np.roll(raw.observations, -1, axis=0)
    found[raw.terminals | raw.timeouts] += 7
    return found


def write(raw: RawDataset, next_observations: NDArray[np.generic] | None) -> None:
    with h5py.File(PATH, "w") as file:
        for key in layout.KEYS:
            file[key] = getattr(raw, key)
        if next_observations is not None:
            file["next_observations"] = next_observations


@pytest.fixture
def rows(here: None) -> RawDataset:
    """20 episodes of 12 rows of noise."""
    write_rows(PATH)
    return layout.read(PATH)


def permuted(raw: RawDataset, order: NDArray[np.int64]) -> RawDataset:
    return RawDataset(*(getattr(raw, field.name)[order] for field in dataclasses.fields(raw)))


def test_next_observations_that_are_the_next_rows(rows: RawDataset, caplog: pytest.LogCaptureFixture) -> None:
    for stored in (following(rows), following(rows).astype(np.float64), following(rows) * np.float32(1 + 2e-7)):
        write(rows, stored)
        assert content_hash(checks.read(PATH)[0]) == content_hash(rows)
    assert caplog.text == ""


def test_permuted_rows_are_refused(rows: RawDataset) -> None:
    order = np.random.default_rng(0).permutation(240)
    write(permuted(rows, order), following(rows)[order])
    with pytest.raises(
        UserError,
        match=r"a.hdf5: next_observations is not the observation of the next row in 2\d\d of 2\d\d rows within "
        r"episodes, the first is row 0: the rows are not in the order of recording, or next_observations belongs to ",
    ):
        checks.read(PATH)


def test_rolled_next_observations_are_refused(rows: RawDataset) -> None:
    write(rows, np.roll(following(rows), 5, axis=0))
    with pytest.raises(UserError, match=r"in 220 of 220 rows within episodes, the first is row 0: .*belongs to other"):
        checks.read(PATH)


def test_two_rows_exchanged_are_refused(rows: RawDataset) -> None:
    order = np.arange(240)
    order[[100, 101]] = [101, 100]
    write(permuted(rows, order), following(rows)[order])
    with pytest.raises(
        UserError, match=r"in 3 of 220 rows within episodes, the first is row 99: rows are missing or out"
    ):
        checks.read(PATH)


@pytest.mark.parametrize(("late", "said"), [(3, "3 rows late"), (1, "1 row late"), (-2, "2 rows early")])
def test_misplaced_ends_show_in_next_observations(rows: RawDataset, late: int, said: str) -> None:
    ends = rows.terminals | rows.timeouts
    moved = dataclasses.replace(rows, terminals=np.zeros(240, np.bool_), timeouts=shifted(ends, late))
    write(moved, following(rows))
    with pytest.raises(UserError, match=rf"the ends of episodes seem to be marked {said}"):
        checks.read(PATH)


def test_next_observations_of_another_shape_are_refused(rows: RawDataset) -> None:
    write(rows, rows.observations[:-1])
    with pytest.raises(UserError, match=r"next_observations has shape \(239, 4\), observations \(240, 4\)"):
        checks.read(PATH)


def test_nan_within_an_episode_is_no_successor(rows: RawDataset) -> None:
    stored = following(rows)
    stored[17] = np.nan
    write(rows, stored)
    with pytest.raises(
        UserError,
        match=r"in 1 of 220 rows within episodes, the first is row 17: rows are missing or out of order there",
    ):
        checks.read(PATH)


def test_the_joint_of_two_files_is_said_and_passes(caplog: pytest.LogCaptureFixture) -> None:
    """The first breaks off in the midst of an episode, as a replay buffer does."""
    write_rows(PATH, episodes=400)
    raw = layout.read(PATH)
    raw.terminals[1211] = raw.timeouts[1211] = False
    write(raw, following(dataclasses.replace(raw, terminals=np.arange(4800) % 12 == 11)))
    assert len(checks.read(PATH)[0]) == 4800
    assert "in 1 of 4401 rows within episodes, the first is row 1211" in caplog.text


def test_a_published_file_is_what_it_is(rows: RawDataset, caplog: pytest.LogCaptureFixture) -> None:
    write(rows, np.roll(following(rows), 5, axis=0))
    assert len(checks.read(PATH, published=True)[0]) == 240
    assert "in 220 of 220 rows" in caplog.text


# Ends of episodes without next_observations


def shifted(flags: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Flags moved down by some rows; those that leave the file are lost."""
    found = np.zeros_like(flags)
    places = np.flatnonzero(flags) + by
    found[places[(places >= 0) & (places < len(flags))]] = True
    return found


def walks(length: int, episodes: int, start: float, seed: int = 0) -> RawDataset:
    """Episodes that start at random, by `start`, and go on in small steps, each cut off."""
    random = np.random.default_rng(seed)
    steps = np.cumsum(0.05 * random.normal(size=(episodes, length, 4)), axis=1)
    observations = (start * random.normal(size=(episodes, 1, 4)) + steps).reshape(-1, 4)
    count = length * episodes
    return RawDataset(
        observations=observations.astype(np.float32),
        actions=np.zeros((count, 1), np.float32),
        rewards=np.ones(count, np.float32),
        terminals=np.zeros(count, np.bool_),
        timeouts=np.arange(count) % length == length - 1,
    )


@pytest.mark.parametrize("length", [15, 200])
@pytest.mark.parametrize("start", [0.01, 1.0])
@pytest.mark.parametrize(("by", "said"), [(3, "3 rows late"), (1, "1 row late")])
def test_late_time_outs_are_said(length: int, start: float, by: int, said: str) -> None:
    """Whether episodes start alike, or anywhere."""
    raw = walks(length, 40, start)
    assert checks.misplaced_ends(raw) is None
    found = checks.misplaced_ends(dataclasses.replace(raw, timeouts=shifted(raw.timeouts, by)))
    assert found is not None
    assert found.startswith(f"timeouts seems to be marked {said}")


def balanced(length: int, episodes: int) -> RawDataset:
    """Episodes that start at random and come to rest in one place."""
    raw = walks(length, episodes, 1.0)
    decay = 0.9 ** np.arange(length, dtype=np.float32)
    starts = raw.observations.reshape(episodes, length, 4)[:, :1]
    noise = 1e-3 * np.random.default_rng(1).normal(size=(episodes, length, 4))
    observations = (starts * decay[:, None] + noise).reshape(-1, 4).astype(np.float32)
    return dataclasses.replace(raw, observations=observations)


def test_late_time_outs_of_a_task_that_comes_to_rest() -> None:
    raw = balanced(200, 20)
    assert checks.misplaced_ends(raw) is None
    found = checks.misplaced_ends(dataclasses.replace(raw, timeouts=shifted(raw.timeouts, 3)))
    assert found is not None
    assert found.startswith("timeouts seems to be marked 3 rows late")


def test_it_is_said_when_the_file_is_read(caplog: pytest.LogCaptureFixture) -> None:
    raw = walks(15, 40, 0.01)
    write(dataclasses.replace(raw, timeouts=shifted(raw.timeouts, 3)), None)
    checks.read(PATH)
    assert "a.hdf5: timeouts seems to be marked 3 rows late" in caplog.text


@pytest.mark.parametrize("dimensions", [1, 4])
def test_noise_has_no_ends(dimensions: int) -> None:
    for seed in range(100):
        write_rows(PATH, observation_dim=dimensions, episodes=10 + seed, seed=seed)
        assert checks.misplaced_ends(layout.read(PATH)) is None


@pytest.mark.parametrize("length", [1, 2, 3])
def test_very_short_episodes(length: int) -> None:
    assert checks.misplaced_ends(walks(length, 100, 1.0)) is None


def recordings() -> list[Path]:
    return [*sorted(shared_data("zoo").glob("*.hdf5")), shared_data("adroit") / "door_human.hdf5"]


def test_recorded_data_raise_no_alarm_and_late_ones_do(caplog: pytest.LogCaptureFixture) -> None:
    """Ten files. One has too few time-outs (5) to say anything of them; of its 1276 falls it does."""
    for path in recordings():
        raw, _ = checks.read(path)
        assert caplog.text == "", path.name
        both = dataclasses.replace(raw, timeouts=shifted(raw.timeouts, 3), terminals=shifted(raw.terminals, 3))
        found = checks.misplaced_ends(both)
        assert found is not None, path.name
        assert "marked 3 rows late" in found


def test_recorded_data_with_their_true_successors_pass(caplog: pytest.LogCaptureFixture) -> None:
    for path in recordings():
        raw = layout.read(path)
        write(raw, following(raw))
        assert content_hash(checks.read(PATH)[0]) == content_hash(raw)
    assert caplog.text == ""
