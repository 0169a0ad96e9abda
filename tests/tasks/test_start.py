"""Where episodes begin: the published distributions."""

from __future__ import annotations

import math

import pytest
import torch

from mapush.simulators.base import Start
from mapush.tasks.base import FromGenerator
from mapush.tasks.push.geometry import pair_distances
from mapush.tasks.push.reset import draw_start
from tests.environment.scripted import task_of

COUNT = 20_000
EXPERIMENTS = ("cuboid", "Tblock", "cylinder")


def draw(exp: str, seed: int = 1) -> Start:
    return draw_start(task_of(exp), COUNT, FromGenerator(torch.Generator().manual_seed(seed)))


def assert_uniform(values: torch.Tensor, low: float, high: float) -> None:
    """Within the range, and by Kolmogorov and Smirnov's measure (0.1% level) spread evenly."""
    flat = values.flatten().double().sort().values
    assert float(flat[0]) >= low - 1e-6
    assert float(flat[-1]) <= high + 1e-6
    expected = (flat - low) / (high - low)
    steps = torch.arange(1, len(flat) + 1, dtype=torch.float64) / len(flat)
    assert float((expected - steps).abs().max()) < 1.95 / math.sqrt(len(flat))


@pytest.mark.parametrize("exp", EXPERIMENTS)
def test_everything_is_drawn_as_published(exp: str) -> None:
    start, task = draw(exp), task_of(exp)
    count = task.robots.count
    assert start.robots.shape == (COUNT, count, 3)
    assert_uniform(start.robots[..., :2].norm(dim=-1), *task.robots.start_distance)
    assert_uniform(torch.atan2(start.robots[..., 1], start.robots[..., 0]), -math.pi, math.pi)
    assert_uniform(start.robots[..., 2], -0.01, 2 * math.pi)
    assert_uniform(start.robot_velocity, -0.1, 0.1)
    assert not start.object[:, :2].any()
    assert_uniform(start.object[:, 2], -0.01, 2 * math.pi)
    assert_uniform(start.target.norm(dim=-1), 1.5, 3.0)
    assert_uniform(torch.atan2(start.target[:, 1], start.target[:, 0]), -math.pi, math.pi)
    assert_uniform(start.friction, *task.object.friction)


@pytest.mark.parametrize(
    ("exp", "published"), [("cuboid", 0.063), ("Tblock", 0.068), ("cylinder", 0.065)]
)
def test_some_teams_start_too_close_as_published(exp: str, published: float) -> None:
    close = pair_distances(draw(exp).robots) < task_of(exp).termination.robot_distance
    share = float(close.any(dim=1).float().mean())
    assert share == pytest.approx(published, abs=4 * math.sqrt(0.065 / COUNT))


def test_the_generator_alone_decides() -> None:
    first, again, other = draw("cuboid"), draw("cuboid"), draw("cuboid", seed=2)
    assert torch.equal(first.robots, again.robots)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.target, other.target)
