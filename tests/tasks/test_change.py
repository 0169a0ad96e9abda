"""A task with values changed by their path: which paths lead where, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

from mapush.errors import TaskError
from mapush.tasks import load_task
from mapush.tasks.change import change_task, load_changed_task, read_changes, value_of

TASKS = Path(__file__).resolve().parents[2] / "task"
BESIDE = ("ppo.learning_rate", "checkpointing.keep")


def changed(texts: Dict[str, str], exp: str = "cuboid") -> Dict[str, Any]:
    """What the values at their full paths are in the changed task."""
    task = load_task(TASKS / exp)
    values = read_changes(task, texts, BESIDE)
    new = change_task(task, values)
    return {path: value_of(new, path) for path in values}


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        ({"rewards.push": "0.003"}, {"rewards.push": 0.003}),
        ({"reward.push": "3e-3"}, {"rewards.push": 0.003}),
        ({"reward.push": "0"}, {"rewards.push": 0.0}),
        ({"reward.collision": "-1"}, {"rewards.collision": -1.0}),
        ({"goal.radius": "0.8"}, {"goal.radius": 0.8}),
        ({"object.friction": "0.3,0.4"}, {"object.friction": [0.3, 0.4]}),
        ({"object.friction": "(0.3, 0.4)"}, {"object.friction": [0.3, 0.4]}),
        ({"object_yaw": "-1,1"}, {"object_yaw": [-1.0, 1.0]}),
        ({"robot.count": "3"}, {"robots.count": 3}),
        ({"termination.control_steps": "2k"}, {"termination.control_steps": 2000}),
        ({"object.shape.0.mass": "2.5"}, {"object.shapes.0.mass": 2.5}),
        ({"control.limit": "1,1,0.5"}, {"control.limit": [1.0, 1.0, 0.5]}),
        (
            {"object.footprint": "(-1,-1),(1,-1),(0,2)"},
            {"object.footprint": [[-1.0, -1.0], [1.0, -1.0], [0.0, 2.0]]},
        ),
        # Alone, each of the two would be refused beside the value that the other has in the file.
        (
            {"goal.radius": "4", "goal.distance": "5,6"},
            {"goal.distance": [5.0, 6.0], "goal.radius": 4.0},
        ),
        (
            {"goal.distance": "13,14", "arena.size": "40,40"},
            {"arena.size": [40.0, 40.0], "goal.distance": [13.0, 14.0]},
        ),
        ({"reward.push": "1", "rewards.push": "2"}, {"rewards.push": 2.0}),
    ],
)
def test_a_value_is_changed_by_its_path_and_everything_else_stays(
    texts: Dict[str, str], values: Dict[str, Any]
) -> None:
    assert changed(texts) == values
    task = load_task(TASKS / "cuboid")
    back = change_task(change_task(task, values), {path: value_of(task, path) for path in values})
    assert back == task


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"reward.psh": "1"}, "reward.psh: did you mean rewards.push? rewards has: reach_target, "),
        ({"goal.raduis": "1"}, "goal.raduis: did you mean goal.radius? goal has: distance, "),
        ({"goal.push": "1"}, "goal.push: did you mean rewards.push? goal has: distance, "),
        ({"radius": "1"}, "radius: did you mean goal.radius? there are: name, robots, object, "),
        ({"learning_rate": "1"}, "learning_rate: did you mean ppo.learning_rate? there are: "),
        ({"keep": "all"}, "keep: did you mean checkpointing.keep? there are: "),
        ({"zzz.x": "1"}, "zzz.x: there are: name, robots, object, "),
        ({"": "1"}, "'': there are: name, "),
        ({"goal": "1"}, "goal: is a section; name one of its values: goal.distance, goal.radius"),
        ({"goal.radius.x": "1"}, "goal.radius.x: goal.radius is one value and has no parts"),
        ({"object.shapes": "1"}, "object.shapes: there are 1 of these; name a value of one, such"),
        ({"object.shapes.1.mass": "1"}, "object.shapes.1.mass: "),
        ({"object.shapes.0.radius": "1"}, "object.shapes.0.radius: "),
        ({"goal.radius": "big"}, "goal.radius=big: is no number, such as 0.5"),
        ({"goal.radius": "nan"}, "goal.radius=nan: must be a finite number"),
        ({"goal.radius": "0"}, "goal.radius=0.0: must be a finite number greater than 0"),
        ({"robot.count": "2.5"}, "robot.count=2.5: is no whole number"),
        ({"robot.count": "17"}, "robots.count=17: must be a whole number from 1 to 16"),
        ({"object.friction": "0.5"}, "object.friction=0.5: must be 2 values with commas"),
        ({"object.friction": "0.6,0.5"}, "object.friction=0.6,0.5: friction = (0.6, 0.5): a range"),
        ({"goal.radius": "2"}, "goal.radius=2.0: distance = (1.5, 3.0): must start above radius"),
        ({"goal.distance": "2,13"}, "goal.distance=2.0,13.0: goal.distance = (2.0, 13.0): must st"),
        ({"name": "../x"}, "name=../x: must match pattern"),
        ({"a\nb": "1"}, "'a\\nb': there are"),
        ({"x" * 5000: "1"}, "'xxx"),
    ],
)
def test_a_change_that_cannot_be_is_one_line_that_names_it(
    texts: Dict[str, str], said: str
) -> None:
    with pytest.raises(TaskError) as refused:
        changed(texts)
    message = str(refused.value)
    assert message.startswith(f"--set {said}")
    assert "\n" not in message
    assert len(message) < 1000


@pytest.mark.parametrize(
    "values",
    [
        3,
        {"goal.radius": "0.8"},
        {"goal.radius": [0.8]},
        {"goal.radius": {"x": 1}},
        {"goal.radius": None},
        {"robots.count": True},
        {"object.shapes": []},
        {"__class__.x": 1},
        {3: 4},
    ],
)
def test_changes_in_the_files_of_others_are_read_without_trust(values: Any) -> None:
    with pytest.raises(TaskError):
        load_changed_task(TASKS / "cuboid", {"set": values})


def test_a_run_without_changes_has_the_task_of_its_folder() -> None:
    for config in ({}, {"set": {}}, {"set": None}):
        assert load_changed_task(TASKS / "cuboid", config) == load_task(TASKS / "cuboid")
