"""What each robot sees."""

from __future__ import annotations

from typing import Tuple

import torch

from mapush.simulators.base import Bodies
from mapush.tasks.push.geometry import rotate, wrap


def angle_positions(robots: int) -> Tuple[int, ...]:
    """Where the angles stand in the observation of one of `robots` robots."""
    return tuple(range(4, 2 + 3 * robots, 3))


def observe(bodies: Bodies, target: torch.Tensor) -> torch.Tensor:
    """Observations (envs, robots, 2 + 3 robots) of every robot, in its own yaw frame.

    Order (published task): target - own position (2), object - own position (2), object yaw - own
    yaw mod 2 pi (1), then for i = 1 .. robots-1 of robot (k - i) mod robots the same: position (2),
    yaw (1). This index order makes the robots interchangeable to a shared policy.

    Args:
        bodies: where everything is.
        target: (envs, 2) the target's position, m.
    """
    position, yaw = bodies.robots[..., :2], bodies.robots[..., 2]
    count = position.shape[1]
    others = [torch.roll(bodies.robots, shifts=i, dims=1) for i in range(1, count)]
    points = torch.stack(
        [target[:, None].expand_as(position), bodies.object[:, None, :2].expand_as(position)]
        + [other[..., :2] for other in others],
        dim=2,
    )
    seen = rotate(points - position[:, :, None], -yaw[..., None])
    headings = torch.stack(
        [bodies.object[:, None, 2].expand_as(yaw)] + [other[..., 2] for other in others], dim=2
    )
    turned = wrap(headings - yaw[..., None])
    bodies_seen = torch.cat((seen[:, :, 1:], turned[..., None]), dim=-1)
    return torch.cat((seen[:, :, 0], bodies_seen.flatten(start_dim=2)), dim=-1)
