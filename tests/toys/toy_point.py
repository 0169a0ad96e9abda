"""A toy task: one robot drives to a goal. A plugin (MAPUSH_PLUGINS=toy_point), not of mapush."""

from __future__ import annotations

import math
from typing import Tuple

import torch
from pydantic import Field

from mapush import tasks
from mapush.simulators.base import Start, State
from mapush.simulators.scene import Marker, Scene, Spec
from mapush.tasks.base import Judgement, Random, TaskLogic


class PointTask(Spec):
    """Reach a point `distance` m away, to within `radius` m."""

    name: str
    distance: float = Field(default=1.0, gt=0)
    radius: float = Field(default=0.3, gt=0)
    control_steps: int = 200
    decimation: int = 5
    agents: int = 1
    observation_size: int = 2
    action_size: int = 2
    angles: Tuple[int, ...] = ()

    @property
    def scene(self) -> Scene:
        return Scene(name=self.name, robots=1, marker=Marker(goal_radius=self.radius))


class PointLogic(TaskLogic):
    """The goal in the robot's frame; nearer is better."""

    reward_names = ("progress_reward", "arrival_reward")

    def __init__(self, task: PointTask, num_envs: int, device: torch.device) -> None:
        super().__init__()
        self.task, self.before = task, torch.zeros(num_envs, device=device)

    def draw(self, count: int, random: Random) -> Start:
        angle = 2 * math.pi * random.rand(count)
        goal = self.task.distance * torch.stack((angle.cos(), angle.sin()), dim=1)
        still = torch.zeros(count, 1, 3, device=random.device)
        return Start(robots=still, robot_velocity=still[..., :2], target=goal)

    def begin(self, mask: torch.Tensor, start: Start, state: State) -> None:
        self.remember("target", mask, start.target)

    def gap(self, state: State) -> torch.Tensor:
        return self.memory["target"] - state.robots[:, 0, :2]

    def observe(self, state: State) -> torch.Tensor:
        turn = torch.polar(torch.ones_like(self.before), -state.robots[:, 0, 2])
        return torch.view_as_real(torch.view_as_complex(self.gap(state)) * turn)[:, None]

    def command(self, action: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(action.clamp(-1, 1), (0, 1))

    def before_step(self, state: State) -> None:
        self.before = self.gap(state).norm(dim=1)

    def judge(self, state: State) -> Judgement:
        distance = self.gap(state).norm(dim=1)
        there = distance < self.task.radius
        rewards = ((self.before - distance)[:, None], there.float()[:, None])
        return Judgement(there, torch.zeros_like(there), rewards)


tasks.register(PointTask, PointLogic)
