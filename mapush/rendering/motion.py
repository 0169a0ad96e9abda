"""One episode as the eye sees it, and how a Go1's legs go with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# As a Go1, m: trunk, hips from the trunk's centre, from hip to leg, thigh and calf alike.
TRUNK = (0.40, 0.15, 0.115)
HIP = (0.188, 0.047)
ABDUCTION = 0.08
LINK = 0.213
FOOT = 0.022
STAND = 0.30  # from the ground to the hips
REACH = (0.34, 0.15, 0.42)  # half length, half width and height of the whole animal

STRIDE = 1 / 6  # m per cycle: 3 Hz at 0.5 m/s
LIFT = 0.05  # m, of a foot
_FULL_STEP_SPEED = 0.15  # m/s; slower, the steps become shorter
LEGS = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # front or rear, left or right


@dataclass(frozen=True)
class Motion:
    """One episode as the eye sees it; `frames` states, the control step apart.

    Attributes:
        step: s between two states.
        target: (2,) m.
        thing: (frames, 4) the object's x, y, z in m and yaw in rad; zeros where there is none.
        robots: (frames, robots, 6) x, y, z of the hips in m and roll, pitch, yaw in rad.
    """

    step: float
    target: np.ndarray
    thing: np.ndarray
    robots: np.ndarray


def gait(motion: Motion) -> np.ndarray:
    """Joint angles (frames, robots, 4 legs, 3) of a trot: abduction, hip, knee.

    The phase goes with the distance walked, so the feet stand still on the ground, more or less.
    """
    place, yaw = motion.robots[..., :2], np.unwrap(motion.robots[..., 5], axis=0)
    window = max(1, round(0.2 / motion.step))
    velocity, turn = _rate(place, motion.step, window), _rate(yaw, motion.step, window)
    cos, sin = np.cos(yaw), np.sin(yaw)
    forward = cos * velocity[..., 0] + sin * velocity[..., 1]
    left = -sin * velocity[..., 0] + cos * velocity[..., 1]
    angles = np.zeros((*yaw.shape, 4, 3))
    for leg, (front, side) in enumerate(LEGS):
        # A foot moves with the trunk and around its centre.
        along = forward - turn * side * (HIP[1] + ABDUCTION)
        across = left + turn * front * HIP[0]
        speed = np.hypot(along, across)
        pace = np.hypot(np.hypot(forward, left), turn * HIP[0])
        phase = 2 * math.pi * np.cumsum(pace, axis=0) * motion.step / STRIDE
        phase = phase + (math.pi if front == side else 0.0)  # diagonal legs step together
        share = np.minimum(1.0, speed / _FULL_STEP_SPEED) / np.maximum(speed, 1e-6)
        swing = STRIDE / 4 * np.cos(phase) * share
        lift = LIFT * np.maximum(0.0, -np.sin(phase)) * np.minimum(1.0, pace / _FULL_STEP_SPEED)
        angles[:, :, leg] = _reach_foot(swing * along, swing * across, STAND - FOOT - lift)
    return angles


def _reach_foot(ahead: np.ndarray, aside: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Angles (..., 3) that put a foot there, m from its hip: two links alike and a hinge."""
    length = np.hypot(ahead, down)
    bend = np.arccos(np.clip(length / (2 * LINK), -1.0, 1.0))
    return np.stack((np.arctan2(aside, down), np.arctan2(ahead, down) - bend, 2 * bend), axis=-1)


def _rate(values: np.ndarray, step: float, window: int) -> np.ndarray:
    """Change (frames, ...) per second of values alike, averaged over `window` states either way."""
    if len(values) == 1:
        return np.zeros_like(values)
    values = np.gradient(values, step, axis=0)
    padded = np.concatenate((values[:1].repeat(window, 0), values, values[-1:].repeat(window, 0)))
    total = np.cumsum(padded, axis=0)
    width = 2 * window + 1
    head = np.concatenate((total[:1] * 0, total))
    return (head[width:] - head[:-width]) / width
