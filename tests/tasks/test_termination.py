"""What ends an episode, at both sides of every limit."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Optional

import pytest
import torch

from mapush.simulators.base import State
from mapush.tasks.push.moment import Constants, Moment, heights
from mapush.tasks.push.spec import PushTask
from tests.environment.scripted import bodies_at, task_of

APART = ((-1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.5, 0.0))


def moment(task: PushTask, state: State, start: State, target: torch.Tensor) -> Moment:
    constants = Constants(task, torch.device("cpu"))
    return Moment(constants, state, target, torch.zeros(1), heights(start))


def fails_in(task: PushTask, state: State, start: State) -> List[bool]:
    far = torch.tensor([[9.0, 9.0]])
    return moment(task, state, start, far).exception.tolist()


def standing(
    count: int, tilt: Optional[tuple] = None, rise: float = 0.0, robot_rise: float = 0.0
) -> State:
    bodies = bodies_at(APART[:count], height=0.25 + rise)
    robot_tilt = torch.zeros(1, count, 2)
    if tilt is not None:
        robot_tilt[0, -1] = torch.tensor(tilt)
    robot_height = torch.full((1, count), 0.3)
    robot_height[0, 0] += robot_rise
    return replace(bodies, robot_tilt=robot_tilt, robot_height=robot_height)


@pytest.mark.parametrize(("distance", "there"), [(0.999, True), (1.001, False), (0.0, True)])
def test_arrival(distance: float, there: bool) -> None:
    bodies = bodies_at(APART[:2], (0.5, 0.5, 0.0))
    target = torch.tensor([[0.5 + 0.6 * distance, 0.5 - 0.8 * distance]])
    assert moment(task_of("cuboid"), bodies, bodies, target).arrived.tolist() == [there]


@pytest.mark.parametrize(
    ("exp", "distance", "too_close"),
    [
        ("cuboid", 0.251, False),
        ("cuboid", 0.249, True),
        ("Tblock", 0.271, False),
        ("Tblock", 0.269, True),
        ("cylinder", 0.251, False),
        ("cylinder", 0.249, True),
    ],
)
def test_two_robots_too_close(exp: str, distance: float, too_close: bool) -> None:
    task = task_of(exp)
    robots = [*APART[: task.robots.count - 1], (*APART[task.robots.count - 2][:2], 0.0)]
    robots[-1] = (robots[-1][0] + distance, robots[-1][1], 2.0)
    bodies = bodies_at(robots)
    assert fails_in(task, bodies, bodies) == [too_close]


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, False),
        ({"tilt": (0.79, -1.59)}, False),
        ({"tilt": (0.81, 0.0)}, True),
        ({"tilt": (-0.81, 0.0)}, True),
        ({"tilt": (0.0, -1.61)}, True),
        ({"rise": 0.34}, False),
        ({"rise": 0.36}, True),
        ({"robot_rise": -0.34}, False),
        ({"robot_rise": -0.36}, True),
    ],
)
@pytest.mark.parametrize("exp", ["cuboid", "cylinder"])
def test_falls_and_leaps(exp: str, change: dict, fails: bool) -> None:
    task = task_of(exp)
    start = standing(task.robots.count)
    now = standing(task.robots.count, **change)
    assert fails_in(task, now, start) == [fails]


def test_a_simulator_without_heights_and_tilts_of_robots_ends_by_the_rest() -> None:
    task, start = task_of("cuboid"), bodies_at(APART[:2])
    raised = bodies_at(APART[:2], height=0.61)
    assert fails_in(task, start, start) == [False]
    assert fails_in(task, raised, start) == [True]
