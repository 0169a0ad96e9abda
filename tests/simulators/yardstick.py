"""The same start and commands in two simulators, and how far apart bodies come to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import List, Sequence, Tuple

import torch
from scenes import at_the_object, everyone, scene_of, start_of, task_of

from mapush.robots.planar import ROBOT, RobotModel
from mapush.simulators.base import Simulator
from mapush.simulators.mujoco.simulator import MujocoSimulator
from mapush.simulators.planar.simulator import PlanarSimulator
from mapush.tasks.base import FromGenerator
from mapush.tasks.push.reset import draw_start

Pose = Sequence[float]  # x, y, yaw; m, rad
FORWARD = (0.5, 0.0, 0.0)
_TIME = 1  # numbers before the positions in MuJoCo's integration state


@dataclass(frozen=True)
class Run:
    """What is begun, what is asked of the robots, and for how long.

    Attributes:
        exp: the task.
        robots: where the first ones begin; the others are out of reach and stand.
        steps: control steps.
        commands: of those robots; forward where none are said.
        velocity: of the object's origin and its yaw, at the beginning, m/s and rad/s.
        object_yaw: rad.
        friction: drawn for the object; the middle of the task's range where it is 0.
    """

    exp: str
    robots: Sequence[Pose]
    steps: int
    commands: Sequence[Sequence[float]] = ()
    velocity: Sequence[float] = (0.0, 0.0, 0.0)
    object_yaw: float = 0.0
    friction: float = 0.0


@dataclass(frozen=True)
class Apart:
    """Largest differences at any control step, and how far the object went in MuJoCo; m, rad."""

    object: float
    turn: float
    robots: float
    moved: float
    turned: float


def compare(run: Run, robot: RobotModel = ROBOT) -> Apart:
    """Do a run in both simulators."""
    scene = scene_of(run.exp)
    assert scene.object is not None
    planar, mujoco = _pair(run.exp, robot)
    away = [(-8.0, 4.0 - 2.0 * index, 0.0) for index in range(scene.robots)]
    placed = [*run.robots, *away[len(run.robots) :]]
    start = start_of(
        run.exp,
        1,
        robots=torch.tensor([placed]),
        object_pose=(0.0, 0.0, run.object_yaw),
        friction=[run.friction or sum(scene.object.friction) / 2],
    )
    command = torch.zeros(1, scene.robots, 3)
    for index in range(len(run.robots)):
        command[0, index] = torch.tensor(run.commands[index] if run.commands else FORWARD)
    for simulator in (planar, mujoco):
        simulator.reset(everyone(1), start)
    _throw(planar, mujoco, run.velocity)
    first, second = _watch(planar, command, run.steps), _watch(mujoco, command, run.steps)
    begun = torch.tensor([0.0, 0.0, run.object_yaw])
    return Apart(
        object=_largest((first[0] - second[0])[:, :2]),
        turn=_largest_turn(first[0] - second[0]),
        robots=_largest((first[1] - second[1])[..., :2]),
        moved=_largest((second[0] - begun)[:, :2]),
        turned=_largest_turn(second[0] - begun),
    )


@lru_cache(maxsize=None)
def _pair(exp: str, robot: RobotModel) -> Tuple[PlanarSimulator, MujocoSimulator]:
    """One environment in each; built once, since a run begins anew anyway."""
    scene = scene_of(exp)
    return PlanarSimulator(scene, 1, robot=robot), MujocoSimulator(scene, 1, robot=robot)


def _throw(planar: PlanarSimulator, mujoco: MujocoSimulator, velocity: Sequence[float]) -> None:
    """Give the object a velocity, through the captures."""
    state = planar.state_dict()
    state["state"][0, 3:6] = torch.tensor(velocity)
    planar.load_state_dict(state)
    state = mujoco.state_dict()
    at = _TIME + mujoco.model.nq
    state["state"][0, at : at + 6] = torch.tensor(
        [velocity[0], velocity[1], 0.0, 0.0, 0.0, velocity[2]], dtype=torch.float64
    )
    mujoco.load_state_dict(state)


def _watch(
    simulator: Simulator, command: torch.Tensor, steps: int
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Object (steps, 3) and robots (steps, robots, 3) after every control step."""
    seen: Tuple[List[torch.Tensor], List[torch.Tensor]] = ([], [])
    for _ in range(steps):
        simulator.step(command)
        now = simulator.read()
        seen[0].append(now.object[0].clone())
        seen[1].append(now.robots[0].clone())
    return torch.stack(seen[0]), torch.stack(seen[1])


def _largest(offsets: torch.Tensor) -> float:
    return float(offsets.norm(dim=-1).max())


def _largest_turn(offsets: torch.Tensor) -> float:
    """Of yaws that may be whole turns apart, rad."""
    return float(torch.remainder(offsets[:, 2] + math.pi, 2 * math.pi).sub(math.pi).abs().max())


def behind(surface: float, sideways: float = 0.0, angle: float = 0.0, gap: float = 0.02) -> Pose:
    """A robot that comes along +x towards a surface at -`surface`, all turned by `angle`."""
    x, y = -surface - ROBOT.reach - gap, sideways
    cos, sin = math.cos(angle), math.sin(angle)
    return (cos * x - sin * y, sin * x + cos * y, angle)


def compare_episodes(exp: str, envs: int, steps: int, robot: RobotModel) -> torch.Tensor:
    """How far apart (envs,) the objects of drawn episodes are, all robots walking at the object."""
    task = task_of(exp)
    start = draw_start(task, envs, FromGenerator(torch.Generator().manual_seed(7)))
    ends = []
    for kind in (PlanarSimulator, MujocoSimulator):
        simulator = kind(task.scene, envs, robot=robot)
        simulator.reset(everyone(envs), start)
        for _ in range(steps):
            simulator.step(at_the_object(simulator.read()))
        ends.append(simulator.read().object[:, :2].clone())
        simulator.close()
    return (ends[0] - ends[1]).norm(dim=-1)
