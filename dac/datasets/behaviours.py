"""Recorded behaviour policies: small networks in whole numbers, which act the same on every machine.

A policy is a network with ReLU between its layers, as Stable-Baselines3's SAC trains it. Weights, observations and
activations are whole multiples of 1/1024 and are computed with as such, so no sum is rounded, whatever its order; what
follows (a rational function, a product with the noise) are single operations that IEEE 754 rounds the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dac.system import files
from dac.system.errors import UserError

UNIT = 1024  # numbers are whole multiples of 1 / UNIT
_LIMIT = 1024 * UNIT  # of observations and activations: with it, and weights of 16 bits, no sum leaves 64 bits

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class RecordedPolicy:
    """A deterministic policy.

    Attributes:
        env: Gymnasium id of the environment that it was trained in.
        made: how it was made, for people.
        weights: per layer (inputs, outputs), in units of 1 / UNIT. biases: per layer (outputs,), likewise.
    """

    env: str
    made: str
    weights: tuple[Integers, ...]
    biases: tuple[Integers, ...]

    @property
    def observation_dim(self) -> int:
        return int(self.weights[0].shape[0])

    @property
    def action_dim(self) -> int:
        return int(self.weights[-1].shape[1])

    def act(self, observation: ArrayLike) -> NDArray[np.float64]:
        """The action in one state: (O,) -> (A,), in [-1, 1]."""
        x = np.clip(np.rint(np.asarray(observation, np.float64) * UNIT), -_LIMIT, _LIMIT).astype(np.int64)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = (x @ weight + bias * UNIT) // UNIT
            x = np.clip(x, 0 if layer < len(self.weights) - 1 else -_LIMIT, _LIMIT)
        return squash(x / UNIT)


def squash(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x (27 + x^2) / (27 + 9 x^2) up to |x| = 3, then ±1: within 0.024 of tanh, whose last bits differ by machine."""
    x = np.clip(x, -3.0, 3.0)
    square = x * x
    squashed: NDArray[np.float64] = x * (27.0 + square) / (27.0 + 9.0 * square)
    return squashed


def load(path: Path) -> RecordedPolicy:
    """Read a policy's file.

    Raises:
        UserError: it is missing, damaged, or something else than a recorded policy.
    """
    try:
        with safe_open(path, framework="numpy") as stream:
            facts = json.loads((stream.metadata() or {})["policy"])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a dict
        weights = _layers(tensors, "weight")
        biases = _layers(tensors, "bias")
        _check_shapes(weights, biases, tensors)
        return RecordedPolicy(facts["env"], facts["made"], weights, biases)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not readable as a recorded policy ({error}). It needs int16 tensors <layer>.weight (inputs, "
            "outputs) and <layer>.bias, and the metadata policy; `dac behaviours ENV` records such files."
        ) from error


def _layers(tensors: dict[str, Any], kind: str) -> tuple[Integers, ...]:
    count = sum(name.endswith(f".{kind}") for name in tensors)
    found = [tensors[f"{layer}.{kind}"] for layer in range(count)]
    if not found or any(array.dtype != np.int16 for array in found):
        raise ValueError(f"no tensors <layer>.{kind} of int16")
    return tuple(array.astype(np.int64) for array in found)


def _check_shapes(weights: tuple[Integers, ...], biases: tuple[Integers, ...], tensors: dict[str, Any]) -> None:
    shapes = {name: array.shape for name, array in tensors.items()}
    fits = len(tensors) == 2 * len(weights) and all(weight.ndim == 2 for weight in weights)
    fits = fits and [bias.shape for bias in biases] == [weight.shape[1:] for weight in weights]
    if not fits or any(a.shape[1] != b.shape[0] for a, b in pairwise(weights)):
        raise ValueError(f"layers that do not follow each other: {shapes}")


def save(path: Path, layers: Sequence[tuple[ArrayLike, ArrayLike]], env: str, made: str) -> None:
    """Write a policy, its numbers rounded to multiples of 1 / UNIT; equal policies give equal bytes.

    Args:
        layers: weight (inputs, outputs) and bias (outputs,) of each, ReLU between them.
        env: Gymnasium id. made: how it was made, in a few words.

    Raises:
        UserError: a number of ±32 or beyond, or the disk does not take it.
    """
    tensors = {}
    for number, layer in enumerate(layers):
        for kind, array in zip(("weight", "bias"), layer, strict=True):
            scaled = np.rint(np.asarray(array, np.float64) * UNIT)
            if np.abs(scaled).max() > np.iinfo(np.int16).max:
                raise UserError(
                    f"{path}: {kind} {number} reaches {np.abs(scaled).max() / UNIT:.1f}; a recorded policy's numbers "
                    "are below 32. Train it for fewer steps or at a lower learning rate."
                )
            tensors[f"{number}.{kind}"] = np.ascontiguousarray(scaled.astype(np.int16))
    try:
        with files.atomic_path(path) as temporary:
            # One entry: safetensors writes several in an order of its own at each call.
            save_file(tensors, temporary, {"policy": json.dumps({"env": env, "made": made})})
    except OSError as error:
        raise UserError(f"{path}: not written: {error}. Make room or correct the permissions.") from error
