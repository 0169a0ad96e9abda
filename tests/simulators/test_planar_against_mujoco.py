"""Planar against MuJoCo, piece by piece: the same start and commands, and how far apart it ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Dict, NamedTuple, Optional, Tuple

import pytest

pytest.importorskip("warp", reason="needs the planar extra")
pytest.importorskip("mjbatch", reason="needs the mujoco extra")

from scenes import PROJECT
from yardstick import FORWARD, Apart, Run, behind, compare, compare_episodes

from mapush.robots.planar import ROBOT

UP, DOWN, BACK = math.pi / 2, -math.pi / 2, math.pi
BESIDE = ROBOT.hull[0][1] + ROBOT.hull[0][2] + 0.02  # m: from a robot's base to what is beside it
RIGHT, LEFT, STAND = (0.0, -0.5, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.0)
SMOOTH = replace(ROBOT, friction=0.0)
Limits = Tuple[float, float, float]
"""The most that the object, its yaw and the robots may ever be apart: mm, rad, mm."""


class Case(NamedTuple):
    """A run, and how far apart it may be.

    `smooth` is with hulls without friction, which do not lift what they push or press it down;
    `rough` with hulls as they are, None where nothing pushes.
    """

    run: Run
    smooth: Limits
    rough: Optional[Limits] = None


# The same figures as in docs/simulator.md.
OBJECTS: Dict[str, Case] = {
    "box slides": Case(Run("cuboid", [], 50, velocity=(0.8, 0.5, 0.0)), (4, 0.001, 0)),
    "box spins": Case(Run("cuboid", [], 50, velocity=(0.0, 0.0, 2.0)), (1, 0.0015, 0)),
    "box slides and spins": Case(Run("cuboid", [], 50, velocity=(0.7, 0.3, 2.0)), (6, 0.007, 0)),
    "T slides": Case(Run("Tblock", [], 50, velocity=(0.8, 0.5, 0.0)), (7, 0.002, 0)),
    "T spins": Case(Run("Tblock", [], 50, velocity=(0.0, 0.0, 2.0)), (2, 0.015, 0)),
    "T slides and spins": Case(Run("Tblock", [], 50, velocity=(0.7, 0.3, 2.0)), (6, 0.015, 0)),
    "cylinder slides": Case(Run("cylinder", [], 50, velocity=(0.8, 0.5, 0.0)), (1.5, 0.001, 0)),
    "cylinder spins": Case(Run("cylinder", [], 50, velocity=(0.0, 0.0, 2.0)), (1, 0.025, 0)),
    "cylinder slides and spins": Case(
        Run("cylinder", [], 50, velocity=(0.7, 0.3, 2.0)), (1, 0.025, 0)
    ),
    "box, middle of a face": Case(
        Run("cuboid", [behind(0.6)], 200), (1, 0.001, 1), (20, 0.001, 20)
    ),
    "box, face, 0.3 m beside": Case(
        Run("cuboid", [behind(0.6, 0.3)], 100), (30, 0.04, 15), (25, 0.04, 60)
    ),
    "box, end of a face": Case(
        Run("cuboid", [behind(0.6, 0.5)], 100), (50, 0.05, 10), (40, 0.03, 90)
    ),
    "box, by a robot's side": Case(
        Run("cuboid", [(-0.6 - BESIDE, 0.0, UP)], 150, [RIGHT]), (1, 0.001, 1), (12, 0.001, 12)
    ),
    "box, corner": Case(
        Run("cuboid", [behind(0.85)], 100, object_yaw=math.pi / 4), (1, 0.001, 1), (7, 0.01, 6)
    ),
    "box, beside a corner": Case(
        Run("cuboid", [behind(0.8, 0.1)], 100, object_yaw=math.pi / 4),
        (20, 0.02, 8),
        (20, 0.05, 15),
    ),
    "box, two robots": Case(
        Run("cuboid", [behind(0.6, 0.3), behind(0.6, -0.3)], 200), (1, 0.001, 1), (15, 0.02, 20)
    ),
    "box, two on two faces": Case(
        Run("cuboid", [behind(0.6), behind(0.6, 0.0, UP)], 150), (60, 0.06, 30), (6, 0.001, 4)
    ),
    "cylinder, middle": Case(Run("cylinder", [behind(1.5)], 200), (1, 0.001, 1), (60, 0.004, 60)),
    "cylinder, 0.5 m beside": Case(
        Run("cylinder", [behind(1.42, 0.5)], 100), (1, 0.001, 1), (25, 0.004, 25)
    ),
    "cylinder, by a robot's side": Case(
        Run("cylinder", [(-1.5 - BESIDE, 0.0, UP)], 100, [RIGHT]), (1, 0.001, 1), (20, 0.006, 20)
    ),
    "cylinder, three robots": Case(
        Run("cylinder", [behind(1.43, 0.45), behind(1.5), behind(1.43, -0.45)], 200),
        (1, 0.001, 1.5),
        (7, 0.03, 150),
    ),
    "T, end of the bar": Case(Run("Tblock", [behind(0.5)], 100), (25, 0.04, 10), (12, 0.07, 60)),
    "T, back of the bar": Case(
        Run("Tblock", [behind(0.25, 0.0, UP)], 200), (40, 0.001, 40), (25, 0.001, 25)
    ),
    "T, corner of the bar": Case(
        Run("Tblock", [behind(0.25, 0.45, UP)], 100), (40, 0.04, 40), (60, 0.025, 50)
    ),
    "T, end of the stem": Case(
        Run("Tblock", [behind(0.75, 0.0, DOWN)], 200), (30, 0.001, 30), (100, 0.001, 100)
    ),
    "T, side of the stem": Case(
        Run("Tblock", [behind(0.25, 0.55)], 100), (90, 0.09, 20), (150, 0.15, 50)
    ),
    "T, in the notch, to the bar": Case(
        Run("Tblock", [(0.4, 0.25 + ROBOT.reach + 0.02, DOWN)], 100),
        (20, 0.009, 20),
        (70, 0.06, 40),
    ),
    "T, in the notch, to the stem": Case(
        Run("Tblock", [(-0.25 - ROBOT.reach - 0.02, 0.37, 0.0)], 100), (50, 0.12, 40), (80, 0.2, 25)
    ),
    "T, into the notch": Case(
        Run("Tblock", [(-0.6, 0.7, -math.pi / 4)], 100), (60, 0.12, 10), (40, 0.2, 50)
    ),
    "T, two robots": Case(
        Run("Tblock", [behind(0.25, 0.25, UP), behind(0.25, -0.25, UP)], 200),
        (25, 0.001, 25),
        (40, 0.001, 40),
    ),
    "cylinder, three robots askew": Case(
        Run("cylinder", [behind(1.5, 0.4), behind(1.5, -0.4), behind(1.5, 0.0, 0.5)], 150),
        (2, 0.004, 1.2),
        (15, 0.06, 300),
    ),
    "T, back of the bar, 0.3 m beside": Case(
        Run("Tblock", [behind(0.25, 0.3, UP)], 150), (70, 0.4, 250), (200, 0.09, 150)
    ),
    "T, stem and bar": Case(
        Run("Tblock", [behind(0.25, 0.5), behind(0.5, 0.0)], 150), (30, 0.025, 20), (70, 0.04, 40)
    ),
}
# Robots alone, and the most that they may be apart, mm.
ROBOTS: Dict[str, Tuple[Run, float]] = {
    "free": (
        Run("cuboid", [(-1.5, 1.0, 1.0), (1.5, 1.0, -2.0)], 100, [(0.5, 0.3, 0.4), (-0.4, 0.2, 0)]),
        0.005,
    ),
    "head-on": (Run("cuboid", [(-4.5, 4.0, 0.0), (-3.5, 4.0, BACK)], 100), 0.2),
    "head-on, 0.1 m beside": (Run("cuboid", [(-4.0, 3.0, 0.0), (-2.5, 3.1, BACK)], 150), 25),
    "side by side": (
        Run("cuboid", [(-4.0, 4.2, 0.0), (-4.0, 3.8, 0.0)], 150, [RIGHT, LEFT]),
        0.1,
    ),
    "side by side, askew": (
        Run("cuboid", [(-4.0, 4.2, 0.2), (-3.8, 3.8, 0.0)], 150, [(0.2, -0.5, 0.0), LEFT]),
        0.3,
    ),
    "into a flank": (
        Run("cuboid", [(-4.6, 4.0, 0.0), (-4.0, 4.0, UP)], 150, [FORWARD, STAND]),
        0.02,
    ),
    "into the end of a flank": (
        Run("cuboid", [(-4.6, 4.1, 0.0), (-4.0, 4.0, UP)], 150, [FORWARD, STAND]),
        4,
    ),
    "against a wall": (Run("cuboid", [(11.3, 3.0, 0.0), (11.3, -3.0, 0.7)], 200), 0.02),
    "into a corner": (Run("cuboid", [(11.0, 11.2, 0.8), (-11.0, -11.2, -2.2)], 200), 0.08),
}
# Drawn episodes, every robot walking at the object: median and nine tenths of how far apart the
# object is after 3 s, mm, smooth and rough.
Quantiles = Tuple[float, float]
EPISODES: Dict[str, Tuple[Quantiles, Quantiles]] = {
    "cuboid": ((15, 50), (45, 120)),
    "Tblock": ((35, 120), (55, 120)),
    "cylinder": ((3, 10), (30, 130)),
}


def check(found: Apart, limits: Limits) -> None:
    assert found.object <= limits[0] / 1000
    assert found.turn <= limits[1]
    assert found.robots <= limits[2] / 1000


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
    return "" if limits is None else f"{limits[0]:g} mm, {limits[1]:g} rad, {limits[2]:g} mm"
