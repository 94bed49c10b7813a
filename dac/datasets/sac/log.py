"""Stable-Baselines3's own log, which is not wanted: progress is told by what trains a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stable_baselines3 import SAC


def without_log(model: SAC) -> SAC:
    """The model, told to log nothing; else it makes a folder in the temporary one whenever it starts to learn."""
    from stable_baselines3.common.logger import Logger

    model.set_logger(Logger(folder=None, output_formats=[]))
    return model
