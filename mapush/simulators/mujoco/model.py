"""Builds the MuJoCo model of a scene: planar robots, the object, the ground.

A robot is a rigid body on two slides and a hinge that tracks velocity commands with limited force,
which is what a Go1 under its walking controller is to the thing it pushes. Its hull is made of
spheres, because MuJoCo's sphere contacts with boxes and cylinders are exact (its general convex
contact lets flat robots sink into a large cylinder). One robot model serves every scene.
"""

# MuJoCo's compiled modules say nothing of what they hold.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from dataclasses import dataclass

from mapush.robots.planar import ROBOT, RobotModel
from mapush.simulators.inertia import object_inertia
from mapush.simulators.mujoco.headless import mujoco
from mapush.simulators.scene import Box, Object, Scene


@dataclass(frozen=True)
class Physics:
    """How finely MuJoCo integrates a control step."""

    substeps: int = 2
    cone: str = "elliptic"
    iterations: int = 20


# Which kinds of shape touch: two do if a bit of one's contype is in the other's conaffinity.
_GROUND, _OBJECT, _HULL, _CAPSULE = 1, 2, 4, 8
PHYSICS = Physics()


def build_model(
    scene: Scene, robot: RobotModel = ROBOT, physics: Physics = PHYSICS
) -> mujoco.MjSpec:
    """Describe one environment; `compile()` of the result gives the model."""
    spec = mujoco.MjSpec()
    spec.modelname = scene.name
    spec.option.timestep = scene.step / physics.substeps
    spec.option.cone = getattr(mujoco.mjtCone, f"mjCONE_{physics.cone.upper()}")
    spec.option.iterations = physics.iterations
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.worldbody.add_geom(
        name="ground",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[scene.arena.size[0] / 2, scene.arena.size[1] / 2, 1.0],
        contype=_GROUND,
        conaffinity=0,
        friction=[scene.arena.friction, 0.005, 0.0001],
    )
    if scene.object is not None:
        _add_object(spec, scene.object)
    for index in range(scene.robots):
        _add_robot(spec, scene, robot, index)
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
            contype=_OBJECT,
            conaffinity=_GROUND | _HULL,
            priority=1,
            friction=[sum(thing.friction) / 2, 0.005, 0.0001],
        )


def _add_robot(spec: mujoco.MjSpec, scene: Scene, robot: RobotModel, index: int) -> None:
    name = f"robot_{index}"
    body = spec.worldbody.add_body(name=name, pos=[0, 0, robot.height])
    body.explicitinertial = True
    body.mass = robot.mass
    body.inertia = [robot.yaw_inertia] * 3
    for axis, (letter, size) in enumerate(zip("xy", scene.arena.size)):
        wall = size / 2 - robot.reach  # a stop on the slide: costs nothing until touched
        body.add_joint(
            name=f"{name}_{letter}",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[float(axis == 0), float(axis == 1), 0.0],
            range=[-wall, wall],
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        )
    body.add_joint(name=f"{name}_yaw", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
    friction = [robot.friction, 0.005, 0.0001]
    for number, (x, y, radius) in enumerate(robot.hull):
        body.add_geom(
            name=f"{name}_{number}",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[radius, 0.0, 0.0],
            pos=[x, y, 0.0],
            contype=_HULL,
            conaffinity=0,
            priority=2,
            friction=friction,
        )
    body.add_geom(
        name=f"{name}_capsule",
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        size=[*robot.capsule, 0.0],
        zaxis=[1.0, 0.0, 0.0],
        contype=_CAPSULE,
        conaffinity=_CAPSULE,
        friction=friction,
    )
    _add_controller(spec, body, robot)


def _add_controller(spec: mujoco.MjSpec, body: mujoco.MjsBody, robot: RobotModel) -> None:
    site = body.add_site(name=body.name)
    axes = (
        ("forward", 0, robot.mass, robot.force_limit),
        ("left", 1, robot.mass, robot.force_limit),
        ("turn", 5, robot.yaw_inertia, robot.torque_limit),
    )
    for (label, slot, inertia, limit), share in zip(axes, robot.tracking):
        actuator = spec.add_actuator(
            name=f"{body.name}_{label}",
            trntype=mujoco.mjtTrn.mjTRN_SITE,
            target=site.name,
            gear=[float(place == slot) for place in range(6)],
            forcerange=[-limit, limit],
            forcelimited=mujoco.mjtLimited.mjLIMITED_TRUE,
        )
        gain = inertia / robot.response_time
        actuator.set_to_velocity(kv=gain)
        actuator.gainprm[0] = share * gain
