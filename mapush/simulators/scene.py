"""What a simulator is asked to simulate: one frozen, validated description of a scene.

Lengths are in metres, masses in kilograms, angles in radians, times in seconds. "Planar" means in
the ground plane.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple, Union

from pydantic import BaseModel, ConfigDict, Field, model_validator

Pair = Tuple[float, float]
Triple = Tuple[float, float, float]


class Spec(BaseModel):
    """Immutable; what is unknown, not finite or of another type ("2", True) is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def check_ascending(name: str, pair: Pair, lowest: Optional[float] = None) -> None:
    """Refuse a range that is none.

    Raises:
        ValueError: its ends are the wrong way round, or below `lowest`.
    """
    if pair[0] > pair[1] or (lowest is not None and pair[0] < lowest):
        bound = "" if lowest is None else f" and from {lowest:g} up"
        raise ValueError(f"{name} = {pair}: a range is (low, high) with low <= high{bound}")


class Box(Spec):
    """A box with its faces along the object's axes."""

    size: Triple = Field(description="full lengths along x, y and z")
    mass: float = Field(gt=0)
    inertia: Triple = Field(description="diagonal of the inertia about the box's centre, kg m^2")
    center: Pair = Field(default=(0.0, 0.0), description="x, y in the object's frame")

    @property
    def height(self) -> float:
        """Full height."""
        return self.size[2]

    @property
    def reach(self) -> float:
        """From its own centre to its farthest planar point."""
        return math.hypot(*self.size[:2]) / 2

    @model_validator(mode="after")
    def _check(self) -> Box:
        if min(self.size) <= 0:
            raise ValueError(f"size = {self.size}: every length must be greater than 0")
        if min(self.inertia) <= 0:
            raise ValueError(f"inertia = {self.inertia}: every entry must be greater than 0")
        return self


class Cylinder(Spec):
    """An upright cylinder."""

    radius: float = Field(gt=0)
    height: float = Field(gt=0)
    mass: float = Field(gt=0)
    inertia: Triple = Field(description="diagonal of the inertia about the centre, kg m^2")
    center: Pair = Field(default=(0.0, 0.0), description="x, y in the object's frame")

    @property
    def reach(self) -> float:
        """From its own centre to its farthest planar point."""
        return self.radius

    @model_validator(mode="after")
    def _check(self) -> Cylinder:
        if min(self.inertia) <= 0:
            raise ValueError(f"inertia = {self.inertia}: every entry must be greater than 0")
        return self


class Object(Spec):
    """A rigid thing on the ground: joined shapes."""

    shapes: Tuple[Union[Box, Cylinder], ...] = Field(min_length=1)
    friction: Pair = Field(description="range of the sliding friction, drawn per environment")

    @property
    def mass(self) -> float:
        """Sum over the shapes."""
        return sum(shape.mass for shape in self.shapes)

    @property
    def height(self) -> float:
        """Full height of the tallest shape."""
        return max(shape.height for shape in self.shapes)

    @property
    def reach(self) -> float:
        """From its origin, no planar point of it is farther than this."""
        return max(math.hypot(*shape.center) + shape.reach for shape in self.shapes)

    @model_validator(mode="after")
    def _check_friction(self) -> Object:
        check_ascending("friction", self.friction, lowest=0.0)
        return self


class Arena(Spec):
    """The walled ground."""

    size: Pair = Field(default=(24.0, 24.0), description="inner lengths along x and y")
    wall_height: float = Field(default=0.5, gt=0)
    friction: float = Field(default=0.1, ge=0, description="of the ground")

    @model_validator(mode="after")
    def _check(self) -> Arena:
        if min(self.size) <= 0:
            raise ValueError(f"size = {self.size}: every length must be greater than 0")
        return self


class Marker(Spec):
    """An upright cylinder that shows where a target is; it touches nothing."""

    radius: float = Field(default=0.5, gt=0)
    height: float = Field(default=0.1, gt=0)
    goal_radius: float = Field(
        default=0.0, ge=0, description="of the circle around it, for pictures; 0 for none"
    )


class Scene(Spec):
    """One environment, of which a simulator steps many."""

    name: str = Field(description="for people")
    robots: int = Field(ge=1, le=16)
    step: float = Field(default=0.02, gt=0, description="length of a control step, s")
    arena: Arena = Arena()
    object: Optional[Object] = None
    marker: Optional[Marker] = None
