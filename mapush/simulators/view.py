"""What a simulator offers that shows itself what it simulates: cameras, and a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Sequence, Tuple

import numpy as np

from mapush.simulators.base import Simulator

Color = Tuple[float, float, float]  # red, green, blue; 0 to 1
Point = Sequence[float]  # x, y, z in the frame of an environment, m


@dataclass(frozen=True)
class Drawing:
    """What a simulation is built to draw; by default nothing.

    Attributes:
        cameras: how many of the first environments have a camera.
        size: width and height of their pictures, pixels.
        horizontal_fov: the angle they see across, degrees.
        window: whether the window will be opened.
        colors: of the robots, the object, the marker and the walls, in this order, as many as the
            scene has; empty for the simulator's own.
    """

    cameras: int = 0
    size: Tuple[int, int] = (960, 540)
    horizontal_fov: float = 60.0
    window: bool = False
    colors: Tuple[Color, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether a graphics device is needed."""
        return self.window or self.cameras > 0


NOTHING = Drawing()


class Cameras(Protocol):
    """One camera in each of the first environments; each sees its own environment alone."""

    def look(self, env: int, eye: Point, target: Point) -> None:
        """Put the camera of an environment."""
        ...

    def picture(self, env: int) -> np.ndarray:
        """What the camera of an environment sees (height, width, 3), uint8 red, green, blue."""
        ...


class Viewer(Protocol):
    """A window on the simulation."""

    def look(self, env: int, eye: Point, target: Point) -> None:
        """Put the window's camera beside an environment; the user may move it from there."""
        ...

    def draw(self) -> bool:
        """Show what is now, at the pace of the clock; whether the window is still open."""
        ...

    def close(self) -> None:
        """Close the window; it is not opened again."""
        ...


class DrawnSimulator(Simulator, Protocol):
    """A simulator that was built to draw."""

    def cameras(self) -> Cameras:
        """The cameras of the first environments, as many as were asked for."""
        ...

    def open_viewer(self) -> Viewer:
        """Open the window that was asked for.

        Raises:
            RequestError: there is no display to open it on.
        """
        ...
