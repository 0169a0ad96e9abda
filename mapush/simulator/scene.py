"""Builds the MuJoCo model of a task: planar robots, the object, the ground.

A robot is a rigid body on two slides and a hinge that tracks velocity commands with limited force,
which is what a Go1 under its walking controller is to the thing it pushes. Its hull is a row of
spheres, because MuJoCo's sphere contacts with boxes and cylinders are exact (its general convex
contact lets flat robots sink into a large cylinder). One robot model serves every task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import mujoco
import numpy as np

from mapush.task import Box, Object, PushTask


@dataclass(frozen=True)
class RobotModel:
    """A Go1 as the object feels it; found by the parity benchmark, the same for all tasks."""

    mass: float = 12.7  # kg
    yaw_inertia: float = 0.45  # kg m^2
    sphere_radius: float = 0.10  # m
    sphere_x: Tuple[float, ...] = (-0.22, -0.11, 0.0, 0.11, 0.22)  # m
    height: float = 0.25  # m, of the spheres' centres
    friction: float = 0.1  # hull against anything
    gain: float = 200.0  # N s/m
    force_limit: Tuple[float, float] = (60.0, 60.0)  # N, forward and sideways
    yaw_gain: float = 20.0  # N m s
    torque_limit: float = 4.0  # N m
    ground_share: float = 1.0  # weight of the object's own friction against the ground's


@dataclass(frozen=True)
class Physics:
    """How finely MuJoCo integrates a control step."""

    substeps: int = 2
    cone: str = "pyramidal"
    iterations: int = 20


ROBOT = RobotModel()
PHYSICS = Physics()


def object_inertia(thing: Object) -> Tuple[float, np.ndarray, np.ndarray]:
    """Mass (kg), centre of mass (3,) m and inertia (3, 3) kg m^2 about it, of joined shapes."""
    centers = np.array([[*shape.center, 0.0] for shape in thing.shapes])
    masses = np.array([shape.mass for shape in thing.shapes])
    center = masses @ centers / masses.sum()
    inertia = np.zeros((3, 3))
    for shape, offset in zip(thing.shapes, centers - center):
        inertia += np.diag(shape.inertia)
        inertia += shape.mass * (offset @ offset * np.eye(3) - np.outer(offset, offset))
    return float(masses.sum()), center, inertia


def build_scene(
    task: PushTask, robot: RobotModel = ROBOT, physics: Physics = PHYSICS
) -> mujoco.MjSpec:
    """Describe one environment of a task; `compile()` of the result gives the model."""
    spec = mujoco.MjSpec()
    spec.modelname = task.name
    spec.option.timestep = task.control.step / physics.substeps
    spec.option.cone = getattr(mujoco.mjtCone, f"mjCONE_{physics.cone.upper()}")
    spec.option.iterations = physics.iterations
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.worldbody.add_geom(
        name="ground",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[task.arena.size[0] / 2, task.arena.size[1] / 2, 1.0],
        contype=1,
        conaffinity=0,
        friction=[task.arena.friction, 0.005, 0.0001],
    )
    _add_object(spec, task.object)
    for index in range(task.robots.count):
        _add_robot(spec, task, robot, index)
    return spec


def _add_object(spec: mujoco.MjSpec, thing: Object) -> None:
    mass, center, inertia = object_inertia(thing)
    body = spec.worldbody.add_body(name="object", pos=[0, 0, thing.height / 2])
    body.add_freejoint(name="object")
    body.explicitinertial = True
    body.mass = mass
    body.ipos = center
    body.fullinertia = [
        inertia[0, 0],
        inertia[1, 1],
        inertia[2, 2],
        inertia[0, 1],
        inertia[0, 2],
        inertia[1, 2],
    ]
    for index, shape in enumerate(thing.shapes):
        if isinstance(shape, Box):
            kind, size = mujoco.mjtGeom.mjGEOM_BOX, [length / 2 for length in shape.size]
        else:
            kind, size = mujoco.mjtGeom.mjGEOM_CYLINDER, [shape.radius, shape.height / 2, 0.0]
        body.add_geom(
            name=f"object_{index}",
            type=kind,
            size=size,
            pos=[*shape.center, (shape.height - thing.height) / 2],
            contype=2,
            conaffinity=1,
            priority=1,
            friction=[sum(thing.friction) / 2, 0.005, 0.0001],
        )


def _add_robot(spec: mujoco.MjSpec, task: PushTask, robot: RobotModel, index: int) -> None:
    name = f"robot_{index}"
    reach = robot.sphere_radius + max(robot.sphere_x)
    body = spec.worldbody.add_body(name=name, pos=[0, 0, robot.height])
    body.explicitinertial = True
    body.mass = robot.mass
    body.inertia = [robot.yaw_inertia] * 3
    for axis, (letter, size) in enumerate(zip("xy", task.arena.size)):
        wall = size / 2 - reach  # a stop on the slide is a wall that costs nothing until touched
        body.add_joint(
            name=f"{name}_{letter}",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[float(axis == 0), float(axis == 1), 0.0],
            range=[-wall, wall],
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        )
    body.add_joint(name=f"{name}_yaw", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
    site = body.add_site(name=name)
    for number, x in enumerate(robot.sphere_x):
        body.add_geom(
            name=f"{name}_{number}",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[robot.sphere_radius, 0.0, 0.0],
            pos=[x, 0.0, 0.0],
            contype=2,
            conaffinity=2,
            priority=2,
            friction=[robot.friction, 0.005, 0.0001],
        )
    limits = (*robot.force_limit, robot.torque_limit)
    gains = (robot.gain, robot.gain, robot.yaw_gain)
    for axis, (label, gain, limit) in enumerate(zip(("forward", "left", "turn"), gains, limits)):
        slot = 5 if label == "turn" else axis
        actuator = spec.add_actuator(
            name=f"{name}_{label}",
            trntype=mujoco.mjtTrn.mjTRN_SITE,
            target=site.name,
            gear=[float(place == slot) for place in range(6)],
            forcerange=[-limit, limit],
            forcelimited=mujoco.mjtLimited.mjLIMITED_TRUE,
        )
        actuator.set_to_velocity(kv=gain)
