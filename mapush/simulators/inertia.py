"""Mass, centre of mass and inertia of shapes that are joined into one body."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from mapush.simulators.scene import Object


def object_inertia(thing: Object) -> Tuple[float, np.ndarray, np.ndarray]:
    """Mass (kg), centre of mass (3,) m and inertia (3, 3) kg m^2 about it, of joined shapes."""
    centers = np.array([[*shape.center, 0.0] for shape in thing.shapes])
    masses = np.array([shape.mass for shape in thing.shapes])
    center = masses @ centers / masses.sum()
    inertia = np.zeros((3, 3))
    for shape, offset in zip(thing.shapes, centers - center):
        inertia += np.diag(shape.inertia)
        inertia += shape.mass * (offset @ offset * np.eye(3) - np.outer(offset, offset))
    return float(masses.sum()), center, inertia
