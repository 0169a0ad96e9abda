"""Planar geometry on batches of vectors (..., 2) and angles (...), in metres and radians."""

from __future__ import annotations

import math
from typing import Tuple

import torch


def rotate(vector: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Turn vectors (..., 2) counter-clockwise by angles (...)."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    x, y = vector[..., 0], vector[..., 1]
    return torch.stack((cos * x - sin * y, sin * x + cos * y), dim=-1)


def wrap(angle: torch.Tensor) -> torch.Tensor:
    """Angles as [0, 2 pi)."""
    return torch.remainder(angle, 2 * math.pi)


def polar(distance: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Vectors (..., 2) from lengths and directions (...)."""
    return distance[..., None] * torch.stack((torch.cos(direction), torch.sin(direction)), dim=-1)


class Footprint:
    """A polygon (corners, 2), counter-clockwise, in the object's frame."""

    def __init__(self, corners: torch.Tensor) -> None:
        self._start = corners
        self._edge = torch.roll(corners, -1, dims=0) - corners
        self._length_squared = (self._edge**2).sum(dim=-1)
        normal = torch.stack((-self._edge[:, 1], self._edge[:, 0]), dim=-1)
        self.inward = normal / normal.norm(dim=-1, keepdim=True)

    def nearest_inward_normal(self, points: torch.Tensor) -> torch.Tensor:
        """Inward unit normals (..., 2) of the edges nearest to points (..., 2), object's frame."""
        relative = points[..., None, :] - self._start
        along = (relative * self._edge).sum(dim=-1) / self._length_squared
        gap = relative - along.clamp(0.0, 1.0)[..., None] * self._edge
        nearest = (gap**2).sum(dim=-1).argmin(dim=-1)
        return self.inward[nearest]


def pairs(count: int) -> Tuple[Tuple[int, int], ...]:
    """All pairs (i, j), i < j, of `count` robots."""
    return tuple((i, j) for i in range(count) for j in range(i + 1, count))


def pair_distances(robots: torch.Tensor) -> torch.Tensor:
    """Distances (envs, pairs) between the bases of robots (envs, robots, >= 2), in pair order."""
    index = pairs(robots.shape[1])
    first = robots[:, [i for i, _ in index], :2]
    second = robots[:, [j for _, j in index], :2]
    return (first - second).norm(dim=-1)
