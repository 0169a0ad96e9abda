"""What a control step is worth to each robot (terms and weights of the published task).

The weights are `spec.Rewards`. A function takes its weight, because where that stands in the
arithmetic decides the result's last bits. Shared terms are (envs, 1), others (envs, robots).
"""

from __future__ import annotations

from typing import Tuple

import torch

from mapush.tasks.base import RewardTerm
from mapush.tasks.push.geometry import rotate
from mapush.tasks.push.moment import Moment


def reach_target(moment: Moment, weight: float) -> torch.Tensor:
    """The object has arrived."""
    return (weight * moment.arrived.float())[:, None]


def exception(moment: Moment, weight: float) -> torch.Tensor:
    """Something is as it must not be, and the object has not arrived."""
    return (weight * (moment.exception & ~moment.arrived).float())[:, None]


def distance_to_target(moment: Moment, weight: float) -> torch.Tensor:
    """The object comes nearer to the target, and is near it."""
    gain = 2 * (moment.distance_before - moment.distance) - 0.01 * moment.distance
    return (weight * gain)[:, None]


def approach(moment: Moment, weight: float) -> torch.Tensor:
    """The robot is far from the object."""
    return weight * (moment.object_distance + 0.5) ** 2


def collision(moment: Moment, weight: float) -> torch.Tensor:
    """The robot is close to others."""
    if moment.task.robots.count == 1:
        return torch.zeros_like(moment.state.robots[..., 0])
    return (weight / (0.02 + moment.gaps / 3)) @ moment.constants.membership


def push(moment: Moment, weight: float) -> torch.Tensor:
    """The object moves."""
    moving = moment.state.object_velocity.norm(dim=-1) > moment.task.rewards.push_speed
    return (weight * moving.float())[:, None]


def ocb(moment: Moment, weight: float) -> torch.Tensor:
    """The robot stands at the face that points away from the target (occlusion, OCB)."""
    turn = -moment.state.object[:, 2]
    direction = torch.nn.functional.normalize(moment.to_target, dim=-1)
    place = rotate(moment.from_object, turn[:, None])
    normal = moment.constants.footprint.nearest_inward_normal(place)
    return weight * (normal * rotate(direction, turn)[:, None]).sum(dim=-1)


# Summed in this order.
REWARDS = (
    RewardTerm("reach_target_reward", "reach_target", reach_target),
    RewardTerm("exception_punishment", "exception", exception),
    RewardTerm("distance_to_target_reward", "distance_to_target", distance_to_target),
    RewardTerm("approach_reward", "approach", approach),
    RewardTerm("collision_punishment", "collision", collision),
    RewardTerm("push_reward", "push", push),
    RewardTerm("ocb_reward", "ocb", ocb),
)


def rewards(moment: Moment) -> Tuple[torch.Tensor, ...]:
    """Every term of the table, in its order."""
    weights = moment.task.rewards
    return tuple(term.function(moment, getattr(weights, term.weight)) for term in REWARDS)
