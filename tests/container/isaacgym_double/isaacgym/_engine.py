"""How bodies move in the double: enough for a robot to walk as told and to push the object.

Joints are damped springs about the Go1's stance, driven by torques. Nothing is remembered that the
tensors do not show, so that a capture of ours which leaves something out is found. A robot's
velocity follows its torques: thighs forward, hips left, left against right calves to turn. The
walking policy of `robot_double` is made so that the velocities come out as commanded.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

_JOINT_INERTIA, _JOINT_SPRING, _JOINT_DAMPING = 0.05, 20.0, 2.5
_PER_TORQUE = np.array([0.2, 0.2, 0.2], dtype=np.float32)
_RESPONSE = 0.1  # s
_STANCE = ((0.1, 0.8, -1.5), (-0.1, 0.8, -1.5), (0.1, 1.0, -1.5), (-0.1, 1.0, -1.5))  # rad
_STANDING, _BODY = 0.3, 0.3  # m: height of a walking base; radius of a robot


class Engine:
    """State of every actor (n, 13) and joint (d, 2), float32."""

    def __init__(
        self, actors: Sequence[Tuple[int, str, float, Sequence[int]]], joints: int
    ) -> None:
        """actors: (env, kind, radius, joints by the names of legs and joints) each, in order."""
        self.root = np.zeros((len(actors), 13), dtype=np.float32)
        self.root[:, 6] = 1.0
        self.joint = np.zeros((joints, 2), dtype=np.float32)
        self.rest = np.zeros(joints, dtype=np.float32)
        self.friction = np.ones(len(actors), dtype=np.float32)
        self.robots = np.array([i for i, a in enumerate(actors) if a[1] == "robot"], dtype=int)
        self.legs = np.array([actors[i][3] for i in self.robots], dtype=int)
        self.rest[self.legs] = np.ravel(_STANCE)
        objects = {a[0]: i for i, a in enumerate(actors) if a[1] == "free"}
        self.thing = np.array([objects.get(actors[i][0], -1) for i in self.robots], dtype=int)
        self.radius = np.array([a[2] for a in actors], dtype=np.float32)
        self.objects = np.array(sorted(objects.values()), dtype=int)

    def substep(self, torque: np.ndarray, dt: float) -> None:
        position, velocity = self.joint[:, 0], self.joint[:, 1]
        pull = torque - _JOINT_SPRING * (position - self.rest) - _JOINT_DAMPING * velocity
        velocity += np.float32(dt / _JOINT_INERTIA) * pull
        position += np.float32(dt) * velocity
        self._walk(torque[self.legs].reshape(-1, 4, 3), np.float32(dt))
        self._push(np.float32(dt))

    def _walk(self, torque: np.ndarray, dt: np.float32) -> None:
        hip, thigh, calf = torque[..., 0], torque[..., 1], torque[..., 2]
        # Legs by name: front left, front right, rear left, rear right.
        turn = (calf[:, [0, 2]].mean(axis=1) - calf[:, [1, 3]].mean(axis=1)) / 2
        wanted = _PER_TORQUE * np.stack((thigh.mean(axis=1), hip.mean(axis=1), turn), axis=1)
        root = self.root[self.robots]
        yaw = 2 * np.arctan2(root[:, 5], root[:, 6])
        cos, sin = np.cos(yaw), np.sin(yaw)
        share = np.float32(1 - np.exp(-dt / _RESPONSE))
        goal = np.stack(
            (cos * wanted[:, 0] - sin * wanted[:, 1], sin * wanted[:, 0] + cos * wanted[:, 1]), 1
        )
        root[:, 7:9] += share * (goal - root[:, 7:9])
        root[:, 12] += share * (wanted[:, 2] - root[:, 12])
        root[:, :2] += dt * root[:, 7:9]
        root[:, 9] = (_STANDING - root[:, 2]) / np.float32(_RESPONSE)
        root[:, 2] += dt * root[:, 9]
        half = dt * root[:, 12] / 2
        x, y, z, w = (root[:, 3 + k].copy() for k in range(4))
        cos, sin = np.cos(half), np.sin(half)
        root[:, 3], root[:, 4] = cos * x - sin * y, cos * y + sin * x
        root[:, 5], root[:, 6] = cos * z + sin * w, cos * w - sin * z
        self.root[self.robots] = root

    def _push(self, dt: np.float32) -> None:
        self.root[self.objects, 7:13] = 0.0
        for robot, thing in zip(self.robots, self.thing):
            if thing < 0:
                continue
            gap = self.root[thing, :2] - self.root[robot, :2]
            distance = np.float32(np.hypot(*gap))
            depth = self.radius[thing] + np.float32(_BODY) - distance
            if depth <= 0 or distance <= 0:
                continue
            shift = gap / distance * depth / (1 + self.friction[thing])
            self.root[thing, :2] += shift
            self.root[robot, :2] -= gap / distance * depth - shift
            self.root[thing, 7:9] += shift / dt
