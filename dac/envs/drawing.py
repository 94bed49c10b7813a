"""Pictures of environments, drawn without a screen."""

from __future__ import annotations

import os
import sys
from ctypes.util import find_library
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dac.envs.spaces import Environment
from dac.system.errors import UserError

# MuJoCo draws by one of these where there is no screen: the value of MUJOCO_GL, and the library that it needs.
RENDERERS = {"egl": "EGL", "osmesa": "OSMesa"}
PACKAGES = "Debian/Ubuntu: `apt install libegl1 libopengl0 libgl1-mesa-dri`, or `libosmesa6`"
# Pixels along a side of the map that shadows are cut out of. Where a processor draws, MuJoCo's own number, 4096, takes
# two thirds of the time of a picture, and is not to be told from this one in pictures of films.
SHADOW_SIZE = 1024

Frame = NDArray[np.uint8]  # (height, width, 3)


def choose_renderer() -> None:
    """Have MuJoCo draw without a screen, by whichever library is here. Before MuJoCo is imported.

    Nothing is chosen where the user has chosen or has a screen, nor on macOS, where MuJoCo draws by the system's own
    OpenGL.

    Raises:
        UserError: there is neither a screen nor one of the libraries.
    """
    if "MUJOCO_GL" in os.environ or "DISPLAY" in os.environ or sys.platform == "darwin":
        return
    here = [name for name, library in RENDERERS.items() if find_library(library)]
    if not here:
        raise UserError(
            "No renderer: without a screen MuJoCo draws by EGL or OSMesa, and neither library is here. Install one "
            f"({PACKAGES}) and start again."
        )
    os.environ["MUJOCO_GL"] = here[0]


def prepared(env: Environment) -> Environment:
    """Have pictures of MuJoCo follow what moves, and be drawn quickly. Before its first picture.

    The view is that of the model's camera `track` where it would stand still: the cheetah's does, and it is out of the
    picture within seconds.
    """
    renderer = _renderer(env)
    if env.render_mode is None or renderer is None:
        return env
    renderer.model.vis.quality.shadowsize = min(SHADOW_SIZE, renderer.model.vis.quality.shadowsize)
    if "trackbodyid" not in (renderer.default_cam_config or {}):
        import mujoco

        # -1 where the model has no such camera: the same view as without.
        renderer.camera_id = mujoco.mj_name2id(renderer.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
    return env


def make_small(env: Environment, width: int, height: int) -> None:
    """Have MuJoCo draw pictures of that size, which takes less time than to draw large ones. Before the first."""
    if (renderer := _renderer(env)) is not None:
        renderer.width, renderer.height = width, height


def _renderer(env: Environment) -> Any:
    """Gymnasium's MujocoRenderer, if it is an environment that has one."""
    return getattr(env.unwrapped, "mujoco_renderer", None)


def drawn(env: Environment) -> Frame:
    """The environment as it is.

    Raises:
        UserError: it cannot be drawn here.
    """
    try:
        frame: Any = env.render()
    except Exception as error:  # whatever a graphics library says
        raise UserError(
            f"The environment cannot be drawn here ({type(error).__name__}: {error}). If it is one of MuJoCo's, look "
            f"at MUJOCO_GL, which is {os.environ.get('MUJOCO_GL', 'not set')!r}: without a screen it is one of "
            f"{', '.join(RENDERERS)} ({PACKAGES})."
        ) from error
    if frame is None:
        raise UserError(f"{env.spec.id if env.spec else 'The environment'}: it draws no picture of itself.")
    return np.asarray(frame, dtype=np.uint8)


def reduced(frame: Frame, width: int) -> Frame:
    """A picture at most so wide: every pixel the mean of a square of pixels, rows and columns left over cut off."""
    side = -(-frame.shape[1] // width)
    rows, columns = (size // side for size in frame.shape[:2])
    squares = frame[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    small: Frame = squares.mean(axis=(1, 3)).astype(np.uint8)
    return small
