"""Where an episode begins."""

from __future__ import annotations

import math

import torch

from mapush.simulators.base import Start
from mapush.simulators.scene import Pair
from mapush.tasks.base import Random
from mapush.tasks.push.geometry import polar
from mapush.tasks.push.spec import PushTask


def draw_start(task: PushTask, count: int, random: Random) -> Start:
    """Draw the starting states of `count` environments on the random numbers' device.

    The robots' places are drawn independently, as published, so about 6% of episodes begin with
    two robots too close and end at once as exceptions.
    """

    def uniform(limits: Pair, *shape: int) -> torch.Tensor:
        low, high = limits
        return low + (high - low) * random.rand(*shape)

    robots, around = task.robots.count, (0.0, 2 * math.pi)
    place = polar(
        uniform(task.robots.start_distance, count, robots), uniform(around, count, robots)
    )
    speed = task.robots.start_speed
    yaw = uniform(task.object_yaw, count)
    return Start(
        robots=torch.cat((place, uniform(task.robots.start_yaw, count, robots, 1)), dim=-1),
        robot_velocity=uniform((-speed, speed), count, robots, 2),
        object=torch.stack((torch.zeros_like(yaw), torch.zeros_like(yaw), yaw), dim=-1),
        target=polar(uniform(task.goal.distance, count), uniform(around, count)),
        friction=uniform(task.object.friction, count),
    )
