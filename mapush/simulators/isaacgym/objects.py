"""Descriptions (URDF) of the object, the target's marker and the walls, made from the scene."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from mapush.simulators.inertia import object_inertia
from mapush.simulators.scene import Arena, Box, Marker, Object

WALL_THICKNESS = 0.2  # m

# Of what never moves: any will do, but without one Isaac Gym computes one from the shapes.
_FIXED = (
    '    <inertial><mass value="1"/>'
    '<inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
)


def object_urdf(thing: Object) -> str:
    """The object as one rigid link; its origin is half its height above the ground."""
    mass, center, inertia = object_inertia(thing)
    entries = {
        "ixx": inertia[0, 0],
        "ixy": inertia[0, 1],
        "ixz": inertia[0, 2],
        "iyy": inertia[1, 1],
        "iyz": inertia[1, 2],
        "izz": inertia[2, 2],
    }
    shapes = [
        (
            _box(shape.size) if isinstance(shape, Box) else _cylinder(shape.radius, shape.height),
            (*shape.center, (shape.height - thing.height) / 2),
        )
        for shape in thing.shapes
    ]
    inertial = [
        "    <inertial>",
        f'      <origin xyz="{_numbers(center.tolist())}" rpy="0 0 0"/>',
        f'      <mass value="{_number(mass)}"/>',
        "      <inertia "
        + " ".join(f'{name}="{_number(value)}"' for name, value in entries.items())
        + "/>",
        "    </inertial>",
    ]
    return _robot("object", [*inertial, *_geometries(shapes, collide=True)])


def marker_urdf(marker: Marker) -> str:
    """The target's marker: to be seen, not to be touched."""
    shape = _cylinder(marker.radius, marker.height)
    return _robot("target", [_FIXED, *_geometries([(shape, (0.0, 0.0, 0.0))], collide=False)])


def walls_urdf(arena: Arena) -> str:
    """Four walls around the arena, their origin at its centre on the ground."""
    width, depth = arena.size
    height, thick = arena.wall_height, WALL_THICKNESS
    x, y, z = (width + thick) / 2, (depth + thick) / 2, height / 2
    across = _box((thick, depth + 2 * thick, height))
    along = _box((width, thick, height))
    shapes = [
        (across, (x, 0.0, z)),
        (across, (-x, 0.0, z)),
        (along, (0.0, y, z)),
        (along, (0.0, -y, z)),
    ]
    return _robot("walls", [_FIXED, *_geometries(shapes, collide=True)])


def _robot(name: str, lines: Sequence[str]) -> str:
    body = "\n".join(lines)
    return (
        f'<?xml version="1.0"?>\n<robot name="{name}">\n  <link name="{name}">\n{body}\n'
        "  </link>\n</robot>\n"
    )


def _geometries(
    shapes: Sequence[Tuple[str, Tuple[float, float, float]]], collide: bool
) -> List[str]:
    return [
        f'    <{use}><origin xyz="{_numbers(place)}" rpy="0 0 0"/>'
        f"<geometry>{shape}</geometry></{use}>"
        for shape, place in shapes
        for use in (("visual", "collision") if collide else ("visual",))
    ]


def _box(size: Sequence[float]) -> str:
    return f'<box size="{_numbers(size)}"/>'


def _cylinder(radius: float, height: float) -> str:
    return f'<cylinder radius="{_number(radius)}" length="{_number(height)}"/>'


def _numbers(values: Sequence[float]) -> str:
    return " ".join(_number(value) for value in values)


def _number(value: float) -> str:
    return f"{float(value):.9g}"
