"""MuJoCo's soft constraints: the acceleration one asks for, and how much it gives.

From MuJoCo's documentation, "Computation", section "Constraint model", with its default parameters
solref = (0.02 s, 1) and solimp = (0.9, 0.95, 0.001 m, 0.5, 2).
"""

from __future__ import annotations

import warp as wp

_TIME_CONSTANT = 0.02  # s
_LOWEST, _HIGHEST, _WIDTH = 0.9, 0.95, 0.001

DAMPING = wp.constant(2.0 / (_HIGHEST * _TIME_CONSTANT))
"""b of the reference acceleration a = -b v - k d r, 1/s."""
STIFFNESS = wp.constant(1.0 / (_HIGHEST * _HIGHEST * _TIME_CONSTANT * _TIME_CONSTANT))
"""k of it, 1/s^2, at a damping ratio of 1."""
REST_IMPEDANCE = wp.constant(_LOWEST)
"""d where nothing penetrates, as for an object that lies on the ground."""
_RANGE = wp.constant(_HIGHEST - _LOWEST)
_INVERSE_WIDTH = wp.constant(1.0 / _WIDTH)


@wp.func
def impedance(violation: float) -> float:
    """d: the share of the reference acceleration that a constraint reaches, for a depth in m."""
    x = wp.min(wp.abs(violation) * _INVERSE_WIDTH, 1.0)
    if x < 0.5:
        return REST_IMPEDANCE + _RANGE * 2.0 * x * x
    return REST_IMPEDANCE + _RANGE * (1.0 - 2.0 * (1.0 - x) * (1.0 - x))


@wp.func
def softness(impedance: float, weight: float) -> float:
    """R: what is added to a constraint's own compliance `weight`, 1/kg, so that it gives."""
    return (1.0 - impedance) / impedance * weight
