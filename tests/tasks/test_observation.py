"""The layout of an observation, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mapush.tasks.push.observation import observe
from tests.environment.scripted import bodies_at

HALF_PI = math.pi / 2
COS, SIN = math.cos(0.01), math.sin(0.01)
TARGET = torch.tensor([[3.0, 1.0]])

# robots (x, y, yaw), object, and what robot k sees; the target is at (3, 1)
SEEN = [
    pytest.param(
        [(1.0, 0.0, 0.0), (0.0, 2.0, 0.5)],
        (0.0, 0.0, 0.3),
        0,
        [2.0, 1.0, -1.0, 0.0, 0.3, -1.0, 2.0, 0.5],
        id="facing along x, the world is as it is",
    ),
    pytest.param(
        [(1.0, 0.0, HALF_PI), (0.0, 2.0, 0.5)],
        (0.0, 0.0, 0.3),
        0,
        [1.0, -2.0, 0.0, 1.0, 0.3 + 3 * HALF_PI, 2.0, 1.0, 0.5 + 3 * HALF_PI],
        id="turned left, the world turns right, and angles stay in [0, 2 pi)",
    ),
    pytest.param(
        [(1.0, 0.0, 0.0), (0.0, 2.0, math.pi)],
        (0.0, 0.0, 0.0),
        1,
        [-3.0, 1.0, 0.0, 2.0, math.pi, -1.0, 2.0, math.pi],
        id="the other robot sees the same scene turned by pi",
    ),
    pytest.param(
        [(1.0, 0.0, -0.01), (0.0, 2.0, 7.0)],
        (0.0, 0.0, -0.01),
        0,
        [
            *(2 * COS - SIN, COS + 2 * SIN),
            *(-COS, -SIN, 0.0),
            *(-COS - 2 * SIN, 2 * COS - SIN, 7.01 - 2 * math.pi),
        ],
        id="yaws outside [0, 2 pi) are angles all the same",
    ),
]


@pytest.mark.parametrize(("robots", "thing", "robot", "expected"), SEEN)
def test_two_robots(robots: list, thing: tuple, robot: int, expected: list) -> None:
    seen = observe(bodies_at(robots, thing), TARGET)
    assert seen.shape == (1, 2, 8)
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen[0, robot], torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("robot", "order"), [(0, (2, 1)), (1, (0, 2)), (2, (1, 0))])
def test_others_come_in_the_order_k_minus_i(robot: int, order: tuple) -> None:
    robots = [(1.0, 0.0, 0.0), (2.0, 5.0, 0.0), (4.0, 7.0, 0.0)]
    seen = observe(bodies_at(robots), TARGET)[0, robot]
    assert seen.shape == (11,)
    for place, other in enumerate(order):
        x, y = (robots[other][axis] - robots[robot][axis] for axis in (0, 1))
        assert seen[5 + 3 * place : 8 + 3 * place].tolist() == pytest.approx([x, y, 0.0])


def test_a_turned_and_moved_world_looks_the_same() -> None:
    robots = torch.tensor([[1.0, 0.2, 0.4], [-0.3, 2.0, 3.0]])
    thing, target, turn = torch.tensor([0.5, -0.5, 1.0]), torch.tensor([2.0, 2.5]), 1.1
    cos, sin = math.cos(turn), math.sin(turn)
    matrix, shift = torch.tensor([[cos, -sin], [sin, cos]]), torch.tensor([4.0, -3.0])

    def moved(bodies: torch.Tensor) -> list:
        place = bodies[..., :2] @ matrix.T + shift
        return torch.cat((place, bodies[..., 2:] + turn), dim=-1).tolist()

    first = observe(bodies_at(robots.tolist(), thing.tolist()), target[None])
    second = observe(bodies_at(moved(robots), moved(thing)), (matrix @ target + shift)[None])
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
