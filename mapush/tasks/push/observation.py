"""What each robot sees."""

from __future__ import annotations

import torch

from mapush.simulators.base import State
from mapush.tasks.base import ObservationTerm
from mapush.tasks.push.geometry import rotate, wrap


class Sight:
    """Where everything is, for one look around by every robot.

    Attributes:
        state: where things are.
        target: (envs, 2) the target's position, m.
        position: (envs, robots, 2) the robots' own, m.
        yaw: (envs, robots) their own, rad.
    """

    def __init__(self, state: State, target: torch.Tensor) -> None:
        self.state, self.target = state, target
        self.position, self.yaw = state.robots[..., :2], state.robots[..., 2]

    def point(self, position: torch.Tensor) -> torch.Tensor:
        """A point (envs, robots or 1, 2) of the world in each robot's frame (envs, robots, 2)."""
        return rotate(position - self.position, -self.yaw)

    def pose(self, pose: torch.Tensor) -> torch.Tensor:
        """Position and yaw in [0, 2 pi), (envs, robots or 1, 3), in each robot's frame."""
        turned = wrap(pose[..., 2] - self.yaw)
        return torch.cat((self.point(pose[..., :2]), turned[..., None]), dim=-1)


def target(sight: Sight) -> torch.Tensor:
    """Where the target is: 2 numbers."""
    return sight.point(sight.target[:, None])


def thing(sight: Sight) -> torch.Tensor:
    """Where the object is and how it is turned: 3 numbers."""
    return sight.pose(sight.state.object[:, None])


def others(sight: Sight) -> torch.Tensor:
    """Likewise robot (k - i) mod robots, for i = 1 to robots - 1: 3 numbers each.

    This order makes the robots interchangeable to a shared policy.
    """
    robots = sight.state.robots
    shifted = (torch.roll(robots, shifts=i, dims=1) for i in range(1, robots.shape[1]))
    seen = [sight.pose(other) for other in shifted]
    return torch.cat(seen, dim=-1) if seen else robots[..., :0]


OBSERVATION = (
    ObservationTerm("target", target),
    ObservationTerm("object", thing),
    ObservationTerm("others", others),
)


def observe(state: State, target: torch.Tensor) -> torch.Tensor:
    """Observations (envs, robots, 2 + 3 robots) of every robot, in its own yaw frame.

    Args:
        state: where everything is.
        target: (envs, 2) the target's position, m.
    """
    sight = Sight(state, target)
    return torch.cat([term.function(sight) for term in OBSERVATION], dim=-1)
