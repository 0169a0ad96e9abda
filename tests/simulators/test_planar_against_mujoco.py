"""Planar against MuJoCo, piece by piece: the same start and commands, and how far apart it ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Dict, NamedTuple, Optional, Tuple

import pytest

pytest.importorskip("warp", reason="needs the planar extra")
pytest.importorskip("mjbatch", reason="needs the mujoco extra")

from scenes import PROJECT
from yardstick import Apart, Run, behind, compare, compare_episodes

from mapush.robots.planar import ROBOT

UP, DOWN, BACK = math.pi / 2, -math.pi / 2, math.pi
BESIDE = ROBOT.hull[0][1] + ROBOT.hull[0][2] + 0.02  # m: from a robot's base to what is beside it
RIGHT, LEFT, AHEAD, STAND = (0.0, -0.5, 0.0), (0.0, 0.5, 0.0), (0.5, 0.0, 0.0), (0.0, 0.0, 0.0)
SMOOTH = replace(ROBOT, friction=0.0)
Limits = Tuple[float, float]


class Case(NamedTuple):
    """A run, and the most that the object may be apart at any control step: mm and rad.

    `smooth` is with hulls without friction, which do not lift what they push or press it down;
    `rough` with hulls as they are, None where nothing pushes.
    """

    run: Run
    smooth: Limits
    rough: Optional[Limits] = None


# The same figures as in docs/simulator.md.
OBJECTS: Dict[str, Case] = {
    "box slides": Case(Run("cuboid", [], 50, velocity=(0.8, 0.5, 0.0)), (4, 0.001)),
    "box spins": Case(Run("cuboid", [], 50, velocity=(0.0, 0.0, 2.0)), (1, 0.002)),
    "box slides and spins": Case(Run("cuboid", [], 50, velocity=(0.7, 0.3, 2.0)), (7, 0.01)),
    "T slides": Case(Run("Tblock", [], 50, velocity=(0.8, 0.5, 0.0)), (7, 0.002)),
    "T spins": Case(Run("Tblock", [], 50, velocity=(0.0, 0.0, 2.0)), (3, 0.02)),
    "T slides and spins": Case(Run("Tblock", [], 50, velocity=(0.7, 0.3, 2.0)), (6, 0.02)),
    "cylinder slides": Case(Run("cylinder", [], 50, velocity=(0.8, 0.5, 0.0)), (2, 0.001)),
    "cylinder spins": Case(Run("cylinder", [], 50, velocity=(0.0, 0.0, 2.0)), (1, 0.03)),
    "cylinder slides and spins": Case(Run("cylinder", [], 50, velocity=(0.7, 0.3, 2.0)), (2, 0.03)),
    "box, middle of a face": Case(Run("cuboid", [behind(0.6)], 200), (1, 0.001), (25, 0.001)),
    "box, face, 0.3 m beside": Case(Run("cuboid", [behind(0.6, 0.3)], 100), (35, 0.05), (30, 0.05)),
    "box, end of a face": Case(Run("cuboid", [behind(0.6, 0.5)], 100), (50, 0.05), (40, 0.04)),
    "box, by a robot's side": Case(
        Run("cuboid", [(-0.6 - BESIDE, 0.0, UP)], 150, [RIGHT]), (1, 0.001), (15, 0.001)
    ),
    "box, corner": Case(
        Run("cuboid", [behind(0.85)], 100, object_yaw=math.pi / 4), (1, 0.001), (8, 0.02)
    ),
    "box, beside a corner": Case(
        Run("cuboid", [behind(0.8, 0.1)], 100, object_yaw=math.pi / 4), (25, 0.02), (25, 0.06)
    ),
    "box, two robots": Case(
        Run("cuboid", [behind(0.6, 0.3), behind(0.6, -0.3)], 200), (1, 0.001), (15, 0.02)
    ),
    "box, two on two faces": Case(
        Run("cuboid", [behind(0.6), behind(0.6, 0.0, UP)], 150), (60, 0.06), (10, 0.01)
    ),
    "cylinder, middle": Case(Run("cylinder", [behind(1.5)], 200), (1, 0.001), (65, 0.01)),
    "cylinder, 0.5 m beside": Case(
        Run("cylinder", [behind(1.42, 0.5)], 100), (1, 0.001), (25, 0.01)
    ),
    "cylinder, by a robot's side": Case(
        Run("cylinder", [(-1.5 - BESIDE, 0.0, UP)], 100, [RIGHT]), (1, 0.001), (20, 0.01)
    ),
    "cylinder, three robots": Case(
        Run("cylinder", [behind(1.43, 0.45), behind(1.5), behind(1.43, -0.45)], 200),
        (2, 0.001),
        (10, 0.04),
    ),
    "T, end of the bar": Case(Run("Tblock", [behind(0.5)], 100), (25, 0.05), (15, 0.08)),
    "T, back of the bar": Case(
        Run("Tblock", [behind(0.25, 0.0, UP)], 200), (45, 0.001), (25, 0.001)
    ),
    "T, corner of the bar": Case(
        Run("Tblock", [behind(0.25, 0.45, UP)], 100), (40, 0.04), (65, 0.03)
    ),
    "T, end of the stem": Case(
        Run("Tblock", [behind(0.75, 0.0, DOWN)], 200), (35, 0.001), (100, 0.001)
    ),
    "T, side of the stem": Case(Run("Tblock", [behind(0.25, 0.55)], 100), (95, 0.1), (150, 0.15)),
    "T, in the notch, to the bar": Case(
        Run("Tblock", [(0.4, 0.25 + ROBOT.reach + 0.02, DOWN)], 100), (20, 0.02), (75, 0.07)
    ),
    "T, in the notch, to the stem": Case(
        Run("Tblock", [(-0.25 - ROBOT.reach - 0.02, 0.37, 0.0)], 100), (50, 0.15), (80, 0.25)
    ),
    "T, into the notch": Case(
        Run("Tblock", [(-0.6, 0.7, -math.pi / 4)], 100), (65, 0.15), (50, 0.3)
    ),
    "T, two robots": Case(
        Run("Tblock", [behind(0.25, 0.25, UP), behind(0.25, -0.25, UP)], 200),
        (25, 0.001),
        (40, 0.001),
    ),
    "T, stem and bar": Case(
        Run("Tblock", [behind(0.25, 0.5), behind(0.5, 0.0)], 150), (30, 0.03), (65, 0.04)
    ),
}
# Robots alone, and the most that they may be apart, mm.
ROBOTS: Dict[str, Tuple[Run, float]] = {
    "free": (
        Run("cuboid", [(-1.5, 1.0, 1.0), (1.5, 1.0, -2.0)], 100, [(0.5, 0.3, 0.4), (-0.4, 0.2, 0)]),
        0.01,
    ),
    "head-on": (Run("cuboid", [(-4.5, 4.0, 0.0), (-3.5, 4.0, BACK)], 100), 0.3),
    "side by side": (
        Run("cuboid", [(-4.0, 4.2, 0.0), (-4.0, 3.8, 0.0)], 150, [RIGHT, LEFT]),
        0.2,
    ),
    "side by side, askew": (
        Run("cuboid", [(-4.0, 4.2, 0.2), (-3.8, 3.8, 0.0)], 150, [(0.2, -0.5, 0.0), LEFT]),
        0.5,
    ),
    "into a flank": (
        Run("cuboid", [(-4.6, 4.0, 0.0), (-4.0, 4.0, UP)], 150, [AHEAD, STAND]),
        0.1,
    ),
    "into the end of a flank": (
        Run("cuboid", [(-4.6, 4.1, 0.0), (-4.0, 4.0, UP)], 150, [AHEAD, STAND]),
        7.0,
    ),
    "against a wall": (Run("cuboid", [(11.3, 3.0, 0.0), (11.3, -3.0, 0.7)], 200), 0.1),
    "into a corner": (Run("cuboid", [(11.0, 11.2, 0.8), (-11.0, -11.2, -2.2)], 200), 0.2),
}
# Drawn episodes, every robot walking at the object: median and nine tenths of how far apart the
# object is after 3 s, mm, smooth and rough.
EPISODES: Dict[str, Tuple[Limits, Limits]] = {
    "cuboid": ((15, 60), (45, 150)),
    "Tblock": ((40, 130), (60, 150)),
    "cylinder": ((3, 12), (35, 150)),
}


def check(found: Apart, limits: Limits) -> None:
    assert found.object <= limits[0] / 1000
    assert found.turn <= limits[1]


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_goes_where_it_goes_in_mujoco_but_for_friction_of_the_hull(name: str) -> None:
    check(compare(OBJECTS[name].run, SMOOTH), OBJECTS[name].smooth)


@pytest.mark.parametrize("name", [name for name, case in OBJECTS.items() if case.rough])
def test_an_object_goes_about_where_it_goes_in_mujoco(name: str) -> None:
    case = OBJECTS[name]
    assert case.rough is not None
    found = compare(case.run)
    check(found, case.rough)
    assert found.moved > 0.3  # or nothing was compared


@pytest.mark.parametrize("name", ROBOTS)
def test_robots_go_where_they_go_in_mujoco(name: str) -> None:
    run, limit = ROBOTS[name]
    assert compare(run).robots <= limit / 1000


@pytest.mark.slow
@pytest.mark.parametrize("exp", EPISODES)
def test_objects_of_drawn_episodes_go_about_where_they_go_in_mujoco(exp: str) -> None:
    for robot, (median, most) in zip((SMOOTH, ROBOT), EPISODES[exp]):
        apart = compare_episodes(exp, 150, 150, robot)
        assert float(apart.median()) <= median / 1000
        assert float(apart.quantile(0.9)) <= most / 1000


def test_the_document_has_the_limits_that_are_tested() -> None:
    text = (PROJECT / "docs" / "simulator.md").read_text(encoding="utf-8")
    lines = [
        f"| {name} | {_said(case.smooth)} | {_said(case.rough)} |" for name, case in OBJECTS.items()
    ]
    lines += [f"| {name} | {limit:g} mm |" for name, (_, limit) in ROBOTS.items()]
    lines += [
        f"| {exp} | {smooth[0]:g}, {smooth[1]:g} mm | {rough[0]:g}, {rough[1]:g} mm |"
        for exp, (smooth, rough) in EPISODES.items()
    ]
    assert [line for line in lines if line not in text] == []


def _said(limits: Optional[Limits]) -> str:
    return "" if limits is None else f"{limits[0]:g} mm, {limits[1]:g} rad"
