"""MuJoCo, whatever MUJOCO_GL says.

MuJoCo loads the OpenGL library that MUJOCO_GL names when it is imported, and fails if it is not on
this machine or the name is wrong. Simulating needs none, and `mapush.rendering.opengl` finds one
for pictures, so a setting made for another program or machine must not keep a run from starting.
"""

from __future__ import annotations

import os

try:
    import mujoco
except (AttributeError, RuntimeError):  # what PyOpenGL and MuJoCo raise for want of a library
    _asked = os.environ["MUJOCO_GL"]
    os.environ["MUJOCO_GL"] = "disabled"
    try:
        import mujoco
    finally:
        os.environ["MUJOCO_GL"] = _asked

__all__ = ["mujoco"]
