"""Planar against MuJoCo, piece by piece: the same start and commands, and how far apart it ends."""

from __future__ import annotations

import math
from typing import Dict, NamedTuple

import pytest

pytest.importorskip("warp", reason="needs the planar extra")
pytest.importorskip("mjbatch", reason="needs the mujoco extra")

from yardstick import Run, behind, compare

from tests.support import PROJECT

DOCUMENT = PROJECT / "docs" / "simulator.md"
UP, DOWN = math.pi / 2, -math.pi / 2
FACE = (behind(0.6, 0.35), behind(0.6, -0.35))
ROUND = (behind(1.5, 0.4), behind(1.5, -0.4), behind(1.5, 0.0, 0.5))


class Case(NamedTuple):
    """A run, and how far apart the object (m), its yaw (rad) and the robots (m) may come to be."""

    run: Run
    object: float
    turn: float
    robots: float


CASES: Dict[str, Case] = {
    "a box slides": Case(Run("cuboid", (), 60, velocity=(0.8, 0.3, 0.0)), 0.004, 0.001, 0.0),
    "a box spins": Case(Run("cuboid", (), 60, velocity=(0.0, 0.0, 1.5)), 0.001, 0.004, 0.0),
    "a T slides": Case(Run("Tblock", (), 60, velocity=(0.5, -0.4, 0.0)), 0.004, 0.002, 0.0),
    "a cylinder spins": Case(Run("cylinder", (), 60, velocity=(0.0, 0.0, 1.0)), 0.001, 0.015, 0.0),
    "a push at a box's centre": Case(Run("cuboid", (behind(0.6),), 200), 0.03, 0.01, 0.03),
    "a push at a cylinder's centre": Case(Run("cylinder", (behind(1.5),), 200), 0.06, 0.01, 0.06),
    "a push at a T's bar": Case(Run("Tblock", (behind(0.5, 0.1),), 200), 0.08, 0.11, 0.11),
    "a push beside a box's centre": Case(Run("cuboid", (behind(0.6, 0.3),), 150), 0.03, 0.05, 0.12),
    "a push beside a T's centre": Case(
        Run("Tblock", (behind(0.25, 0.3, UP),), 150), 0.2, 0.11, 0.18
    ),
    "a push at a box's corner": Case(
        Run("cuboid", (behind(0.85, 0.0, math.pi / 4),), 120), 0.01, 0.02, 0.02
    ),
    "a push into a T's notch": Case(
        Run("Tblock", (behind(0.25, -0.35, DOWN),), 150), 0.07, 0.1, 0.08
    ),
    "two robots push a box": Case(Run("cuboid", FACE, 200), 0.03, 0.01, 0.03),
    "three robots push a cylinder": Case(Run("cylinder", ROUND, 150), 0.03, 0.08, 0.3),
    "two robots meet": Case(
        Run("cuboid", ((-4.0, 3.0, 0.0), (-2.5, 3.1, math.pi)), 150), 0.0, 0.0, 0.03
    ),
    "robots walk where nothing is": Case(
        Run(
            "cuboid",
            ((-4.0, 3.0, 0.3), (-2.0, -3.0, 2.0)),
            200,
            commands=((0.4, 0.2, 0.5), (-0.3, 0.1, -0.4)),
        ),
        0.0,
        0.0,
        0.00002,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_ends_where_mujoco_has_it(name: str) -> None:
    case = CASES[name]
    apart = compare(case.run)
    assert apart.object <= case.object + 1e-6
    assert apart.turn <= case.turn + 1e-6
    assert apart.robots <= case.robots + 1e-6


@pytest.mark.parametrize("name", CASES)
def test_the_document_tells_how_far_it_may_be(name: str) -> None:
    case = CASES[name]
    row = f"| {name} | {case.object:g} | {case.turn:g} | {case.robots:g} |"
    assert row in DOCUMENT.read_text(encoding="utf-8")
