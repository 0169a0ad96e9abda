"""Robot descriptions that are made from the task."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import List, Tuple

import pytest
from scenes import task_of

from mapush.simulators.isaacgym.objects import marker_urdf, object_urdf, walls_urdf
from mapush.simulators.scene import Marker


def numbers(text: str) -> List[float]:
    return [float(value) for value in text.split()]


def collisions(text: str) -> List[Tuple[str, List[float], List[float]]]:
    """Kind, sizes and place of everything that collides."""
    found = []
    for collision in ElementTree.fromstring(text).iter("collision"):
        (shape,) = list(collision.find("geometry") or ())
        sizes = [value for text in shape.attrib.values() for value in numbers(text)]
        origin = collision.find("origin")
        assert origin is not None
        found.append((shape.tag, sizes, numbers(origin.attrib["xyz"])))
    return found


@pytest.mark.parametrize(
    ("exp", "shapes", "mass", "center", "inertia"),
    [
        ("cuboid", [("box", [1.2, 1.2, 0.5], [0, 0, 0])], 4, [0, 0, 0], (0.25, 0.25, 0.25)),
        (
            "Tblock",
            [("box", [1.0, 0.5, 0.5], [0, 0, 0]), ("box", [0.5, 0.5, 0.5], [0, 0.5, 0])],
            3,
            [0, 0.5 / 3, 0],
            # two of 0.01, and 2 kg and 1 kg half a metre apart along y
            (0.02 + 2 / 3 * 0.25, 0.02, 0.02 + 2 / 3 * 0.25),
        ),
        (
            "cylinder",
            [("cylinder", [1.5, 0.5], [0, 0, 0])],
            10,
            [0, 0, 0],
            (0.0833, 0.0833, 0.0417),
        ),
    ],
)
def test_the_object_is_the_published_one(
    exp: str,
    shapes: List[Tuple[str, List[float], List[float]]],
    mass: float,
    center: List[float],
    inertia: Tuple[float, ...],
) -> None:
    text = object_urdf(task_of(exp).object)
    assert collisions(text) == shapes
    link = ElementTree.fromstring(text).findall("link")
    assert len(link) == 1
    found = {each.tag: each.attrib for each in link[0].iter()}
    assert float(found["mass"]["value"]) == mass
    place = link[0].find("inertial/origin")
    assert place is not None
    assert numbers(place.attrib["xyz"]) == pytest.approx(center)
    diagonal = [float(found["inertia"][name]) for name in ("ixx", "iyy", "izz")]
    assert diagonal == pytest.approx(list(inertia), rel=1e-4)
    assert [float(found["inertia"][name]) for name in ("ixy", "ixz", "iyz")] == [0.0] * 3


def test_the_marker_touches_nothing() -> None:
    text = marker_urdf(Marker())
    assert collisions(text) == []
    assert '<cylinder radius="0.5" length="0.1"/>' in text


def test_the_walls_enclose_the_arena_without_a_gap() -> None:
    walls = collisions(walls_urdf(task_of("cuboid").arena))
    assert len(walls) == 4
    for _, (x, y, z), (at_x, at_y, at_z) in walls:
        assert (z, at_z) == (0.5, 0.25)
        near, far = (at_x, y) if at_x else (at_y, x)
        assert abs(near) - (x if at_x else y) / 2 == pytest.approx(12.0)
        assert far >= 24.0
