"""What the gradient steps of a pack read: transitions of its data and random numbers, both fixed by seeds and step."""

from __future__ import annotations

from dataclasses import fields

from torch import Tensor

from dac.agent.batch import Batch, Draws
from dac.agent.streams import ShuffledScan, UpdateNoise


class Inputs:
    """Batches and draws of a pack.

    Args:
        data: all transitions on the agent's device, one row each, without a run axis.
        scan: which of them a step takes. noise: its random numbers.
    """

    def __init__(self, data: Batch, scan: ShuffledScan, noise: UpdateNoise) -> None:
        self.data = data
        self.scan = scan
        self.noise = noise

    def at(self, step: int) -> tuple[Batch, Draws]:
        """Those of a gradient step, counted from 0; steps may be asked for in any order."""
        return self.batch(step), self.noise.draws(step)

    def batch(self, step: int) -> Batch:
        """The transitions of a gradient step."""
        return self._rows(self.scan.batch_indices(step))

    def prepare(self, step: int) -> None:
        """Make what `at_count` reads be there for a step: mostly it is, and nothing is done."""
        self.scan.prepare(step)
        self.noise.prepare(step)

    def at_count(self, count: Tensor) -> tuple[Batch, Draws]:
        """Those of the step that the device counts, so that a captured step fetches its own; equal to `at`'s.

        Args:
            count: (), float64, on the device; `prepare` was called with its value.
        """
        return self._rows(self.scan.indices_at_count(count)), self.noise.draws_at_count(count)

    def _rows(self, indices: Tensor) -> Batch:
        """The transitions at `indices` (R, B)."""
        return Batch(*(getattr(self.data, field.name)[indices] for field in fields(Batch)))
