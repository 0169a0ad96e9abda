"""Where the camera stands so that an episode is seen whole."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from mapush.rendering.motion import REACH, Motion
from mapush.simulators import Scene

FOV = 36.0  # degrees, vertical
ELEVATION = -42.0  # degrees
_TURNS = (-70, -60, -50, -40, 40, 50, 60, 70)  # degrees from the way to the target
_MARGIN = 0.94  # share of the picture that the things fill


@dataclass(frozen=True)
class View:
    """Where the camera stands: the point it looks at, and from how far and which way."""

    lookat: Tuple[float, float, float]
    distance: float
    azimuth: float  # degrees
    elevation: float = ELEVATION

    def axes(self) -> np.ndarray:
        """Unit vectors (3, 3) of the camera in the world: right, up, forward."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        forward = np.array(
            [
                math.cos(elevation) * math.cos(azimuth),
                math.cos(elevation) * math.sin(azimuth),
                math.sin(elevation),
            ]
        )
        right = np.array([math.sin(azimuth), -math.cos(azimuth), 0.0])
        return np.stack((right, np.cross(right, forward), forward))

    @property
    def eye(self) -> np.ndarray:
        """Where the camera itself is (3,), m."""
        return np.array(self.lookat) - self.distance * self.axes()[2]

    def project(self, points: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
        """Pixels (..., 2), column and row, of world points (..., 3) in a picture of `size`."""
        axes = self.axes()
        seen = (points - self.eye) @ axes.T
        focal = size[1] / 2 / math.tan(math.radians(FOV) / 2)
        offset = focal * seen[..., :2] / seen[..., 2:]
        return np.array(size) / 2 + offset * (1.0, -1.0)


def horizontal_fov(aspect: float) -> float:
    """The angle across a picture, in degrees, whose width is `aspect` times its height."""
    return math.degrees(2 * math.atan(math.tan(math.radians(FOV) / 2) * aspect))


def frame_motion(motion: Motion, scene: Scene, aspect: float) -> View:
    """Choose the view that shows object, target and robots, the whole episode, from nearest.

    It is one over the shoulder of a team that pushes towards the target, from either side.

    Args:
        motion: the episode.
        scene: says how large the things are.
        aspect: width of the picture over its height.
    """
    points = _outline(motion, scene)
    tangent = math.tan(math.radians(FOV) / 2) * _MARGIN
    views = []
    begin = motion.robots[0, :, :2].mean(axis=0) if scene.object is None else motion.thing[0, :2]
    way = motion.target - begin
    for turn in _TURNS:
        azimuth = math.degrees(math.atan2(way[1], way[0])) + turn
        axes = View((0.0, 0.0, 0.0), 0.0, azimuth).axes()
        seen = points @ axes.T
        back = max(
            _room(seen[:, 0], seen[:, 2], tangent * aspect), _room(seen[:, 1], seen[:, 2], tangent)
        )
        depth = seen[:, 2] + back
        across, up = (_middle(seen[:, axis], depth) for axis in (0, 1))
        distance = depth.mean()
        lookat = across * axes[0] + up * axes[1] + (distance - back) * axes[2]
        x, y, z = lookat.tolist()
        views.append(View((x, y, z), float(distance), azimuth))
    return min(views, key=lambda view: view.distance)


def _room(offset: np.ndarray, depth: np.ndarray, tangent: float) -> float:
    """How far back the eye must go for |offset - m| <= tangent * depth with the best m."""
    low = (-offset - tangent * depth).max()
    high = (offset - tangent * depth).max()
    return (low + high) / (2 * tangent)


def _middle(offset: np.ndarray, depth: np.ndarray) -> float:
    """Where the eye stands for equal margins in the picture on both sides."""
    low, high = float(offset.min()), float(offset.max())
    for _ in range(40):  # halvings, to far below a pixel
        middle = (low + high) / 2
        seen = (offset - middle) / depth
        low, high = (middle, high) if seen.max() > -seen.min() else (low, middle)
    return (low + high) / 2


def _outline(motion: Motion, scene: Scene) -> np.ndarray:
    """Points (n, 3) around everything that is to be seen."""
    corners = np.array(list(itertools.product((-1, 1), (-1, 1))))
    circle = np.array([(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 16)])
    rounds = [(motion.robots[..., :2].reshape(-1, 2), REACH[0] * corners, REACH[2])]
    if scene.marker is not None:
        around = max(scene.marker.radius, scene.marker.goal_radius) * circle
        rounds.append((motion.target[None], around, 0.0))
    if scene.object is not None:
        rounds.append((motion.thing[:, :2], scene.object.reach * circle, scene.object.height))
    points = []
    for centers, around, height in rounds:
        flat = (centers[:, None] + around).reshape(-1, 2)
        points += [np.column_stack((flat, np.full(len(flat), z))) for z in (0.0, height)]
    return np.concatenate(points)
