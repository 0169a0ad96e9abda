"""Friction between the object and the ground, at fixed points that it stands on."""

from __future__ import annotations

import warp as wp

from mapush.simulators.planar.bodies import (
    Body,
    point_acceleration,
    point_velocity,
    pushed,
    turn,
    turn_back,
)
from mapush.simulators.planar.constants import Constants
from mapush.simulators.planar.soft import DAMPING, REST_IMPEDANCE, softness

_TINY = wp.constant(1.0e-12)
_SECULAR_STEPS = wp.constant(6)
_CLOSE = wp.constant(1.0e-5)


@wp.struct
class Support:
    """A point that the object stands on, for the length of a substep; world frame.

    Attributes:
        arm: from the centre of mass, m.
        radial: unit vector along it. In this direction and across it a force here accelerates
            the point without a cross term.
        compliance: along and across, with R, 1/kg.
        reference: acceleration asked for, along and across, m/s^2.
        force: along and across, N.
        multiplier: of the friction's limit, 1/kg, kept between sweeps.
    """

    arm: wp.vec2
    radial: wp.vec2
    compliance: wp.vec2
    reference: wp.vec2
    force: wp.vec2
    multiplier: float


@wp.func
def stand(thing: Body, k: Constants, i: int) -> Support:
    """A support as the object now stands and moves, without a force yet."""
    support = Support()
    point = k.supports[i]
    support.arm = turn(wp.vec2(point[0], point[1]), thing.facing)
    distance = wp.length(support.arm)
    if distance > _TINY:
        support.radial = support.arm / distance
    else:
        support.radial = wp.vec2(1.0, 0.0)
    give = softness(REST_IMPEDANCE, k.object_weight)
    support.compliance = wp.vec2(
        thing.inverse_mass + give,
        thing.inverse_mass + distance * distance * thing.inverse_inertia + give,
    )
    velocity = turn_back(point_velocity(thing, support.arm), support.radial)
    support.reference = -DAMPING * velocity
    return support


@wp.func
def within_disc(asked: wp.vec2, compliance: wp.vec2, limit: float, multiplier: float) -> wp.vec3:
    """The force of at most `limit` that costs least, and the multiplier of that limit.

    Least f.A f / 2 - b.f over |f| <= limit with diagonal A and b = A `asked` is
    f = b / (A + s), where s >= 0 makes |f| the limit: MuJoCo's "QCQP" of an elliptic cone whose
    normal force is given. s by Hebden's iteration (Conn, Gould and Toint, Trust-Region Methods,
    section 7.3).

    Args:
        asked: what f would be without a limit, N.
        compliance: A, 1/kg.
        limit: N.
        multiplier: a guess at s, 1/kg.
    """
    if wp.dot(asked, asked) <= limit * limit:
        return wp.vec3(asked[0], asked[1], 0.0)
    if limit <= 0.0:
        return wp.vec3(0.0, 0.0, 0.0)
    b = wp.cw_mul(asked, compliance)
    s = multiplier
    a = wp.vec2(compliance[0] + s, compliance[1] + s)
    force = wp.cw_div(b, a)
    length = wp.length(force)
    for _ in range(_SECULAR_STEPS):
        if wp.abs(length - limit) > _CLOSE * limit:
            slope = force[0] * force[0] / a[0] + force[1] * force[1] / a[1] + _TINY
            s = wp.max(s + (length - limit) / limit * length * length / slope, 0.0)
            a = wp.vec2(compliance[0] + s, compliance[1] + s)
            force = wp.cw_div(b, a)
            length = wp.length(force)
    if length > limit:
        force = force * (limit / length)
    return wp.vec3(force[0], force[1], s)


@wp.func
def load(k: Constants, i: int, friction: wp.vec2) -> float:
    """What a support carries, N: pushing above the ground loads the front.

    Friction `friction` (object's frame, N) on the ground, balanced at the height of the centre of
    mass, tips the object; the loads that hold it are linear in the supports' places.
    """
    point = k.supports[i]
    slope = wp.vec2(
        k.spread[0] * friction[0] + k.spread[1] * friction[1],
        k.spread[1] * friction[0] + k.spread[2] * friction[1],
    )
    return wp.max(point[2] - k.push_height * (point[0] * slope[0] + point[1] * slope[1]), 0.0)


@wp.func
def rub(
    bodies: wp.array(dtype=Body),
    supports: wp.array(dtype=Support),
    k: Constants,
    i: int,
    friction: float,
    total: wp.vec2,
) -> wp.vec2:
    """Bring one support's force to what the object's acceleration asks for.

    Args:
        bodies: the object is the first; it is accelerated by what changes.
        supports: all of them; the force of this one is set.
        k: the scene.
        i: which one.
        friction: coefficient.
        total: force of all supports, world frame, N.

    Returns:
        How `total` changes, N.
    """
    support = supports[i]
    thing = bodies[0]
    lack = support.reference - turn_back(point_acceleration(thing, support.arm), support.radial)
    give = softness(REST_IMPEDANCE, k.object_weight)
    old = support.force
    asked = old + wp.cw_div(lack - give * old, support.compliance)
    limit = friction * load(k, i, turn_back(total, thing.facing))
    found = within_disc(asked, support.compliance, limit, support.multiplier)
    support.force = wp.vec2(found[0], found[1])
    support.multiplier = found[2]
    supports[i] = support
    change = turn(support.force - old, support.radial)
    bodies[0] = pushed(thing, support.arm, change)
    return change
