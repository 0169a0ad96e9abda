"""The ground under the object: friction at fixed points that it stands on, solved as one block.

The force at a point is (reference - acceleration) / R, at most friction times the load: MuJoCo's
soft friction at a given load. It depends on the object's acceleration alone, so all of it is one
equation for that acceleration. A contact then sees the object as the ground lets it move.
"""

from __future__ import annotations

import warp as wp

from mapush.simulators.planar.bodies import (
    Body,
    accelerated,
    perpendicular,
    point_acceleration,
    point_velocity,
    turn,
    turn_back,
)
from mapush.simulators.planar.constants import Constants
from mapush.simulators.planar.soft import DAMPING, REST_IMPEDANCE, softness


@wp.struct
class Support:
    """A point that the object stands on, for the length of a substep; world frame.

    Attributes:
        arm: from the centre of mass, m.
        reference: acceleration asked for, m/s^2.
        force: N.
        heading: unit vector of the force where it is at its limit, as last found.
        trust: how much of Newton's derivative is used there, 0 to 1.
    """

    arm: wp.vec2
    reference: wp.vec2
    force: wp.vec2
    heading: wp.vec2
    trust: float


@wp.func
def stand(thing: Body, k: Constants, i: int) -> Support:
    """A support as the object now stands and moves, without a force yet."""
    support = Support()
    point = k.supports[i]
    support.arm = turn(wp.vec2(point[0], point[1]), thing.facing)
    support.reference = -DAMPING * point_velocity(thing, support.arm)
    support.trust = 1.0
    return support


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
def grip(
    bodies: wp.array(dtype=Body),
    supports: wp.array(dtype=Support),
    k: Constants,
    friction: float,
    push: wp.vec3,
) -> wp.mat33:
    """Bring the object's acceleration nearer to what the ground and `push` give it.

    A step of Newton's method. Where a force at its limit turns back, the step was too long: there
    the derivative is replaced by the secant, with which none is (Huber's function majorised by a
    parabola), and trusted again little by little.

    Args:
        bodies: the object is the first; its acceleration is set.
        supports: all of them; their forces are set.
        k: the scene.
        friction: coefficient.
        push: force and torque of all contacts on the object, N and N m.

    Returns:
        Acceleration of the object for a unit of force and torque, the ground answering to it.
    """
    thing = bodies[0]
    total = wp.vec2(0.0, 0.0)
    for i in range(k.supports.shape[0]):
        total = total + supports[i].force
    tipping = turn_back(total, thing.facing)
    firm = 1.0 / softness(REST_IMPEDANCE, k.object_weight)
    xx = k.mass
    xy = float(0.0)
    yy = k.mass
    xt = float(0.0)
    yt = float(0.0)
    tt = k.inertia
    left = wp.vec2(push[0], push[1]) - k.mass * thing.acceleration
    twist = push[2] - k.inertia * thing.angular
    for i in range(k.supports.shape[0]):
        support = supports[i]
        lack = support.reference - point_acceleration(thing, support.arm)
        size = wp.length(lack)
        limit = friction * load(k, i, tipping)
        hold = firm
        along = wp.vec2(0.0, 0.0)
        if firm * size > limit:
            hold = limit / size
            heading = lack / size
            if wp.dot(heading, support.heading) < 0.0:
                support.trust = 0.25 * support.trust
            else:
                support.trust = wp.min(1.5 * support.trust + 0.1, 1.0)
                along = heading * wp.sqrt(hold * support.trust)
            support.heading = heading
        support.force = hold * lack
        supports[i] = support
        lever = perpendicular(support.arm)
        left = left + support.force
        twist = twist + wp.dot(lever, support.force)
        slide = wp.dot(lever, along)
        xx = xx + hold - along[0] * along[0]
        xy = xy - along[0] * along[1]
        yy = yy + hold - along[1] * along[1]
        xt = xt + hold * lever[0] - along[0] * slide
        yt = yt + hold * lever[1] - along[1] * slide
        tt = tt + hold * wp.dot(lever, lever) - slide * slide
    mobility = wp.inverse(wp.mat33(xx, xy, xt, xy, yy, yt, xt, yt, tt))
    gained = mobility * wp.vec3(left[0], left[1], twist)
    bodies[0] = accelerated(thing, gained)
    return mobility
