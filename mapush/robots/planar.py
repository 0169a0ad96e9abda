"""The Go1 as a planar body: what it is, under its walking controller, to the thing it pushes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class RobotModel:
    """A Go1 as the object feels it; found by the parity benchmark, the same for all tasks.

    Attributes:
        mass: kg.
        yaw_inertia: kg m^2.
        hull: spheres that touch objects as (x, y, radius), m: a foot at every corner, so that a
            robot meets a face squarely, and the trunk between them.
        height: of the spheres' centres, m.
        capsule: radius and half length of what touches other robots, m. Legs interlock, so it is
            narrower than the hull.
        friction: of the hull against objects.
        response_time: of the walking controller, s: commanded velocities are approached so.
        tracking: share of the commanded forward, left and turning velocity that is reached.
        force_limit: N, per axis; what feet hold on this ground.
        torque_limit: N m.
        ground_share: weight of the object's drawn friction against the ground's own (PhysX
            averages the two).
    """

    mass: float = 12.7
    yaw_inertia: float = 0.45
    hull: Tuple[Tuple[float, float, float], ...] = (
        (0.22, 0.08, 0.06),
        (0.22, -0.08, 0.06),
        (-0.22, 0.08, 0.06),
        (-0.22, -0.08, 0.06),
        (0.09, 0.0, 0.10),
        (-0.09, 0.0, 0.10),
    )
    height: float = 0.25
    capsule: Tuple[float, float] = (0.11, 0.18)
    friction: float = 0.25
    response_time: float = 0.09
    tracking: Tuple[float, float, float] = (1.0, 0.9, 0.9)
    force_limit: float = 60.0
    torque_limit: float = 10.0
    ground_share: float = 0.75

    @property
    def reach(self) -> float:
        """How far the hull reaches from the base along x, m."""
        return max(x + radius for x, _, radius in self.hull)


ROBOT = RobotModel()
