"""When an episode ends, time apart: the object has arrived, or something is as it must not be."""

from __future__ import annotations

from typing import Tuple

import torch

from mapush.tasks.base import TerminationTerm
from mapush.tasks.push.moment import Moment, heights


def arrived(moment: Moment) -> torch.Tensor:
    """The object's centre lies within the goal radius of the target."""
    return moment.distance < moment.task.goal.radius


def changed_height(moment: Moment) -> torch.Tensor:
    """The object or a robot is higher or lower than at the start."""
    change = (heights(moment.state) - moment.start_heights).abs()
    return (change > moment.task.termination.height_change).any(dim=1)


def came_too_close(moment: Moment) -> torch.Tensor:
    """Two robots are closer than they may."""
    if moment.task.robots.count == 1:
        return moment.never
    return (moment.gaps < moment.task.termination.robot_distance).any(dim=1)


def tilted(moment: Moment) -> torch.Tensor:
    """A robot rolls or pitches more than it may."""
    if moment.state.robot_tilt is None:
        return moment.never
    limits = moment.task.termination
    roll, pitch = moment.state.robot_tilt.abs().unbind(dim=-1)
    return ((roll > limits.roll) | (pitch > limits.pitch)).any(dim=1)


TERMINATIONS = (
    TerminationTerm("arrived", arrived, success=True),
    TerminationTerm("changed height", changed_height),
    TerminationTerm("came too close", came_too_close),
    TerminationTerm("tilted", tilted),
)


def found(moment: Moment) -> Tuple[torch.Tensor, torch.Tensor]:
    """Whether a success and whether a failure of the table is there, (envs,) bool each."""
    ends = {True: moment.never, False: moment.never}
    for term in TERMINATIONS:
        ends[term.success] = ends[term.success] | term.function(moment)
    return ends[True], ends[False]
