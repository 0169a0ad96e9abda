"""The scene's step as a Warp kernel: one thread for each environment."""

from __future__ import annotations

from typing import Any

import warp as wp

from mapush.simulators.planar.bodies import Body, perpendicular, turn
from mapush.simulators.planar.constants import Constants
from mapush.simulators.planar.contacts import Contact
from mapush.simulators.planar.ground import Support
from mapush.simulators.planar.substep import advance

BODY_SIZE = wp.constant(6)
"""Numbers of a body in a state: x, y, yaw of its origin and their rates; m, rad, s."""


@wp.func
def load_bodies(state: wp.array2d(dtype=float), e: int, k: Constants, bodies: wp.array(dtype=Body)):
    """Take the bodies of one environment out of a batch's state."""
    for i in range(bodies.shape[0]):
        at = BODY_SIZE * i
        body = Body()
        body.position = wp.vec2(state[e, at], state[e, at + 1])
        body.yaw = state[e, at + 2]
        body.velocity = wp.vec2(state[e, at + 3], state[e, at + 4])
        body.spin = state[e, at + 5]
        body.facing = wp.vec2(wp.cos(body.yaw), wp.sin(body.yaw))
        if i == 0:
            center = turn(k.center, body.facing)
            body.position = body.position + center
            body.velocity = body.velocity + body.spin * perpendicular(center)
            body.inverse_mass = 1.0 / k.mass
            body.inverse_inertia = 1.0 / k.inertia
        else:
            body.inverse_mass = 1.0 / k.robot_mass
            body.inverse_inertia = 1.0 / k.robot_inertia
        bodies[i] = body


@wp.func
def store_bodies(
    state: wp.array2d(dtype=float), e: int, k: Constants, bodies: wp.array(dtype=Body)
):
    """Put them back."""
    for i in range(bodies.shape[0]):
        at = BODY_SIZE * i
        body = bodies[i]
        if i == 0:
            center = turn(k.center, body.facing)
            body.position = body.position - center
            body.velocity = body.velocity - body.spin * perpendicular(center)
        state[e, at] = body.position[0]
        state[e, at + 1] = body.position[1]
        state[e, at + 2] = body.yaw
        state[e, at + 3] = body.velocity[0]
        state[e, at + 4] = body.velocity[1]
        state[e, at + 5] = body.spin


@wp.func
def read_bodies(bodies: wp.array(dtype=Body), k: Constants, state: wp.array(dtype=float)):
    """Say where everything is, as `mapush.simulators.base.State`, its numbers in order.

    x, y, yaw of every robot; of the object, if `state` has room for it, x, y, yaw, velocity and
    height.
    """
    robots = bodies.shape[0] - 1
    for i in range(robots):
        body = bodies[i + 1]
        state[3 * i] = body.position[0]
        state[3 * i + 1] = body.position[1]
        state[3 * i + 2] = body.yaw
    at = 3 * robots
    if state.shape[0] > at:
        thing = bodies[0]
        center = turn(k.center, thing.facing)
        state[at] = thing.position[0] - center[0]
        state[at + 1] = thing.position[1] - center[1]
        state[at + 2] = thing.yaw
        velocity = thing.velocity - thing.spin * perpendicular(center)
        state[at + 3] = velocity[0]
        state[at + 4] = velocity[1]
        state[at + 5] = k.height


@wp.func
def place_bodies(start: wp.array(dtype=float), k: Constants, bodies: wp.array(dtype=Body)) -> float:
    """Put everything where `start` says, and give the friction of the object on the ground.

    Args:
        start: the numbers of a `mapush.simulators.base.Start`, in order: x, y, yaw of every robot,
            velocities of every robot and, where there is an object, its x, y, yaw and friction;
            what follows is not the simulator's.
        k: the scene.
        bodies: are set.
    """
    robots = bodies.shape[0] - 1
    for i in range(robots):
        body = bodies[i + 1]
        body.position = wp.vec2(start[3 * i], start[3 * i + 1])
        body.yaw = start[3 * i + 2]
        body.facing = wp.vec2(wp.cos(body.yaw), wp.sin(body.yaw))
        at = 3 * robots + 2 * i
        body.velocity = wp.vec2(start[at], start[at + 1])
        body.spin = 0.0
        bodies[i + 1] = body
    at = 5 * robots
    if k.shapes.shape[0] == 0:
        return 0.0
    thing = bodies[0]
    thing.yaw = start[at + 2]
    thing.facing = wp.vec2(wp.cos(thing.yaw), wp.sin(thing.yaw))
    thing.position = wp.vec2(start[at], start[at + 1]) + turn(k.center, thing.facing)
    thing.velocity = wp.vec2(0.0, 0.0)
    thing.spin = 0.0
    bodies[0] = thing
    return k.drawn_share * start[at + 3] + (1.0 - k.drawn_share) * k.ground_friction


def make_step(robots: int, supports: int, room: int, substeps: int, module: wp.Module) -> Any:  # noqa: ANN401 - a Warp kernel
    """The kernel that steps every environment once.

    Args:
        robots: in a scene.
        supports: points that its object stands on.
        room: for contacts, see `mapush.simulators.planar.room`.
        substeps: of a control step.
        module: where the kernel is compiled.
    """
    count, points = robots + 1, max(supports, 1)

    @wp.kernel(module=module, enable_backward=False)
    def control_step(
        state: wp.array2d(dtype=float),
        command: wp.array2d(dtype=wp.vec3),
        friction: wp.array(dtype=float),
        k: Constants,
        first: int,
    ):
        e = wp.tid() + first
        bodies = wp.zeros(shape=count, dtype=Body)
        contacts = wp.zeros(shape=room, dtype=Contact)
        standing = wp.zeros(shape=points, dtype=Support)
        commands = wp.zeros(shape=robots, dtype=wp.vec3)
        load_bodies(state, e, k, bodies)
        for i in range(robots):
            commands[i] = command[e, i]
        for _ in range(substeps):
            advance(bodies, commands, k, contacts, standing, friction[e])
        store_bodies(state, e, k, bodies)

    return control_step
