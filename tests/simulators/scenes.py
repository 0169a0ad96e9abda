"""Scenes that several tests of the simulator begin with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Optional, Sequence

import torch

from mapush.simulators import Scene
from mapush.simulators.base import Simulator, Start, State
from mapush.tasks import PushTask, load_task, task_folder

PROJECT = Path(__file__).resolve().parents[2]


def task_of(exp: str) -> PushTask:
    task = load_task(task_folder(exp, PROJECT / "task"))
    assert isinstance(task, PushTask)
    return task


def scene_of(exp: str) -> Scene:
    return task_of(exp).scene


def everyone(envs: int) -> torch.Tensor:
    """A mask of all environments."""
    return torch.ones(envs, dtype=torch.bool)


def start_of(
    exp: str,
    envs: int,
    robots: Optional[torch.Tensor] = None,
    object_pose: Sequence[float] = (0.0, 0.0, 0.0),
    friction: Optional[Sequence[float]] = None,
) -> Start:
    """The same start in every environment: robots at rest, out of reach unless `robots` says."""
    count = task_of(exp).robots.count
    if robots is None:
        robots = torch.tensor([[-5.0, 2.0 * k, 0.3 * k] for k in range(count)])
    return Start(
        robots=robots.reshape(-1, count, 3).expand(envs, count, 3).clone(),
        robot_velocity=torch.zeros(envs, count, 2),
        object=torch.tensor([object_pose] * envs, dtype=torch.float32),
        target=torch.tensor([[2.0, 0.0]] * envs),
        friction=torch.tensor(friction if friction is not None else [0.5] * envs),
    )


def advance(simulator: Simulator, command: torch.Tensor, control_steps: int) -> None:
    """Hold one command for some control steps."""
    for _ in range(control_steps):
        simulator.step(command)


def at_the_object(now: State) -> torch.Tensor:
    """Commands (envs, robots, 3) that take every robot to the object."""
    offset = now.object[:, None, :2] - now.robots[..., :2]
    turn = torch.atan2(offset[..., 1], offset[..., 0]) - now.robots[..., 2]
    turn = torch.remainder(turn + math.pi, 2 * math.pi) - math.pi
    ahead = torch.stack((torch.cos(turn), torch.sin(turn)), dim=-1)
    return torch.cat((0.5 * ahead, turn.clamp(-0.5, 0.5)[..., None]), dim=-1)
