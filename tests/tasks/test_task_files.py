"""A task file is data: wrong values cost one line, and nothing in it is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapush.errors import TaskError
from mapush.tasks import load_task, task_folder
from mapush.tasks.load import parse_task

GOOD = """from mapush.tasks import Box, Object, PushTask, Robots
side = 0.6
task = PushTask(
    name="plain",
    robots=Robots(count=2),
    object=Object(
        shapes=(Box(size=(2 * side, 1.2, 0.5), mass=4.0, inertia=(0.25, 0.25, 0.25)),),
        footprint=((-side, -0.6), (side, -0.6), (0.6, 0.6), (-0.6, 0.6)),
        friction=(0.5, 0.6),
    ),
)
"""
# what stands in GOOD, what stands there instead, the line blamed, what the message says
WRONG_VALUES = [
    ("count=2", "count=0", 5, ("Robots.count = 0", "greater than or equal to 1")),
    ("count=2", "count=17", 5, ("Robots.count = 17", "less than or equal to 16")),
    ("count=2", "count=2.5", 5, ("Robots.count = 2.5", "integer")),
    ("count=2", 'count="2"', 5, ("Robots.count = '2'", "integer")),
    ("count=2", "count=True", 5, ("Robots.count = True", "integer")),
    ("count=2", "number=2", 5, ("Robots", "no field 'number'", "count, start_distance")),
    ("count=2", "", 5, ("Robots", "needs a value for 'count'")),
    ("count=2", "2", 5, ("Robots", "field=value")),
    ("mass=4.0", "mass=-4.0", 7, ("Box.mass = -4.0", "greater than 0")),
    ("mass=4.0", "mass=1e400", 7, ("Box.mass = inf", "finite")),
    ("mass=4.0", 'mass="4"', 7, ("Box.mass = '4'", "number")),
    ("mass=4.0", "mass=1 / 0", 7, ("division by zero",)),
    ("mass=4.0", "mass=heavy", 7, ("numbers, strings, tuples",)),
    ("2 * side, 1.2", "0.0, 1.2", 7, ("size = (0.0, 1.2, 0.5)", "greater than 0")),
    ("(2 * side, 1.2, 0.5)", "1.2", 7, ("Box.size = 1.2", "tuple")),
    ("(0.25, 0.25, 0.25)", "(0.25, 0.25, 0)", 7, ("inertia = (0.25, 0.25, 0.0)", "than 0")),
    ("friction=(0.5, 0.6)", "friction=(0.6, 0.5)", 6, ("friction = (0.6, 0.5)", "low <= high")),
    ("friction=(0.5, 0.6)", "friction=(-1.0, 0.5)", 6, ("friction = (-1.0, 0.5)", "from 0 up")),
    (
        "(0.6, 0.6), (-0.6, 0.6)",
        "(-0.6, 0.6), (0.6, 0.6)",
        6,
        ("footprint = ", "counter-clockwise"),
    ),
    ('"plain"', '"../escape"', 3, ("PushTask.name = '../escape'", "match pattern")),
    ("side = 0.6", 'side = "a" * 3', 2, ("'a' is not a number",)),
]
MORE_FIELDS = [
    ("goal=Goal(distance=(0.5, 3.0))", ("distance = (0.5, 3.0)", "above radius = 1")),
    ("goal=Goal(distance=(1.5, 12.5))", ("goal.distance = (1.5, 12.5)", "below 12 m")),
    ("goal=Goal(radius=0)", ("Goal.radius = 0", "greater than 0")),
    ("termination=Termination(control_steps=0)", ("Termination.control_steps = 0", "equal to 1")),
    ("control=Control(limit=(0.5, 0.0, 0.5))", ("limit = (0.5, 0.0, 0.5)", "greater than 0")),
    ("arena=Arena(friction=-0.1)", ("Arena.friction = -0.1", "equal to 0")),
    ("rewards=Rewards(push_speed=-1)", ("Rewards.push_speed = -1", "equal to 0")),
    ("metrics=Metrics(collaboration_distance=0)", ("collaboration_distance = 0", "than 0")),
    ("object_yaw=(1.0, 0.0)", ("object_yaw = (1.0, 0.0)", "low <= high")),
]


def test_a_good_file_is_read() -> None:
    task = parse_task(GOOD, "plain/config.py")
    assert (task.name, task.object.shapes[0].mass) == ("plain", 4.0)


@pytest.mark.parametrize(("old", "new", "line", "told"), WRONG_VALUES)
def test_a_wrong_value_is_named(old: str, new: str, line: int, told: tuple) -> None:
    assert old in GOOD
    with pytest.raises(TaskError) as refused:
        parse_task(GOOD.replace(old, new), "plain/config.py")
    message = str(refused.value)
    assert message.startswith(f"plain/config.py:{line}: ")
    assert "\n" not in message
    assert all(part in message for part in told), message


@pytest.mark.parametrize(("field", "told"), MORE_FIELDS)
def test_a_wrong_value_in_any_part_is_named(field: str, told: tuple) -> None:
    text = GOOD.replace("count=2),", f"count=2),\n    {field},")
    with pytest.raises(TaskError) as refused:
        parse_task(text, "plain/config.py")
    assert str(refused.value).startswith("plain/config.py:")
    assert all(part in str(refused.value) for part in told), str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no `task = PushTask"),
        ("task = 3\n", "holds no `task = PushTask"),
        ("task = PushTask(\n", "not Python"),
        ("task = 'a\0b'\n", "not Python"),
        ("task = " + "-" * 100_000 + "1\n", "nested too deeply"),
        ("task = " + "(" * 5000 + ")" * 5000 + "\n", "config.py:"),
        ("a = 10\n" + "a = a * a\n" * 60, "not a number to calculate with"),
    ],
)
def test_what_is_no_task_file_is_refused(text: str, told: str) -> None:
    with pytest.raises(TaskError, match=r"^x/config\.py") as refused:
        parse_task(text, "x/config.py")
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "hostile",
    [
        "import os; os.system({touch!r})",
        "task = __import__('os').system({touch!r})",
        "name = open({path!r}, 'w')",
        "name = [open({path!r}, 'w') for _ in (1,)]",
        "name = (lambda: open({path!r}, 'w'))()",
        "name = f\"{{open({path!r}, 'w')}}\"",
        "open({path!r}, 'w')",
        "class Box: open({path!r}, 'w')",
        "def box(): pass",
        "@open({path!r}, 'w')\ndef box(): pass",
        "exec(\"open({path!r}, 'w')\")",
        "name = Box.__init__.__globals__",
        "name = PushTask.model_validate({{}})",
        "task.name = 'other'",
        "name = Robots(**{{'count': 2}})",
        "name: open({path!r}, 'w') = 3",
        "if open({path!r}, 'w'): pass",
        "with open({path!r}, 'w'): pass",
        "name = 9 ** 9 ** 9",
        "name = 'a' * 10 ** 12",
    ],
)
def test_a_hostile_file_is_refused_unexecuted(hostile: str, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    (tmp_path / "config.py").write_text(
        GOOD + hostile.format(path=str(trap), touch=f"touch {trap}") + "\n"
    )
    with pytest.raises(TaskError, match=r"config\.py:\d+: "):
        load_task(tmp_path)
    assert not trap.exists()


def test_imports_are_not_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "executed"
    (tmp_path / "trapped.py").write_text(f"open({str(trap)!r}, 'w')\n")
    (tmp_path / "config.py").write_text("import trapped\n" + GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    load_task(tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["Cuboid", "", ".", "..", "../task/cuboid", "cuboid/"])
def test_an_unknown_experiment_lists_those_there_are(name: str, tmp_path: Path) -> None:
    (tmp_path / "cuboid").mkdir()
    (tmp_path / "cuboid" / "config.py").write_text(GOOD)
    with pytest.raises(TaskError, match="there are: cuboid"):
        task_folder(name, tmp_path)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"config\.py: cannot be read"):
        load_task(tmp_path)
    (tmp_path / "config.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError, match=r"config\.py: cannot be read"):
        load_task(tmp_path)
    (tmp_path / "config.py").write_bytes(b"#" * 1_000_001)
    with pytest.raises(TaskError, match="larger than"):
        load_task(tmp_path)
