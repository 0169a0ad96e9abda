"""What a pushing task is: one frozen, validated object.

The defaults are the figures of the published task (arXiv 2411.07104 and its repository); a task
folder states what differs. Lengths are in metres, masses in kilograms, angles in radians, times in
seconds. "Planar" means in the ground plane.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple, Union

from pydantic import BaseModel, ConfigDict, Field, model_validator

Pair = Tuple[float, float]
Triple = Tuple[float, float, float]


class _Spec(BaseModel):
    """Immutable; what is unknown, not finite or of another type ("2", True) is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _ascending(name: str, pair: Pair, lowest: Optional[float] = None) -> None:
    if pair[0] > pair[1] or (lowest is not None and pair[0] < lowest):
        bound = "" if lowest is None else f" and from {lowest:g} up"
        raise ValueError(f"{name} = {pair}: a range is (low, high) with low <= high{bound}")


class Box(_Spec):
    """A box with its faces along the object's axes."""

    size: Triple = Field(description="full lengths along x, y and z")
    mass: float = Field(gt=0)
    inertia: Triple = Field(description="diagonal of the inertia about the box's centre, kg m^2")
    center: Pair = Field(default=(0.0, 0.0), description="x, y in the object's frame")

    @property
    def height(self) -> float:
        """Full height."""
        return self.size[2]

    @model_validator(mode="after")
    def _check(self) -> Box:
        if min(self.size) <= 0:
            raise ValueError(f"size = {self.size}: every length must be greater than 0")
        if min(self.inertia) <= 0:
            raise ValueError(f"inertia = {self.inertia}: every entry must be greater than 0")
        return self


class Cylinder(_Spec):
    """An upright cylinder."""

    radius: float = Field(gt=0)
    height: float = Field(gt=0)
    mass: float = Field(gt=0)
    inertia: Triple = Field(description="diagonal of the inertia about the centre, kg m^2")
    center: Pair = Field(default=(0.0, 0.0), description="x, y in the object's frame")

    @model_validator(mode="after")
    def _check(self) -> Cylinder:
        if min(self.inertia) <= 0:
            raise ValueError(f"inertia = {self.inertia}: every entry must be greater than 0")
        return self


class Object(_Spec):
    """The thing to push: rigidly joined shapes that stand on the ground."""

    shapes: Tuple[Union[Box, Cylinder], ...] = Field(min_length=1)
    footprint: Tuple[Pair, ...] = Field(
        min_length=3, description="polygon of the OCB reward, counter-clockwise, object's frame"
    )
    friction: Pair = Field(description="range of the sliding friction, drawn per environment")

    @property
    def mass(self) -> float:
        """Sum over the shapes."""
        return sum(shape.mass for shape in self.shapes)

    @property
    def height(self) -> float:
        """Full height of the tallest shape."""
        return max(shape.height for shape in self.shapes)

    @model_validator(mode="after")
    def _check(self) -> Object:
        _ascending("friction", self.friction, lowest=0.0)
        corners = zip(self.footprint, self.footprint[1:] + self.footprint[:1])
        if sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in corners) <= 0:
            raise ValueError(
                f"footprint = {self.footprint}: the corners must go round counter-clockwise"
            )
        return self


class Robots(_Spec):
    """The team and where its members start."""

    count: int = Field(ge=1, le=16)
    start_distance: Pair = Field(default=(1.2, 1.3), description="from the object's centre")
    start_yaw: Pair = (-0.01, 2 * math.pi)
    start_speed: float = Field(default=0.1, ge=0, description="planar, +- per axis, m/s")

    @model_validator(mode="after")
    def _check(self) -> Robots:
        _ascending("start_distance", self.start_distance, lowest=0.0)
        _ascending("start_yaw", self.start_yaw)
        return self


class Control(_Spec):
    """From the network's three numbers to a body-frame velocity: limit * clip(gain * a, -1, 1)."""

    step: float = Field(default=0.02, gt=0, description="length of a control step, s")
    gain: float = Field(default=0.5, gt=0)
    limit: Triple = Field(default=(0.5, 0.5, 0.5), description="m/s forward, m/s left, rad/s")

    @model_validator(mode="after")
    def _check(self) -> Control:
        if min(self.limit) <= 0:
            raise ValueError(f"limit = {self.limit}: every entry must be greater than 0")
        return self


class Goal(_Spec):
    """Where the object is to go and when it has arrived."""

    distance: Pair = Field(default=(1.5, 3.0), description="object to target at the start")
    radius: float = Field(default=1.0, gt=0, description="object to target that is success")
    marker_radius: float = Field(default=0.5, gt=0)
    marker_height: float = Field(default=0.1, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Goal:
        _ascending("distance", self.distance, lowest=0.0)
        if self.distance[0] <= self.radius:
            raise ValueError(
                f"distance = {self.distance}: must start above radius = {self.radius:g}, "
                "else an episode begins solved"
            )
        return self


class Arena(_Spec):
    """The walled ground."""

    size: Pair = Field(default=(24.0, 24.0), description="inner lengths along x and y")
    wall_height: float = Field(default=0.5, gt=0)
    friction: float = Field(default=0.1, ge=0, description="of the ground")

    @model_validator(mode="after")
    def _check(self) -> Arena:
        if min(self.size) <= 0:
            raise ValueError(f"size = {self.size}: every length must be greater than 0")
        return self


class Termination(_Spec):
    """What ends an episode, success apart."""

    control_steps: int = Field(default=1000, ge=1, description="length of an episode")
    robot_distance: float = Field(default=0.25, ge=0, description="two bases closer: exception")
    roll: float = Field(default=0.8, gt=0)
    pitch: float = Field(default=1.6, gt=0)
    height_change: float = Field(default=0.35, gt=0)


class Rewards(_Spec):
    """Scales of the reward terms, per control step."""

    reach_target: float = 10.0
    exception: float = -5.0
    distance_to_target: float = 0.325
    approach: float = -0.00075
    collision: float = -0.0025
    push: float = 0.0015
    push_speed: float = Field(default=0.1, ge=0, description="object speed that counts, m/s")
    ocb: float = 0.004


class Metrics(_Spec):
    """What the evaluation counts."""

    collaboration_distance: float = Field(
        default=1.0, gt=0, description="robot to object centre that counts as taking part"
    )


class PushTask(_Spec):
    """Everything a simulator and an environment need to know of a task."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    robots: Robots
    object: Object
    control: Control = Control()
    goal: Goal = Goal()
    arena: Arena = Arena()
    termination: Termination = Termination()
    rewards: Rewards = Rewards()
    metrics: Metrics = Metrics()
    object_yaw: Pair = Field(default=(-0.01, 2 * math.pi), description="at the start")

    @property
    def observation_size(self) -> int:
        """Length of one robot's observation: 2 + 3 n for n robots."""
        return 2 + 3 * self.robots.count

    @model_validator(mode="after")
    def _check(self) -> PushTask:
        _ascending("object_yaw", self.object_yaw)
        reach = min(self.arena.size) / 2
        if self.goal.distance[1] >= reach:
            raise ValueError(
                f"goal.distance = {self.goal.distance}: must stay below {reach:g} m, "
                "half the arena, else targets lie outside the walls"
            )
        return self
