"""One substep of one scene: servos, contacts, friction, the sweeps that solve them, motion."""

from __future__ import annotations

import warp as wp

from mapush.simulators.planar.bodies import Body
from mapush.simulators.planar.constants import Constants
from mapush.simulators.planar.contacts import Contact, find_capsules, find_hull, find_walls
from mapush.simulators.planar.ground import Support, grip, stand
from mapush.simulators.planar.servo import drive, move_robot
from mapush.simulators.planar.touch import prepare, push_on_object, relax

SWEEPS = wp.constant(12)
"""At most; fewer where no force changes any more."""
SETTLED = wp.constant(1.0e-3)
"""N: where all together change by less, the sweeps end."""
STILL = wp.constant(1.0e-6)
"""m/s: an untouched object that moves more slowly rests."""


@wp.func
def find_contacts(
    bodies: wp.array(dtype=Body), k: Constants, contacts: wp.array(dtype=Contact)
) -> int:
    """Fill `contacts` with all that touches, ready for the sweeps; how many there are."""
    robots = bodies.shape[0]
    count = int(0)
    for i in range(1, robots):
        count = find_hull(bodies, k, i, contacts, count)
    for i in range(1, robots):
        for j in range(i + 1, robots):
            count = find_capsules(bodies, k, i, j, contacts, count)
    for i in range(1, robots):
        count = find_walls(bodies, k, i, contacts, count)
    for c in range(count):
        contacts[c] = prepare(bodies, k, contacts[c])
    return count


@wp.func
def solve(
    bodies: wp.array(dtype=Body),
    k: Constants,
    contacts: wp.array(dtype=Contact),
    count: int,
    supports: wp.array(dtype=Support),
    friction: float,
):
    """Find all accelerations by sweeps from zero forces: the ground, then contact by contact."""
    has_object = k.shapes.shape[0] > 0
    mobility = wp.mat33(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    if has_object:
        for i in range(k.supports.shape[0]):
            supports[i] = stand(bodies[0], k, i)
    for _ in range(SWEEPS):
        changed = float(0.0)
        if has_object:
            before = bodies[0]
            push = push_on_object(contacts, count)
            mobility = grip(bodies, supports, k, friction, push)
            gained = bodies[0].acceleration - before.acceleration
            turned = bodies[0].angular - before.angular
            changed = k.mass * wp.length(gained) + k.inertia * wp.abs(turned)
        for c in range(count):
            changed = changed + relax(bodies, contacts, c, k.friction, mobility)
        if changed < SETTLED:
            break


@wp.func
def advance(
    bodies: wp.array(dtype=Body),
    commands: wp.array(dtype=wp.vec3),
    k: Constants,
    contacts: wp.array(dtype=Contact),
    supports: wp.array(dtype=Support),
    friction: float,
):
    """Move everything by one substep.

    Args:
        bodies: the object and the robots.
        commands: forward, left and turning velocity of every robot, in its frame.
        k: the scene.
        contacts: room for as many as there can be, see `mapush.simulators.planar.room`.
        supports: likewise, as many as the object has.
        friction: of the object on the ground.
    """
    for i in range(1, bodies.shape[0]):
        bodies[i] = drive(bodies[i], commands[i - 1], k)
    thing = bodies[0]
    thing.acceleration = wp.vec2(0.0, 0.0)
    thing.angular = 0.0
    bodies[0] = thing
    count = find_contacts(bodies, k, contacts)
    touched = bool(False)
    for c in range(count):
        touched = touched or contacts[c].second == 0
    moving = wp.length(thing.velocity) + wp.abs(thing.spin) > STILL
    if count > 0 or moving:
        solve(bodies, k, contacts, count, supports, friction)
    thing = bodies[0]
    if not touched and not moving:
        thing.velocity = wp.vec2(0.0, 0.0)
        thing.spin = 0.0
    else:
        thing.velocity = thing.velocity + k.step * thing.acceleration
        thing.spin = thing.spin + k.step * thing.angular
    bodies[0] = displaced(thing, k.step)
    for i in range(1, bodies.shape[0]):
        bodies[i] = displaced(move_robot(bodies[i], commands[i - 1], k, k.step), k.step)


@wp.func
def displaced(body: Body, step: float) -> Body:
    """The body where its velocity takes it in `step` s."""
    result = body
    result.position = body.position + step * body.velocity
    result.yaw = body.yaw + step * body.spin
    result.facing = wp.vec2(wp.cos(result.yaw), wp.sin(result.yaw))
    return result
