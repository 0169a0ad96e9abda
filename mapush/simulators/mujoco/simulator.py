"""The embedded simulator: MuJoCo, stepped in batch on every core by mjbatch."""

# MuJoCo's compiled modules say nothing of what they hold.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from typing import Any, Dict

from mapush.simulators.mujoco.headless import mujoco  # before mjbatch, which imports it unguarded

# isort: split
import numpy as np
import torch
from mjbatch import Batch

from mapush.cores import usable_cores
from mapush.robots.planar import ROBOT, RobotModel
from mapush.simulators.base import Start, State, check_capture
from mapush.simulators.mujoco.model import PHYSICS, Physics, build_model
from mapush.simulators.scene import Scene

_OBJECT = 7  # a free joint's position: x, y, z and a quaternion, w first


class MujocoSimulator:
    """`num_envs` copies of one scene on the CPU.

    Every scene's state is one row of MuJoCo's integration state, so a capture restores to the bit,
    and no scene's result depends on how many threads step the batch.
    """

    def __init__(
        self,
        scene: Scene,
        num_envs: int,
        threads: int = 0,
        robot: RobotModel = ROBOT,
        physics: Physics = PHYSICS,
    ) -> None:
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.model: mujoco.MjModel = build_model(scene, robot, physics).compile()
        self._substeps = physics.substeps
        self._robots = scene.robots
        self._object = scene.object
        self._first_robot = 0 if scene.object is None else _OBJECT  # in qpos
        self._batch = Batch(self.model, num_envs, threads or usable_cores())
        self._state = self._batch.bind("state")
        self._qpos = self._batch.bind("qpos")
        self._qvel = self._batch.bind("qvel")
        self._ctrl = self._batch.bind("ctrl")
        self._friction = self._batch.expand("geom_friction")
        self._object_geoms = [
            index
            for index in range(self.model.ngeom)
            if self.model.geom(index).name.startswith("object")
        ]
        self._own_share = robot.ground_share
        self._ground_friction = scene.arena.friction
        self._batch.reset()
        self._fresh = self._state[0].copy()

    def reset(self, mask: torch.Tensor, start: Start) -> None:
        """Put the environments of `mask` where `start` says."""
        rows = mask.numpy()
        robots = start.robots[mask]
        self._state[rows] = self._fresh
        qpos, qvel = self._qpos[rows], self._qvel[rows]
        qvel[:] = 0.0
        if self._object is not None:
            thing = start.object[mask]
            half = thing[:, 2].double().numpy() / 2
            qpos[:, :_OBJECT] = 0.0
            qpos[:, :2] = thing[:, :2]
            qpos[:, 2] = self._object.height / 2
            qpos[:, 3], qpos[:, 6] = np.cos(half), np.sin(half)
            friction = (
                self._own_share * start.friction[mask]
                + (1 - self._own_share) * self._ground_friction
            ).numpy()
            for geom in self._object_geoms:
                self._friction[rows, geom, 0] = friction
        qpos[:, self._first_robot :] = robots.reshape(len(robots), -1)
        # The object's free joint has six velocities for its seven coordinates.
        speeds = qvel[:, -3 * self._robots :].reshape(len(robots), -1, 3)
        speeds[:, :, :2] = start.robot_velocity[mask]
        self._qpos[rows], self._qvel[rows] = qpos, qvel

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step."""
        self._ctrl[:] = command.reshape(self.num_envs, -1).numpy()
        self._batch.step(nstep=self._substeps)

    def read(self) -> State:
        """Say where everything is."""
        qpos = torch.from_numpy(self._qpos).float()
        robots = qpos[:, self._first_robot :].reshape(self.num_envs, self._robots, 3)
        if self._object is None:
            return State(robots)
        yaw = 2 * torch.atan2(qpos[:, 6], qpos[:, 3])
        return State(
            robots=robots,
            object=torch.stack((qpos[:, 0], qpos[:, 1], yaw), dim=1),
            object_velocity=torch.from_numpy(self._qvel[:, :2]).float(),
            object_height=qpos[:, 2],
        )

    def state_dict(self) -> Dict[str, Any]:
        """Capture the integration states and the drawn frictions."""
        state = {"state": torch.from_numpy(self._state.copy())}
        if self._object is not None:
            drawn = self._friction[:, self._object_geoms[0], 0]
            state["friction"] = torch.from_numpy(drawn.copy())
        return state

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore a capture exactly."""
        check_capture(state, self.state_dict(), "the task and --num_envs of the checkpoint")
        self._state[:] = state["state"].numpy()
        for geom in self._object_geoms:
            self._friction[:, geom, 0] = state["friction"].numpy()

    def close(self) -> None:
        """Nothing to free beyond what Python frees."""


def open_simulator(
    scene: Scene, num_envs: int, device: str, options: str, room: int
) -> MujocoSimulator:
    """Build it, as the registry asks for it: on the CPU, with nothing to set, any time anew."""
    del device, options, room
    return MujocoSimulator(scene, num_envs)
