"""Parameters of a pack as one flat buffer with named views.

Clipping, Adam and the moving averages then cost a few operations per network, whatever its number of layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Names and shapes of one network's parameters: `shapes` of one member, `ensemble` of the axes in front.

    `ensemble` is () for a single network and (H,) for an ensemble of H.
    """

    shapes: Mapping[str, tuple[int, ...]]
    ensemble: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of parameters of one member."""
        return sum(math.prod(shape) for shape in self.shapes.values())


class Parameters:
    """One network of R runs.

    Attributes:
        matrix: (R, P), all parameters of each run; write to it in place.
        named: views of `matrix`, (R, *ensemble, *shape) under every name of the layout. A member's parameters are
            neighbours in memory, so the run and ensemble axes of a view fold into one without a copy.
    """

    def __init__(self, layout: Layout, runs: int, device: torch.device | str, dtype: torch.dtype) -> None:
        self.layout = layout
        members = math.prod(layout.ensemble)
        self.matrix = torch.zeros(runs, members * layout.size, device=device, dtype=dtype)
        self.named: dict[str, Tensor] = {}
        blocks = self.matrix.view(runs, *layout.ensemble, layout.size)
        offset = 0
        for name, shape in layout.shapes.items():
            length = math.prod(shape)
            self.named[name] = blocks[..., offset : offset + length].view(runs, *layout.ensemble, *shape).detach()
            offset += length

    def requires_grad_(self) -> Parameters:
        """Make every named view a leaf of autograd; returns self."""
        for view in self.named.values():
            view.requires_grad_()
        return self

    def flatten(self, tensors: Sequence[Tensor]) -> Tensor:
        """Lay tensors in the shapes and the order of `named` out like `matrix`: (R, P)."""
        lead = 1 + len(self.layout.ensemble)
        return torch.cat([tensor.flatten(lead) for tensor in tensors], dim=-1).flatten(1)

    def run_state(self, run: int, prefix: str) -> dict[str, Tensor]:
        """Copies of one run's parameters on the CPU, under `prefix` + name, without the run axis."""
        return {prefix + name: view[run].detach().cpu().clone() for name, view in self.named.items()}

    @torch.no_grad()
    def load_run_state(self, run: int, prefix: str, state: Mapping[str, Tensor]) -> None:
        """Copy one run's parameters in.

        Raises:
            ValueError: a name is missing or has another shape.
        """
        for name, view in self.named.items():
            if prefix + name not in state:
                raise ValueError(f"state of run {run} lacks {prefix + name}")
            value = state[prefix + name]
            if value.shape != view.shape[1:]:
                raise ValueError(
                    f"state of run {run}: {prefix + name} has shape {tuple(value.shape)}, "
                    f"the configured network has {tuple(view.shape[1:])}"
                )
            view[run].copy_(value)
