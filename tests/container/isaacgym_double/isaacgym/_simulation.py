"""One simulation and what is in it, and how the double says no."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np

from isaacgym._assets import Asset
from isaacgym._engine import Engine
from isaacgym._structures import (
    CameraProperties,
    PlaneParams,
    RigidShapeProperties,
    SimParams,
    Transform,
    Vec3,
)


class GymError(RuntimeError):
    """What the real Isaac Gym answers with a message, wrong numbers or a segmentation fault."""


def need(condition: Any, text: str) -> None:
    if not condition:
        raise GymError(text)


def typed(*pairs: Any) -> None:
    for value, kind in pairs:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(f"incompatible function arguments: {value!r} is no {kind.__name__}")


class Sim:
    """One simulation, from `create_sim` to the end of the process."""

    def __init__(self, params: SimParams, graphics_device: int) -> None:
        self.params = params
        self.graphics_device = graphics_device
        self.envs: List[Env] = []
        self.actors: List[Actor] = []
        self.ground: Optional[PlaneParams] = None
        self.engine: Optional[Engine] = None
        self.buffers: Dict[str, np.ndarray] = {}
        self.set_since_substep: set = set()
        self.torque: Optional[np.ndarray] = None
        self.substeps_done = 0
        self.done_since_substep: set = set()  # of what a picture takes
        self.simulated: Optional[np.ndarray] = None  # where all was after the last substep
        self.shown: Optional[np.ndarray] = None  # where all is for the cameras
        self.viewers: List[Any] = []


class Env:
    """One environment; its actors are added before the next environment is created."""

    def __init__(self, sim: Sim, origin: Vec3) -> None:
        self.sim, self.origin = sim, origin
        self.actors: List[Actor] = []
        self.room: Optional[List[int]] = None  # bodies, shapes left in the open aggregate
        self.cameras: List[Camera] = []


class Actor:
    """An asset in an environment."""

    def __init__(self, asset: Asset, env: Env, pose: Transform, group: int, index: int) -> None:
        self.asset, self.env, self.pose, self.group, self.index = asset, env, pose, group, index
        self.first_dof = -1
        self.shapes = [RigidShapeProperties() for _ in range(asset.shapes)]
        self.colors = [Vec3(0.5, 0.5, 0.5) for _ in range(asset.bodies)]


class Camera:
    """A camera sensor of an environment; where it stands is in that environment's frame."""

    def __init__(self, properties: CameraProperties) -> None:
        self.properties = properties
        self.eye, self.target = Vec3(0, 0, 1), Vec3(1, 0, 0)
        self.image: Optional[np.ndarray] = None  # (height, width * 4), of the last rendering
