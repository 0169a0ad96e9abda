"""The force between two bodies that touch: what it is asked for, and a step towards it."""

from __future__ import annotations

import warp as wp

from mapush.simulators.planar.bodies import (
    Body,
    accelerated,
    compliance,
    cross,
    perpendicular,
    point_acceleration,
    point_velocity,
    pushed,
)
from mapush.simulators.planar.constants import Constants
from mapush.simulators.planar.contacts import Contact
from mapush.simulators.planar.soft import DAMPING, STIFFNESS, impedance, softness


@wp.func
def prepare(bodies: wp.array(dtype=Body), k: Constants, contact: Contact) -> Contact:
    """The contact with what a substep's sweeps need: its reference and its give."""
    result = contact
    first = bodies[contact.first]
    velocity = point_velocity(first, contact.arm)
    weight = k.robot_weight
    if contact.second >= 0:
        velocity = velocity - point_velocity(bodies[contact.second], contact.opposite)
        weight = weight + wp.where(contact.second == 0, k.object_weight, k.robot_weight)
    else:
        weight = first.inverse_mass  # MuJoCo takes that of the one joint that a stop acts on
    share = impedance(contact.depth)
    result.reference = wp.vec2(
        -DAMPING * wp.dot(velocity, contact.normal) - STIFFNESS * share * contact.depth,
        -DAMPING * wp.dot(velocity, perpendicular(contact.normal)),
    )
    result.give = softness(share, weight)
    result.force = wp.vec2(0.0, 0.0)
    return result


@wp.func
def push_on_object(contacts: wp.array(dtype=Contact), count: int) -> wp.vec3:
    """Force, N, and torque, N m, of all contacts on the object."""
    push = wp.vec3(0.0, 0.0, 0.0)
    for c in range(count):
        contact = contacts[c]
        if contact.second == 0:
            force = -contact.force[0] * contact.normal - contact.force[1] * perpendicular(
                contact.normal
            )
            push = push + wp.vec3(force[0], force[1], cross(contact.opposite, force))
    return push


@wp.func
def answer(
    body: Body, is_object: bool, mobility: wp.mat33, arm: wp.vec2, direction: wp.vec2
) -> wp.vec3:
    """What a unit of force at a point along a unit vector accelerates a body: m/s^2, rad/s^2.

    Args:
        body: whose answer it is.
        is_object: whether it stands on the ground.
        mobility: of the object, which the ground holds.
        arm: from its centre of mass, m.
        direction: of the force.
    """
    lever = cross(arm, direction)
    if is_object:
        return mobility * wp.vec3(direction[0], direction[1], lever)
    return wp.vec3(
        body.inverse_mass * direction[0],
        body.inverse_mass * direction[1],
        body.inverse_inertia * lever,
    )


@wp.func
def felt(answered: wp.vec3, arm: wp.vec2, direction: wp.vec2) -> float:
    """How much of a body's answer there is at the point along the unit vector, 1/kg."""
    return (
        answered[0] * direction[0]
        + answered[1] * direction[1]
        + answered[2] * cross(arm, direction)
    )


@wp.func
def relax(
    bodies: wp.array(dtype=Body),
    contacts: wp.array(dtype=Contact),
    i: int,
    friction: float,
    mobility: wp.mat33,
) -> float:
    """Bring one contact's force to what its two bodies' accelerations ask for; the change, N.

    A step of projected Gauss-Seidel: the normal force does not pull, and then the tangential one
    stays within friction's limit. A wall has no friction.

    Args:
        bodies: their accelerations follow.
        contacts: the force of this one is set.
        i: which one.
        friction: coefficient.
        mobility: of the object, see `ground.grip`.
    """
    contact = contacts[i]
    first = bodies[contact.first]
    normal = contact.normal
    has_second = contact.second >= 0
    is_object = contact.second == 0
    second = bodies[wp.max(contact.second, 0)]
    acceleration = point_acceleration(first, contact.arm)
    yielding = compliance(first, contact.arm, normal) + contact.give
    back = wp.vec3(0.0, 0.0, 0.0)
    if has_second:
        acceleration = acceleration - point_acceleration(second, contact.opposite)
        back = answer(second, is_object, mobility, contact.opposite, normal)
        yielding = yielding + felt(back, contact.opposite, normal)
    old = contact.force
    lack = contact.reference[0] - wp.dot(acceleration, normal) - contact.give * old[0]
    along = wp.max(old[0] + lack / yielding, 0.0)
    first = pushed(first, contact.arm, (along - old[0]) * normal)
    across = float(0.0)
    if has_second:
        second = accelerated(second, (old[0] - along) * back)
        tangent = perpendicular(normal)
        acceleration = point_acceleration(first, contact.arm) - point_acceleration(
            second, contact.opposite
        )
        back = answer(second, is_object, mobility, contact.opposite, tangent)
        yielding = compliance(first, contact.arm, tangent) + contact.give
        yielding = yielding + felt(back, contact.opposite, tangent)
        lack = contact.reference[1] - wp.dot(acceleration, tangent) - contact.give * old[1]
        limit = friction * along
        across = wp.clamp(old[1] + lack / yielding, -limit, limit)
        first = pushed(first, contact.arm, (across - old[1]) * tangent)
        second = accelerated(second, (old[1] - across) * back)
        bodies[contact.second] = second
    bodies[contact.first] = first
    contact.force = wp.vec2(along, across)
    contacts[i] = contact
    return wp.abs(along - old[0]) + wp.abs(across - old[1])
