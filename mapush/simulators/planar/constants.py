"""What a scene and a robot model are to the kernel: numbers."""

# pyright: reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportAttributeAccessIssue=false
from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np
import warp as wp

from mapush.robots.planar import ROBOT, RobotModel
from mapush.simulators.inertia import object_inertia
from mapush.simulators.scene import Box, Object, Scene

GRAVITY = 9.81  # m/s^2, as MuJoCo's default
SUBSTEPS = 2
"""Of a control step, as of MuJoCo's."""


@wp.struct
class Constants:
    """One scene and robot model; object's frame for what is said of the object.

    Attributes:
        mass, inertia: of the object, kg and kg m^2 about the vertical through its centre of mass.
        center: that centre, m from the object's origin.
        height: of the object's origin above the ground, m.
        object_reach: no point of the object is farther from its origin, m.
        shapes: x, y of the centre and half lengths along x and y of every shape, m.
        roundings: radius by which each is larger, m: a cylinder has only that.
        supports: x, y from the centre of mass, m, and load, N, of every point it stands on.
        spread: xx, xy, yy of the inverse of the supports' second moments, 1/m^2.
        push_height: of the centre of mass, m; 0 keeps the loads as they are.
        object_weight, robot_weight: MuJoCo's `body_invweight0` of both, 1/kg.
        drawn_share: weight of the object's drawn friction against the ground's own.
        ground_friction: the ground's.
        robot_mass, robot_inertia: kg, kg m^2.
        spheres: x, y in the robot's frame and radius of the hull, m.
        hull_reach: no point of the hull is farther from the base, m.
        capsule_radius, capsule_half: of what touches other robots, m.
        friction: of the hull against objects.
        gain, turn_gain: of the servo, N s/m and N m s.
        tracking: shares of the commanded velocities.
        force, torque: limits, N and N m.
        wall: where a robot's base is stopped, +- m.
        step: of one substep, s.
    """

    mass: float
    inertia: float
    center: wp.vec2
    height: float
    object_reach: float
    shapes: wp.array(dtype=wp.vec4)
    roundings: wp.array(dtype=float)
    supports: wp.array(dtype=wp.vec3)
    spread: wp.vec3
    push_height: float
    object_weight: float
    robot_weight: float
    drawn_share: float
    ground_friction: float
    robot_mass: float
    robot_inertia: float
    spheres: wp.array(dtype=wp.vec3)
    hull_reach: float
    capsule_radius: float
    capsule_half: float
    friction: float
    gain: float
    turn_gain: float
    tracking: wp.vec3
    force: float
    torque: float
    wall: wp.vec2
    step: float


def make_constants(scene: Scene, device: str, robot: RobotModel = ROBOT) -> Constants:
    """Work them out, with their arrays on a Warp device."""
    k = Constants()
    shapes, roundings, supports = _no_object(k)
    if scene.object is not None:
        shapes, roundings, supports = _put_object(k, scene.object)
    k.shapes = wp.array(np.array(shapes, np.float32).reshape(-1, 4), dtype=wp.vec4, device=device)
    k.roundings = wp.array(np.array(roundings, np.float32), dtype=float, device=device)
    k.supports = wp.array(
        np.array(supports, np.float32).reshape(-1, 3), dtype=wp.vec3, device=device
    )
    k.drawn_share, k.ground_friction = robot.ground_share, scene.arena.friction
    k.robot_mass, k.robot_inertia = robot.mass, robot.yaw_inertia
    # Two of the base's three directions are free.
    k.robot_weight = 2.0 / 3.0 / robot.mass
    k.spheres = wp.array(np.array(robot.hull, np.float32), dtype=wp.vec3, device=device)
    k.hull_reach = max(math.hypot(x, y) + radius for x, y, radius in robot.hull)
    k.capsule_radius, k.capsule_half = robot.capsule
    k.friction = robot.friction
    k.gain, k.turn_gain = (
        robot.mass / robot.response_time,
        robot.yaw_inertia / robot.response_time,
    )
    k.tracking = wp.vec3(*robot.tracking)
    k.force, k.torque = robot.force_limit, robot.torque_limit
    k.wall = wp.vec2(*(size / 2 - robot.reach for size in scene.arena.size))
    k.step = scene.step / SUBSTEPS
    return k


_Rows = Tuple[List[Tuple[float, ...]], List[float], np.ndarray]


def _no_object(k: Constants) -> _Rows:
    k.mass = k.inertia = math.inf
    return [], [], np.zeros((0, 3))


def _put_object(k: Constants, thing: Object) -> _Rows:
    mass, center, inertia = object_inertia(thing)
    k.mass, k.inertia = mass, float(inertia[2, 2])
    k.center = wp.vec2(float(center[0]), float(center[1]))
    k.object_reach = thing.reach
    k.object_weight = 1.0 / mass
    k.push_height = k.height = thing.height / 2
    shapes: List[Tuple[float, ...]] = []
    roundings: List[float] = []
    points: List[Tuple[float, float]] = []
    for shape in thing.shapes:
        x, y = shape.center
        if isinstance(shape, Box):
            half = (shape.size[0] / 2, shape.size[1] / 2)
            shapes.append((x, y, *half))
            roundings.append(0.0)
            points += [(x + i * half[0], y + j * half[1]) for i in (-1, 1) for j in (-1, 1)]
        else:
            shapes.append((x, y, 0.0, 0.0))
            roundings.append(shape.radius)
            turns = (2 * math.pi * third / 3 for third in range(3))
            points += [
                (x + shape.radius * math.cos(t), y + shape.radius * math.sin(t)) for t in turns
            ]
    arms = np.array(points) - center[:2]
    # Loads a + b.x of least squares whose resultant is the weight at the centre of mass.
    columns = np.column_stack((np.ones(len(arms)), arms))
    loads = columns @ np.linalg.solve(columns.T @ columns, [mass * GRAVITY, 0.0, 0.0])
    spread = arms - arms.mean(axis=0)
    inverse = np.linalg.inv(spread.T @ spread)
    k.spread = wp.vec3(float(inverse[0, 0]), float(inverse[0, 1]), float(inverse[1, 1]))
    return shapes, roundings, np.column_stack((arms, loads))
