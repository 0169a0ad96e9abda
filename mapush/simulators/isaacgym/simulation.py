"""What Isaac Gym has built: handles of a simulation and of all that is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Tuple


@dataclass(frozen=True)
class Simulation:
    """A simulation whose actors are all there.

    Attributes:
        gym: Isaac Gym's interface.
        sim: its simulation, prepared.
        envs: its environments.
        objects: handle of the object in each; empty in a scene without one.
        actors: how many each environment has: the robots, then `parts`.
        parts: what else each has of object, target and walls, in this order.
        origins: (x, y) of each environment's centre in the simulation's frame, m.
        joints: where the joints of `mapush.robots.walking.JOINTS` stand among a robot's.
        cameras: handle of the camera sensor of each of the first environments, if it has one.
    """

    gym: Any
    sim: Any
    envs: List[Any]
    objects: List[int]
    actors: int
    parts: Tuple[str, ...]
    origins: List[Tuple[float, float]]
    joints: Tuple[int, ...]
    cameras: List[int]
