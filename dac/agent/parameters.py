"""Parameters of a pack as one flat buffer with named views.

Clipping, Adam and the moving averages then cost a few operations per network, whatever its number of layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


View = tuple[tuple[int, ...], tuple[int, ...], int]  # a shape, its strides, and where it begins


class Named(Mapping[str, Tensor]):
    """Views of parameters by their names.

    Where native.c computes, a gradient is that of the matrix, not of a view: `Parameters.gradient` has both.

    Args:
        matrix: (R, P), whose memory they are, in one piece. views: their shapes, strides and places in it.

    Attributes:
        matrix: it; a computation may take its gradient at once, laid out as it is, instead of that of every view.
        described: what `dac.agent.described` has found out about the views, by the prefix of their names.
    """

    def __init__(self, matrix: Tensor, views: Mapping[str, View]) -> None:
        self.matrix = matrix
        self.described: dict[str, Any] = {}
        self._places = dict(views)
        self._views = {name: matrix.detach().as_strided(*view) for name, view in views.items()}
        for view in self._views.values():
            view.requires_grad_(matrix.requires_grad)

    def __getitem__(self, name: str) -> Tensor:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy's views are of the copy's matrix."""
        return Named, (self.matrix, self._places)


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
        blocks = self.matrix.view(runs, *layout.ensemble, layout.size)
        offset = 0
        views: dict[str, View] = {}
        for name, shape in layout.shapes.items():
            length = math.prod(shape)
            view = blocks[..., offset : offset + length].view(runs, *layout.ensemble, *shape)
            views[name] = tuple(view.shape), view.stride(), int(view.storage_offset())
            offset += length
        self.named = Named(self.matrix, views)

    def requires_grad_(self) -> Parameters:
        """Make the matrix and every named view a leaf of autograd; returns self."""
        for leaf in (self.matrix, *self.named.values()):
            leaf.requires_grad_()
        return self

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient (R, P) of a loss () that was computed from the matrix, the views, or both.

        Raises:
            RuntimeError: it was computed from neither.
        """
        leaves = (self.matrix, *self.named.values())
        of_matrix, *of_views = torch.autograd.grad(loss, leaves, allow_unused=True)
        if all(gradient is None for gradient in of_views):
            if of_matrix is None:
                raise RuntimeError("the loss does not depend on the network that is to be trained on it")
            return of_matrix
        views = zip(of_views, self.named.values(), strict=True)
        flat = self.flatten([torch.zeros_like(view) if found is None else found for found, view in views])
        return flat if of_matrix is None else flat + of_matrix

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
