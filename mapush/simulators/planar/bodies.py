"""A body in the plane, and how it answers to forces."""

from __future__ import annotations

import warp as wp


@wp.struct
class Body:
    """A rigid body at one moment; world frame, its centre of mass is its origin.

    Attributes:
        position: m.
        yaw: rad.
        facing: cosine and sine of the yaw.
        velocity: m/s.
        spin: rad/s.
        acceleration: what all forces together give it, m/s^2.
        angular: likewise about the vertical, rad/s^2.
        inverse_mass: 1/kg; 0 where forces move nothing.
        inverse_inertia: 1/(kg m^2) about the vertical.
    """

    position: wp.vec2
    yaw: float
    facing: wp.vec2
    velocity: wp.vec2
    spin: float
    acceleration: wp.vec2
    angular: float
    inverse_mass: float
    inverse_inertia: float


@wp.func
def cross(a: wp.vec2, b: wp.vec2) -> float:
    """The vertical part of a x b."""
    return a[0] * b[1] - a[1] * b[0]


@wp.func
def perpendicular(a: wp.vec2) -> wp.vec2:
    """A vector turned by a right angle, counter-clockwise."""
    return wp.vec2(-a[1], a[0])


@wp.func
def turn(a: wp.vec2, facing: wp.vec2) -> wp.vec2:
    """From a body's frame to the world's, `facing` being the cosine and sine of its yaw."""
    return wp.vec2(facing[0] * a[0] - facing[1] * a[1], facing[1] * a[0] + facing[0] * a[1])


@wp.func
def turn_back(a: wp.vec2, facing: wp.vec2) -> wp.vec2:
    """From the world's frame to a body's."""
    return wp.vec2(facing[0] * a[0] + facing[1] * a[1], facing[0] * a[1] - facing[1] * a[0])


@wp.func
def point_velocity(body: Body, arm: wp.vec2) -> wp.vec2:
    """Velocity of the body's point at `arm` from its centre of mass, m/s."""
    return body.velocity + body.spin * perpendicular(arm)


@wp.func
def point_acceleration(body: Body, arm: wp.vec2) -> wp.vec2:
    """Acceleration of that point by forces; the centripetal part is not one of them."""
    return body.acceleration + body.angular * perpendicular(arm)


@wp.func
def compliance(body: Body, arm: wp.vec2, direction: wp.vec2) -> float:
    """What a unit of force at a point along a unit vector accelerates that point along it."""
    lever = cross(arm, direction)
    return body.inverse_mass + lever * lever * body.inverse_inertia


@wp.func
def pushed(body: Body, arm: wp.vec2, force: wp.vec2) -> Body:
    """The body with one more force, N, at a point."""
    result = body
    result.acceleration = body.acceleration + body.inverse_mass * force
    result.angular = body.angular + body.inverse_inertia * cross(arm, force)
    return result


@wp.func
def accelerated(body: Body, change: wp.vec3) -> Body:
    """The body with more acceleration: m/s^2 along x and y, rad/s^2."""
    result = body
    result.acceleration = body.acceleration + wp.vec2(change[0], change[1])
    result.angular = body.angular + change[2]
    return result
