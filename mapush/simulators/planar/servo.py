"""The robot as what its walking controller makes of it: a body that tracks velocity commands."""

from __future__ import annotations

import warp as wp

from mapush.simulators.planar.bodies import Body, turn, turn_back
from mapush.simulators.planar.constants import Constants


@wp.func
def servo_force(body: Body, command: wp.vec3, k: Constants) -> wp.vec3:
    """Forward and left force, N, and torque, N m, in the body's frame, within their limits.

    gain * (share * commanded - actual), as MuJoCo's velocity actuators.

    Args:
        body: a robot.
        command: forward and left velocity, m/s, and turning, rad/s.
        k: the scene.
    """
    velocity = turn_back(body.velocity, body.facing)
    return wp.vec3(
        wp.clamp(k.gain * (k.tracking[0] * command[0] - velocity[0]), -k.force, k.force),
        wp.clamp(k.gain * (k.tracking[1] * command[1] - velocity[1]), -k.force, k.force),
        wp.clamp(k.turn_gain * (k.tracking[2] * command[2] - body.spin), -k.torque, k.torque),
    )


@wp.func
def drive(body: Body, command: wp.vec3, k: Constants) -> Body:
    """The robot under its servo alone."""
    result = body
    force = servo_force(body, command, k)
    result.acceleration = body.inverse_mass * turn(wp.vec2(force[0], force[1]), body.facing)
    result.angular = body.inverse_inertia * force[2]
    return result


@wp.func
def held(force: float, limit: float, gain: float, step: float) -> float:
    """What implicit damping adds to an inertia, kg: nothing where the servo is at its limit."""
    if wp.abs(force) >= limit:
        return 0.0
    return step * gain


@wp.func
def move_robot(body: Body, command: wp.vec3, k: Constants, step: float) -> Body:
    """The robot a substep later, the servo's damping being implicit, as MuJoCo's "implicitfast".

    Args:
        body: with the acceleration that all forces give it.
        command: as for `servo_force`.
        k: the scene.
        step: s.
    """
    result = body
    servo = servo_force(body, command, k)
    mass, inertia = 1.0 / body.inverse_mass, 1.0 / body.inverse_inertia
    force = mass * turn_back(body.acceleration, body.facing)
    gained = wp.vec2(
        force[0] / (mass + held(servo[0], k.force, k.gain, step)),
        force[1] / (mass + held(servo[1], k.force, k.gain, step)),
    )
    turned = inertia * body.angular / (inertia + held(servo[2], k.torque, k.turn_gain, step))
    result.velocity = body.velocity + step * turn(gained, body.facing)
    result.spin = body.spin + step * turned
    return result
