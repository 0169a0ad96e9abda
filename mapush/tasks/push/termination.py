"""When an episode ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mapush.simulators.base import Bodies
from mapush.tasks import PushTask
from mapush.tasks.push.geometry import pair_distances


@dataclass(frozen=True)
class Ending:
    """Which environments end after this control step, and why; all (envs,) bool.

    An arrival counts as one even where an exception falls on the same step.
    """

    arrived: torch.Tensor
    exception: torch.Tensor
    timeout: torch.Tensor

    @property
    def over(self) -> torch.Tensor:
        """For whatever reason."""
        return self.arrived | self.exception | self.timeout


def arrived(bodies: Bodies, target: torch.Tensor, task: PushTask) -> torch.Tensor:
    """Whether the object's centre lies within the goal radius of the target (envs,)."""
    return (bodies.object[:, :2] - target).norm(dim=-1) < task.goal.radius


def heights(bodies: Bodies) -> torch.Tensor:
    """Heights (envs, 1 or 1 + robots) whose change ends an episode, m."""
    thing = bodies.object_height[:, None]
    if bodies.robot_height is None:
        return thing
    return torch.cat((thing, bodies.robot_height), dim=1)


def exception(bodies: Bodies, start_heights: torch.Tensor, task: PushTask) -> torch.Tensor:
    """Whether something happened that must not (envs,).

    Args:
        bodies: now.
        start_heights: `heights` at the start of each environment's episode.
        task: its termination limits.
    """
    limits = task.termination
    bad = ((heights(bodies) - start_heights).abs() > limits.height_change).any(dim=1)
    if task.robots.count > 1:
        bad = bad | (pair_distances(bodies.robots) < limits.robot_distance).any(dim=1)
    if bodies.robot_tilt is not None:
        roll, pitch = bodies.robot_tilt.abs().unbind(dim=-1)
        bad = bad | ((roll > limits.roll) | (pitch > limits.pitch)).any(dim=1)
    return bad
