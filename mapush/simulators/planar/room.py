"""How many contacts a scene can have at once: the kernel has room for every one of them."""

from __future__ import annotations

from mapush.errors import RequestError
from mapush.robots.planar import ROBOT, RobotModel
from mapush.simulators.scene import Scene

MOST = 1000
"""Contacts, 56 bytes each in the memory of every thread; a GPU keeps that for all it can run."""
WALLS = 2
"""That a robot may be beyond at once: one along x, one along y."""


def contact_room(scene: Scene, robot: RobotModel = ROBOT) -> int:
    """The number of contacts where everything touches everything, which no state can exceed.

    Every sphere of a hull touches every shape of the object, every robot all others and a wall
    along each axis.

    Raises:
        RequestError: a thread has no memory for so many.
    """
    shapes = len(scene.object.shapes) if scene.object is not None else 0
    count = scene.robots
    room = count * (len(robot.hull) * shapes + WALLS) + count * (count - 1) // 2
    if room > MOST:
        raise RequestError(
            f"--sim planar: {scene.name}: {count} robots and an object of {shapes} shapes may "
            f"touch at {room} places at once, and there is room for {MOST}: use fewer robots or "
            "shapes, or --sim mujoco"
        )
    return room
