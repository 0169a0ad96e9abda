"""Which colour each thing has in every picture, whoever draws it."""

from __future__ import annotations

import colorsys
from typing import Tuple

from mapush.simulators import Scene

Color = Tuple[float, float, float, float]  # red, green, blue, opacity; 0 to 1

OBJECT: Color = (0.93, 0.67, 0.29, 1.0)
OBJECT_TOP: Color = (0.98, 0.78, 0.45, 1.0)
TARGET: Color = (0.11, 0.65, 0.42, 1.0)
DARK: Color = (0.13, 0.14, 0.17, 1.0)
WALL: Color = (0.62, 0.66, 0.71, 1.0)


def robot_color(index: int) -> Color:
    """Colour of a robot's trunk, unlike the object's and the target's."""
    chosen = ((0.16, 0.42, 0.84), (0.84, 0.19, 0.27), (0.52, 0.28, 0.72), (0.10, 0.62, 0.72))
    if index < len(chosen):
        return (*chosen[index], 1.0)
    # From here on violet to pink, the stretch of the colour circle that nothing else uses.
    hue = 0.72 + 0.2 * ((index * 0.382) % 1.0)
    return (*colorsys.hsv_to_rgb(hue, 0.55, 0.85), 1.0)


def actor_colors(scene: Scene) -> Tuple[Tuple[float, float, float], ...]:
    """Colours of what is in a scene, as `Drawing` takes them: robots, object, marker, walls."""
    every = [robot_color(index) for index in range(scene.robots)]
    every += [] if scene.object is None else [OBJECT]
    every += [] if scene.marker is None else [TARGET]
    every += [WALL]
    return tuple((red, green, blue) for red, green, blue, _ in every)
