"""What a pushing task is: one frozen, validated object.

The defaults are the figures of the published task (arXiv 2411.07104 and its repository); a task
folder states what differs. Lengths are in metres, masses in kilograms, angles in radians, times in
seconds. "Planar" means in the ground plane.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple

from pydantic import Field, model_validator

from mapush.simulators import scene
from mapush.simulators.scene import Arena, Box, Cylinder, Pair, Spec, Triple, check_ascending

ACTION_SIZE = 3  # forward, left, turn


class Object(scene.Object):
    """The thing to push: rigidly joined shapes that stand on the ground."""

    footprint: Tuple[Pair, ...] = Field(
        min_length=3, description="polygon of the OCB reward, counter-clockwise, object's frame"
    )

    @model_validator(mode="after")
    def _check_footprint(self) -> Object:
        corners = zip(self.footprint, self.footprint[1:] + self.footprint[:1])
        if sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in corners) <= 0:
            raise ValueError(
                f"footprint = {self.footprint}: the corners must go round counter-clockwise"
            )
        return self


class Robots(Spec):
    """The team and where its members start."""

    count: int = Field(ge=1, le=16)
    start_distance: Pair = Field(default=(1.2, 1.3), description="from the object's centre")
    start_yaw: Pair = (-0.01, 2 * math.pi)
    start_speed: float = Field(default=0.1, ge=0, description="planar, +- per axis, m/s")

    @model_validator(mode="after")
    def _check(self) -> Robots:
        check_ascending("start_distance", self.start_distance, lowest=0.0)
        check_ascending("start_yaw", self.start_yaw)
        return self


class Control(Spec):
    """From the network's three numbers to a body-frame velocity: limit * clip(gain * a, -1, 1).

    `decimation` is the number of control steps for which an action is held, where the command
    line or the learner's configuration does not say another; None leaves it to these.
    """

    step: float = Field(default=0.02, gt=0, description="length of a control step, s")
    gain: float = Field(default=0.5, gt=0)
    limit: Triple = Field(default=(0.5, 0.5, 0.5), description="m/s forward, m/s left, rad/s")
    decimation: Optional[int] = Field(default=None, ge=1, description="control steps per decision")

    @model_validator(mode="after")
    def _check(self) -> Control:
        if min(self.limit) <= 0:
            raise ValueError(f"limit = {self.limit}: every entry must be greater than 0")
        return self


class Goal(Spec):
    """Where the object is to go and when it has arrived."""

    distance: Pair = Field(default=(1.5, 3.0), description="object to target at the start")
    radius: float = Field(default=1.0, gt=0, description="object to target that is success")
    marker_radius: float = Field(default=0.5, gt=0)
    marker_height: float = Field(default=0.1, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Goal:
        check_ascending("distance", self.distance, lowest=0.0)
        if self.distance[0] <= self.radius:
            raise ValueError(
                f"distance = {self.distance}: must start above radius = {self.radius:g}, "
                "else an episode begins solved"
            )
        return self


class Termination(Spec):
    """What ends an episode, success apart."""

    control_steps: int = Field(default=1000, ge=1, description="length of an episode")
    robot_distance: float = Field(default=0.25, ge=0, description="two bases closer: exception")
    roll: float = Field(default=0.8, gt=0)
    pitch: float = Field(default=1.6, gt=0)
    height_change: float = Field(default=0.35, gt=0)


class Rewards(Spec):
    """Weights of the reward terms, per control step: see the table in `reward`."""

    reach_target: float = 10.0
    exception: float = -5.0
    distance_to_target: float = 0.325
    approach: float = -0.00075
    collision: float = -0.0025
    push: float = 0.0015
    push_speed: float = Field(default=0.1, ge=0, description="object speed that counts, m/s")
    ocb: float = 0.004


class Metrics(Spec):
    """What the evaluation counts."""

    collaboration_distance: float = Field(
        default=1.0, gt=0, description="robot to object centre that counts as taking part"
    )


class PushTask(Spec):
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
    def scene(self) -> scene.Scene:
        """What a simulator is to simulate."""
        return scene.Scene(
            name=self.name,
            robots=self.robots.count,
            step=self.control.step,
            arena=self.arena,
            object=scene.Object(shapes=self.object.shapes, friction=self.object.friction),
            marker=scene.Marker(
                radius=self.goal.marker_radius,
                height=self.goal.marker_height,
                goal_radius=self.goal.radius,
            ),
        )

    @property
    def agents(self) -> int:
        """How many act: the robots."""
        return self.robots.count

    @property
    def observation_size(self) -> int:
        """Length of one robot's observation: 2 + 3 n for n robots."""
        return 2 + 3 * self.robots.count

    @property
    def angles(self) -> Tuple[int, ...]:
        """Where the angles stand in an observation: last of the object's and each other's three."""
        return tuple(range(4, self.observation_size, 3))

    @property
    def action_size(self) -> int:
        """Length of one robot's action: forward, left, turn."""
        return ACTION_SIZE

    @property
    def control_steps(self) -> int:
        """Length of an episode."""
        return self.termination.control_steps

    @property
    def decimation(self) -> Optional[int]:
        """Control steps per decision, where the task says."""
        return self.control.decimation

    @model_validator(mode="after")
    def _check(self) -> PushTask:
        check_ascending("object_yaw", self.object_yaw)
        reach = min(self.arena.size) / 2
        if self.goal.distance[1] >= reach:
            raise ValueError(
                f"goal.distance = {self.goal.distance}: must stay below {reach:g} m, "
                "half the arena, else targets lie outside the walls"
            )
        return self


CONSTRUCTORS = (
    *(Arena, Box, Control, Cylinder, Goal, Metrics, Object),
    *(PushTask, Rewards, Robots, Termination),
)
