"""One control step of the pushing task: what the functions of its tables are given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Tuple

import torch

from mapush.simulators.base import State
from mapush.tasks.push.geometry import Footprint, pair_distances, pairs
from mapush.tasks.push.spec import PushTask


def heights(state: State) -> torch.Tensor:
    """Heights (envs, 1 or 1 + robots) whose change ends an episode, m."""
    thing = state.object_height[:, None]
    if state.robot_height is None:
        return thing
    return torch.cat((thing, state.robot_height), dim=1)


class Constants:
    """What stays the same over all control steps, on one device."""

    def __init__(self, task: PushTask, device: torch.device) -> None:
        count = task.robots.count
        self.task = task
        self.footprint = Footprint(torch.tensor(task.object.footprint, device=device))
        # (pairs, robots): 1 where the robot is one of the pair.
        self.membership = torch.zeros(len(pairs(count)), count, device=device)
        for row, members in enumerate(pairs(count)):
            self.membership[row, list(members)] = 1.0


@dataclass  # not frozen, for the cached properties
class Moment:
    """A control step that is done; what is asked of it more than once is worked out once.

    Attributes:
        constants: of the task.
        state: after it.
        target: (envs, 2) m.
        distance_before: (envs,) object to target before it, m.
        start_heights: `heights` at the start of each environment's episode.
    """

    constants: Constants
    state: State
    target: torch.Tensor
    distance_before: torch.Tensor
    start_heights: torch.Tensor

    @property
    def task(self) -> PushTask:
        """The task."""
        return self.constants.task

    @cached_property
    def to_target(self) -> torch.Tensor:
        """From the object to the target (envs, 2), m."""
        return self.target - self.state.object[:, :2]

    @cached_property
    def distance(self) -> torch.Tensor:
        """From the object to the target (envs,), m."""
        return self.to_target.norm(dim=-1)

    @cached_property
    def from_object(self) -> torch.Tensor:
        """From the object to each robot (envs, robots, 2), m."""
        return self.state.robots[..., :2] - self.state.object[:, None, :2]

    @cached_property
    def object_distance(self) -> torch.Tensor:
        """From the object to each robot (envs, robots), m."""
        return self.from_object.norm(dim=-1)

    @cached_property
    def gaps(self) -> torch.Tensor:
        """Between the bases of every two robots (envs, pairs), m."""
        return pair_distances(self.state.robots)

    @cached_property
    def ends(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Whether the object has arrived and whether something must not be (envs,) bool each."""
        from mapush.tasks.push.termination import found  # it is a table of functions of this

        return found(self)

    @property
    def arrived(self) -> torch.Tensor:
        """Whether the object has arrived (envs,) bool."""
        return self.ends[0]

    @property
    def exception(self) -> torch.Tensor:
        """Whether something is as it must not be (envs,) bool, arrived or not."""
        return self.ends[1]

    @property
    def never(self) -> torch.Tensor:
        """False (envs,)."""
        return torch.zeros_like(self.distance_before, dtype=torch.bool)
