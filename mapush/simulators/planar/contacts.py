"""What touches: robots' spheres and the object, robots' capsules, robots and walls."""

from __future__ import annotations

import warp as wp

from mapush.simulators.planar.bodies import Body, turn, turn_back
from mapush.simulators.planar.constants import Constants

NOTHING = wp.constant(-1)
"""Instead of a body: a wall."""
_TINY = wp.constant(1.0e-9)


@wp.struct
class Contact:
    """One touching pair for the length of a substep, and the force between them.

    Attributes:
        first: index of the body on which the force acts.
        second: of the one on which its opposite acts, or NOTHING.
        normal: unit vector from the second to the first.
        arm: from the first body's centre of mass to the point of contact, m.
        opposite: likewise from the second's.
        depth: of the overlap, m; negative.
        reference: accelerations asked for along the normal and along the tangent, m/s^2.
        give: R of both, 1/kg.
        force: along the normal and along the tangent, N.
    """

    first: int
    second: int
    normal: wp.vec2
    arm: wp.vec2
    opposite: wp.vec2
    depth: float
    reference: wp.vec2
    give: float
    force: wp.vec2


@wp.func
def to_rounded_box(point: wp.vec2, half: wp.vec2, rounding: float) -> wp.vec3:
    """Outward unit normal at, and signed distance of a point from, a box with rounded corners.

    A cylinder is one whose half lengths are 0. Where the point is inside the inner box, the normal
    is that of the nearest face, as in MuJoCo's sphere-to-box collision.

    Args:
        point: in the box's frame, m.
        half: half lengths, m.
        rounding: radius, m.
    """
    nearest = wp.vec2(wp.clamp(point[0], -half[0], half[0]), wp.clamp(point[1], -half[1], half[1]))
    outside = point - nearest
    length = wp.length(outside)
    if length > _TINY:
        return wp.vec3(outside[0] / length, outside[1] / length, length - rounding)
    inside_x = half[0] - wp.abs(point[0])
    inside_y = half[1] - wp.abs(point[1])
    if inside_x < inside_y:
        return wp.vec3(wp.sign(point[0]), 0.0, -inside_x - rounding)
    return wp.vec3(0.0, wp.sign(point[1]), -inside_y - rounding)


@wp.func
def between_segments(offset: wp.vec2, along: wp.vec2, other: wp.vec2, half: float) -> wp.vec2:
    """Where two segments are nearest, as distances from their middles, m.

    Ericson, Real-Time Collision Detection, section 5.1.9.

    Args:
        offset: from the middle of the second to that of the first, m.
        along: unit vector of the first.
        other: unit vector of the second.
        half: half length of both, m.
    """
    straight = wp.dot(along, other)
    first_offset, second_offset = wp.dot(along, offset), wp.dot(other, offset)
    slant = 1.0 - straight * straight
    first = float(0.0)
    if slant > _TINY:
        first = wp.clamp((straight * second_offset - first_offset) / slant, -half, half)
    second = straight * first + second_offset
    if wp.abs(second) > half:
        second = wp.clamp(second, -half, half)
        first = wp.clamp(straight * second - first_offset, -half, half)
    return wp.vec2(first, second)


@wp.func
def find_hull(
    bodies: wp.array(dtype=Body),
    k: Constants,
    robot: int,
    contacts: wp.array(dtype=Contact),
    count: int,
) -> int:
    """Add the contacts of a robot's spheres with the object's shapes; the new number of contacts.

    Bodies are the object and then the robots.
    """
    own, thing = bodies[robot], bodies[0]
    origin = thing.position - turn(k.center, thing.facing)
    away = own.position - origin
    reach = k.object_reach + k.hull_reach
    if wp.dot(away, away) > reach * reach:
        return count
    for i in range(k.spheres.shape[0]):
        sphere = k.spheres[i]
        arm = turn(wp.vec2(sphere[0], sphere[1]), own.facing)
        seen = turn_back(away + arm, thing.facing)
        for j in range(k.shapes.shape[0]):
            shape = k.shapes[j]
            found = to_rounded_box(
                seen - wp.vec2(shape[0], shape[1]), wp.vec2(shape[2], shape[3]), k.roundings[j]
            )
            distance = found[2] - sphere[2]
            if distance < 0.0:
                contact = Contact()
                contact.first = robot
                contact.second = 0
                contact.normal = turn(wp.vec2(found[0], found[1]), thing.facing)
                contact.arm = arm - contact.normal * (sphere[2] + 0.5 * distance)
                contact.opposite = own.position + contact.arm - thing.position
                contact.depth = distance
                contacts[count] = contact
                count = count + 1
    return count


@wp.func
def find_capsules(
    bodies: wp.array(dtype=Body),
    k: Constants,
    robot: int,
    other: int,
    contacts: wp.array(dtype=Contact),
    count: int,
) -> int:
    """Add the contact of two robots' capsules, if they touch; the new number of contacts."""
    own, theirs = bodies[robot], bodies[other]
    offset = own.position - theirs.position
    reach = 2.0 * (k.capsule_half + k.capsule_radius)
    if wp.dot(offset, offset) > reach * reach:
        return count
    where = between_segments(offset, own.facing, theirs.facing, k.capsule_half)
    arm, opposite = where[0] * own.facing, where[1] * theirs.facing
    gap = offset + arm - opposite
    length = wp.length(gap)
    # Where the axes cross there is no direction between them.
    if length > _TINY and length < 2.0 * k.capsule_radius:
        contact = Contact()
        contact.first = robot
        contact.second = other
        contact.normal = gap / length
        contact.depth = length - 2.0 * k.capsule_radius
        into = k.capsule_radius + 0.5 * contact.depth
        contact.arm = arm - contact.normal * into
        contact.opposite = opposite + contact.normal * into
        contacts[count] = contact
        count = count + 1
    return count


@wp.func
def find_walls(
    bodies: wp.array(dtype=Body),
    k: Constants,
    robot: int,
    contacts: wp.array(dtype=Contact),
    count: int,
) -> int:
    """Add a robot's contacts with the walls, which stop its base; the new number of contacts."""
    position = bodies[robot].position
    for axis in range(2):
        beyond = wp.abs(position[axis]) - k.wall[axis]
        if beyond > 0.0:
            contact = Contact()
            contact.first = robot
            contact.second = NOTHING
            contact.normal[axis] = -wp.sign(position[axis])
            contact.depth = -beyond
            contacts[count] = contact
            count = count + 1
    return count
