"""Pushing: what moves, how far, and that nothing sinks into anything."""

from __future__ import annotations

import math
from typing import List

import pytest
import torch

pytest.importorskip("mjbatch", reason="needs the mujoco extra")

from scenes import advance, everyone, scene_of, start_of, task_of

from mapush.robots.planar import ROBOT
from mapush.simulators.inertia import object_inertia
from mapush.simulators.mujoco.simulator import MujocoSimulator

AWAY = [8.0, 8.0, 0.0]
FORWARD = [0.5, 0.0, 0.0]
# how far from the object's centre its surface is, seen from a robot that comes along +x
SURFACE = {"cuboid": 0.6, "Tblock": 0.5, "cylinder": 1.5}


def team(exp: str, pushers: List[List[float]]) -> torch.Tensor:
    """The pushers, and the rest of the team out of the way."""
    count = task_of(exp).robots.count
    rest = [[AWAY[0], AWAY[1] - 2 * k, 0.0] for k in range(count - len(pushers))]
    return torch.tensor([pushers + rest])


def commands(exp: str, pushers: int, envs: int = 1) -> torch.Tensor:
    command = torch.zeros(envs, task_of(exp).robots.count, 3)
    command[:, :pushers] = torch.tensor(FORWARD)
    return command


@pytest.mark.parametrize("exp", SURFACE)
def test_two_robots_push_the_object_straight_ahead(exp: str) -> None:
    behind = -SURFACE[exp] - ROBOT.reach - 0.05
    simulator = MujocoSimulator(scene_of(exp), 1)
    pushers = [[behind, 0.2, 0.0], [behind, -0.2, 0.0]]
    simulator.reset(everyone(1), start_of(exp, 1, robots=team(exp, pushers)))
    advance(simulator, commands(exp, 2), 200)
    now = simulator.read()
    x, y, _ = now.object[0].tolist()
    assert 0.8 < x < 2.0  # 4 s at less than 0.5 m/s
    assert abs(y) < 0.5  # the T's centre of mass is not in their middle
    assert float(now.object_height[0]) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("exp", SURFACE)
def test_an_object_nobody_touches_stays(exp: str) -> None:
    simulator = MujocoSimulator(scene_of(exp), 1)
    simulator.reset(everyone(1), start_of(exp, 1))
    advance(simulator, torch.zeros(1, task_of(exp).robots.count, 3), 200)
    now = simulator.read()
    torch.testing.assert_close(now.object[0], torch.zeros(3), atol=2e-3, rtol=0)
    assert float(now.object_height[0]) == pytest.approx(0.25, abs=0.005)


def test_a_push_beside_the_centre_turns_the_object() -> None:
    simulator = MujocoSimulator(scene_of("cuboid"), 1)
    robots = team("cuboid", [[-0.6 - ROBOT.reach - 0.02, 0.4, 0.0]])
    simulator.reset(everyone(1), start_of("cuboid", 1, robots=robots))
    advance(simulator, commands("cuboid", 1), 150)
    assert float(simulator.read().object[0, 2]) < -0.15


def test_each_environment_has_its_own_friction() -> None:
    frictions = [0.05, 0.5, 1.0, 3.0]
    simulator = MujocoSimulator(scene_of("cuboid"), len(frictions))
    robots = team("cuboid", [[-0.6 - ROBOT.reach - 0.02, 0.0, 0.0]])
    start = start_of("cuboid", len(frictions), robots=robots, friction=frictions)
    simulator.reset(torch.arange(len(frictions)), start)
    advance(simulator, commands("cuboid", 1, envs=len(frictions)), 150)
    moved = simulator.read().object[:, 0].tolist()
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > moved[1] + 0.05 > moved[2] + 0.1
    assert abs(moved[3]) < 0.03  # held by more than the 60 N of a robot


def test_robots_do_not_sink_into_the_cylinder() -> None:
    angles = [2 * math.pi * k / 40 for k in range(40)]
    simulator = MujocoSimulator(scene_of("cylinder"), len(angles))
    deepest = 0.0
    gap = 1.5 + ROBOT.reach + 0.02
    robots = torch.tensor(
        [
            [[-gap, 0.5 * k, 0.2 * math.sin(angle + k)] for k in (-1, 0, 1)]
            for angle in angles  # askew by up to 0.2 rad, so that edges meet it too
        ]
    )
    simulator.reset(torch.arange(len(angles)), start_of("cylinder", len(angles), robots=robots))
    command = commands("cylinder", 3, envs=len(angles))
    command[:, :, 2] = 0.5 * torch.sin(torch.tensor(angles))[:, None]
    hull = torch.tensor(ROBOT.hull)
    for _ in range(300):
        simulator.step(command)
        now = simulator.read()
        yaw = now.robots[..., 2:3]
        x = now.robots[..., 0:1] + torch.cos(yaw) * hull[:, 0] - torch.sin(yaw) * hull[:, 1]
        y = now.robots[..., 1:2] + torch.sin(yaw) * hull[:, 0] + torch.cos(yaw) * hull[:, 1]
        centers = torch.stack((x, y), dim=-1) - now.object[:, None, None, :2]
        depth = 1.5 + hull[:, 2] - centers.norm(dim=-1)
        deepest = max(deepest, float(depth.max()))
    assert 0.0 < deepest < 0.02
    moved = now.object[:, 0]
    assert float(moved.min()) > 0.5  # 6 s of pushing went the right way
    assert float(now.object_velocity.norm(dim=-1).max()) < 0.6


@pytest.mark.parametrize("speed", [0.5, -0.5])
def test_robots_side_by_side_keep_each_other_apart(speed: float) -> None:
    simulator = MujocoSimulator(scene_of("cuboid"), 1)
    robots = torch.tensor([[[-4.0, 0.2, 0.0], [-4.0, -0.2, 0.0]]])
    simulator.reset(everyone(1), start_of("cuboid", 1, robots=robots))
    command = torch.zeros(1, 2, 3)
    command[0, :, 1] = torch.tensor([-speed, speed])
    advance(simulator, command, 100)
    now = simulator.read().robots[0]
    gap = float((now[0, :2] - now[1, :2]).norm())
    if speed > 0:
        assert gap == pytest.approx(2 * ROBOT.capsule[0], abs=0.02)
    else:
        assert gap > 1.0


@pytest.mark.parametrize(
    ("exp", "mass", "center_y", "yaw_inertia"),
    [
        ("cuboid", 4.0, 0.0, 0.25),
        ("cylinder", 10.0, 0.0, 0.0417),
        # two boxes of 0.01 each, 2 kg and 1 kg half a metre apart: 2/3 * 0.5^2 more
        ("Tblock", 3.0, 0.5 / 3, 0.02 + 2 / 3 * 0.25),
    ],
)
def test_inertia_of_joined_shapes(
    exp: str, mass: float, center_y: float, yaw_inertia: float
) -> None:
    total, center, inertia = object_inertia(task_of(exp).object)
    assert total == pytest.approx(mass)
    assert center.tolist() == pytest.approx([0.0, center_y, 0.0])
    assert inertia[2, 2] == pytest.approx(yaw_inertia)
    model = MujocoSimulator(scene_of(exp), 1).model
    body = model.body("object")
    assert float(body.mass[0]) == pytest.approx(mass)
    assert float(max(body.inertia)) == pytest.approx(max(inertia.diagonal()), rel=1e-6)
