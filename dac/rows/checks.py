"""Rows that would train without a complaint and mean nothing: out of order, with ends misplaced, of another scale."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dac.rows import layout
from dac.rows.raw import FloatArray, RawDataset, place
from dac.system.errors import UserError

LOG = logging.getLogger(__name__)

# Rounding may carry an action of a `file:` dataset this far outside of [-1, 1]; more is another scale.
ACTION_MARGIN = 1e-3
# Of the rows of a published Minari set, which people may have recorded with a hand beyond the bounds; more is another
# scale. One's own can be written again.
MOST_CLIPPED = 0.5
_PUBLISHED_MINARI = ("D4RL/", "mujoco/")
# Successors that differ by less, relative to their size, are equal but for the precision they were written in.
ROUNDING = 1e-5
PIECE = 200_000  # rows that are compared at once, for the sake of memory
# Files joined from several end each but the last in the midst of an episode: so many rows per episode may lack their
# successor.
JOINTS = 0.01

# A look for ends that are marked at the wrong rows: so many rows on either side of each mark, at so many marks at least
# and at most, and by how much (as a logarithm) the row of the true ends must stand out, and the marked rows may.
WINDOW = 10
MARKS = 8
MOST_MARKS = 5000
OUTSTANDING = 2.0
ORDINARY = 1.0


def read(path: Path, *, published: bool = False) -> tuple[RawDataset, int]:
    """Read a file in D4RL's layout and refuse contents that cannot be meant.

    Args:
        published: by others: it is what it is, and what is doubtful in it is logged. One's own can be mended.

    Returns:
        its rows, and how many of them have actions outside of [-1, 1], to be clipped.

    Raises:
        UserError: as `d4rl.read`; or no rows, no end of an episode, actions of another scale, or rows that do not
            follow each other.
    """
    raw = layout.read(path)
    if not len(raw):
        raise UserError(f"{path}: it has no rows. Give another file.")
    if not (raw.terminals | raw.timeouts).any():
        raise UserError(
            f"{path}: no episode ends: terminals and timeouts are false in all {len(raw)} rows. Mark the last row of "
            "every episode, as a terminal state or as a time-out."
        )
    rows = clipped_rows(str(path), raw, most_share=1.0 if published else 0.0)
    _check_successors(path, raw, published)
    if misplaced := misplaced_ends(raw):
        LOG.warning("%s: %s", path, misplaced)
    return raw, rows


def clipped_rows_of_minari(dataset_id: str, where: str, raw: RawDataset) -> int:
    """`clipped_rows` of one of Minari's published sets, or of one's own."""
    return clipped_rows(where, raw, MOST_CLIPPED if dataset_id.startswith(_PUBLISHED_MINARI) else 0.0)


def clipped_rows(where: str, raw: RawDataset, most_share: float) -> int:
    """How many rows have actions outside of [-1, 1], which are clipped there when they are trained on.

    Args:
        most_share: of the rows that may have actions further outside than rounding carries them.

    Raises:
        UserError: more have; they are on another scale.
    """
    largest = np.abs(raw.actions).max(axis=1, initial=0.0)
    rows, far, most = (
        int((largest > 1.0).sum()),
        int((largest > 1.0 + ACTION_MARGIN).sum()),
        float(largest.max(initial=0)),
    )
    if far > most_share * len(raw):
        first = place(raw, int(np.argmax(largest > 1.0 + ACTION_MARGIN)))
        raise UserError(
            f"{where}: actions reach {most:.4g}, outside of [-1, 1], in {far} of {len(raw)} rows, the first is "
            f"{first}. Scale them to [-1, 1], the range that policies act in here (a Minari dataset whose action space "
            "says its true bounds is scaled by them); or, if the environment clipped them, write them as it took them."
        )
    if rows:
        LOG.warning("%s: actions of %d rows reach %.6g; they are clipped to [-1, 1]", where, rows, most)
    return rows


def _check_successors(path: Path, raw: RawDataset, published: bool) -> None:
    """Compare `next_observations`, where there are such, with the row after, which training takes for the successor."""
    following = layout.next_observations(path)
    if following is None:
        return
    if following.shape != raw.observations.shape:
        problem, few = f"next_observations has shape {following.shape}, observations {raw.observations.shape}", False
    else:
        inside = np.flatnonzero(~(raw.terminals | raw.timeouts)[:-1])
        parts = np.array_split(inside, 1 + len(inside) // PIECE)
        wrong = np.concatenate([part[_differ(following[part], raw.observations[part + 1])] for part in parts])
        if not len(wrong):
            return
        ends = np.flatnonzero(raw.terminals | raw.timeouts)
        problem = (
            f"next_observations is not the observation of the next row in {len(wrong)} of {len(inside)} rows within "
            f"episodes, the first is row {wrong[0]}: {_likely(wrong, inside, ends)}"
        )
        few = len(wrong) <= JOINTS * len(ends)
    if few or published:
        LOG.warning("%s: %s", path, problem)
        return
    raise UserError(
        f"{path}: {problem}. A row's successor is the row after it: write the rows in the order of recording, with the "
        "last row of every episode marked; or leave next_observations out, if that is what is wrong."
    )


def _differ(found: FloatArray, expected: FloatArray) -> NDArray[np.bool_]:
    """Which rows of two arrays differ by more than rounding; NaN differs."""
    different: NDArray[np.bool_] = ~(found == expected).all(axis=1)
    rows = np.flatnonzero(different)  # next to none in a good file
    near = np.isclose(found[rows], expected[rows], rtol=ROUNDING, atol=ROUNDING).all(axis=1)
    different[rows[near]] = False
    return different


def _likely(wrong: NDArray[np.int64], inside: NDArray[np.int64], ends: NDArray[np.int64]) -> str:
    """What probably is wrong with a file in which these rows' successors are not the next rows."""
    if len(wrong) > len(inside) / 2:
        return "the rows are not in the order of recording, or next_observations belongs to other rows"
    place = np.searchsorted(ends, wrong)
    late = (ends[np.minimum(place, len(ends) - 1)] - wrong)[place < len(ends)]
    early = (wrong - ends[np.maximum(place, 1) - 1])[place > 0]
    shifts = [
        (int(found[0]), said)
        for found, said in ((late, "late"), (early, "early"))
        if len(found) > 1 and (found == found[0]).all()
    ]
    if shifts:
        count, said = min(shifts)  # of episodes of one length, 2 rows early may be 10 late as well
        return f"the ends of episodes seem to be marked {_rows(count)} {said}"
    return "rows are missing or out of order there, or ends of episodes are not marked"


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"


def misplaced_ends(raw: RawDataset) -> str | None:
    """A sentence where ends of episodes seem to be marked some rows from the true ones, None where nothing says so.

    What comes after an end is a start, and nothing but starts: the rows after all ends are much more alike than those
    before, or much less, or the observation jumps there. Where that is so at the same few rows from the marks, and at
    the marks nothing stands out, they are misplaced. Data without such a pattern, noise say, give no sentence.
    """
    ends = np.flatnonzero(raw.terminals | raw.timeouts)
    window = min(WINDOW, int(np.median(np.diff(ends, prepend=-1))) // 2)
    for name, flags in (("timeouts", raw.timeouts & ~raw.terminals), ("terminals", raw.terminals)):
        marks = np.flatnonzero(flags)
        marks = marks[(marks > window) & (marks < len(raw) - 2 - window)]
        marks = marks[:: max(1, len(marks) // MOST_MARKS)]
        if len(marks) < MARKS or window < 1:
            continue
        # Above what chance makes of so few marks, in data of one number.
        limit = max(OUTSTANDING, 5.0 * float(np.sqrt(4.0 / (len(marks) - 1))))
        alike, jumps = _profiles(raw.observations, marks, window)
        unlike = -alike
        for profile in (unlike, jumps):
            profile[window + 1 :] = 0.0  # the first steps of an episode may be long, and lead to one place
        at_marks = (alike[window], abs(alike[window]), jumps[window])
        for profile, at_mark in zip((alike, unlike, jumps), at_marks, strict=True):
            shift = int(np.argmax(profile)) - window
            if shift and profile[shift + window] > limit and at_mark < ORDINARY:
                where = f"{_rows(abs(shift))} {'late' if shift < 0 else 'early'}"
                return (
                    f"{name} seems to be marked {where}: {_rows(abs(shift))} {'before' if shift < 0 else 'after'} the "
                    f"marks ({len(marks)} looked at) the observation changes as it does between two episodes, and at "
                    "the marks it does not. Mark the last row of each episode, if so."
                )
    return None


def _profiles(
    observations: FloatArray, marks: NDArray[np.int64], window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By distance from the marks (2 window + 1,): how much more alike the next rows are than those, and how far off.

    Both are logarithms, averaged over the observation's numbers and 0 where nothing stands out.
    """
    shifts = np.arange(-window, window + 2)
    rows = observations[marks[:, None] + shifts].astype(np.float64)  # (marks, 2 window + 2, O)
    floor = 1e-6 * observations.var(axis=0, dtype=np.float64) + 1e-30
    spread = rows.var(axis=0) + floor
    steps = np.median(np.abs(np.diff(rows, axis=1)), axis=0) + np.sqrt(floor)
    return np.log(spread[:-1] / spread[1:]).mean(axis=1), np.log(steps / np.median(steps, axis=0)).mean(axis=1)
