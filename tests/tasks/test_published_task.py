"""The three task folders hold every figure of the published task."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest

from mapush.tasks import PushTask, known_experiments, load_task, task_folder

TASKS = Path(__file__).resolve().parents[2] / "task"
SQUARE = ((-0.6, -0.6), (0.6, -0.6), (0.6, 0.6), (-0.6, 0.6))
TEE = ((-0.5, -0.25), (0.5, -0.25), (0.25, 0.75), (-0.25, 0.75))
HEXAGON = ((-0.75, -1.3), (0.75, -1.3), (1.5, 0.0), (0.75, 1.3), (-0.75, 1.3), (-1.5, 0.0))

SAME_EVERYWHERE = {
    "control.step": 0.02,
    "control.gain": 0.5,
    "control.limit": (0.5, 0.5, 0.5),
    "termination.control_steps": 1000,
    "termination.roll": 0.8,
    "termination.pitch": 1.6,
    "termination.height_change": 0.35,
    "arena.size": (24.0, 24.0),
    "arena.wall_height": 0.5,
    "arena.friction": 0.1,
    "goal.radius": 1.0,
    "goal.distance": (1.5, 3.0),
    "goal.marker_radius": 0.5,
    "goal.marker_height": 0.1,
    "metrics.collaboration_distance": 1.0,
    "object_yaw": (-0.01, 2 * math.pi),
    "robots.start_yaw": (-0.01, 2 * math.pi),
    "robots.start_speed": 0.1,
    "rewards.reach_target": 10.0,
    "rewards.exception": -5.0,
    "rewards.distance_to_target": 0.325,
    "rewards.approach": -0.00075,
    "rewards.push": 0.0015,
    "rewards.push_speed": 0.1,
    "rewards.ocb": 0.004,
}
DIFFERENT = {
    "robots.count": (2, 2, 3),
    "robots.start_distance": ((1.2, 1.3), (1.2, 1.3), (2.0, 2.5)),
    "observation_size": (8, 8, 11),
    "object.mass": (4.0, 3.0, 10.0),
    "object.height": (0.5, 0.5, 0.5),
    "object.friction": ((0.5, 0.6), (0.6, 0.7), (0.3, 0.4)),
    "object.footprint": (SQUARE, TEE, HEXAGON),
    "termination.robot_distance": (0.25, 0.27, 0.25),
    "rewards.collision": (-0.0025, -0.0025, -0.0015),
}
SHAPES = [
    ("cuboid", 0, {"size": (1.2, 1.2, 0.5), "mass": 4.0, "inertia": (0.25,) * 3}),
    ("Tblock", 0, {"size": (1.0, 0.5, 0.5), "mass": 2.0, "inertia": (0.01,) * 3}),
    ("Tblock", 1, {"size": (0.5, 0.5, 0.5), "mass": 1.0, "inertia": (0.01,) * 3}),
    ("Tblock", 1, {"center": (0.0, 0.5)}),
    (
        "cylinder",
        0,
        {"radius": 1.5, "height": 0.5, "mass": 10.0, "inertia": (0.0833, 0.0833, 0.0417)},
    ),
]
EXPERIMENTS = ("cuboid", "Tblock", "cylinder")


def task_of(exp: str) -> PushTask:
    return load_task(task_folder(exp, TASKS))


def figure(task: PushTask, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), task)


def test_there_are_three_tasks() -> None:
    assert known_experiments(TASKS) == sorted(EXPERIMENTS)
    assert [task_of(exp).name for exp in EXPERIMENTS] == list(EXPERIMENTS)


@pytest.mark.parametrize("exp", EXPERIMENTS)
@pytest.mark.parametrize(("name", "value"), SAME_EVERYWHERE.items())
def test_figures_that_all_tasks_share(exp: str, name: str, value: Any) -> None:
    assert figure(task_of(exp), name) == value


@pytest.mark.parametrize(("name", "values"), DIFFERENT.items())
def test_figures_that_differ(name: str, values: tuple) -> None:
    assert tuple(figure(task_of(exp), name) for exp in EXPERIMENTS) == values


@pytest.mark.parametrize(("exp", "index", "values"), SHAPES)
def test_shapes_of_the_objects(exp: str, index: int, values: dict) -> None:
    shape = task_of(exp).object.shapes[index]
    assert {name: getattr(shape, name) for name in values} == values


def test_objects_have_no_further_shapes() -> None:
    assert [len(task_of(exp).object.shapes) for exp in EXPERIMENTS] == [1, 2, 1]
