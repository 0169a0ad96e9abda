"""The embedded simulator: MuJoCo, stepped in batch on every core by mjbatch."""

# MuJoCo's compiled modules say nothing of what they hold.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import os
from typing import Any, Dict

from mapush.simulators.mujoco.headless import mujoco  # before mjbatch, which imports it unguarded

# isort: split
import numpy as np
import torch
from mjbatch import Batch

from mapush.errors import CheckpointError
from mapush.simulators.base import Bodies, Start
from mapush.simulators.mujoco.scene import PHYSICS, ROBOT, Physics, RobotModel, build_scene
from mapush.tasks import PushTask

_OBJECT = 7  # a free joint's position: x, y, z and a quaternion, w first


def usable_cores() -> int:
    """Cores this process may use: a cluster's nodes have more than a job is given."""
    cores = len(os.sched_getaffinity(0))
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(cores, int(granted)) if granted.isdecimal() and int(granted) else cores


class MujocoSimulator:
    """`num_envs` scenes of one task on the CPU.

    Every scene's state is one row of MuJoCo's integration state, so a capture restores to the bit,
    and no scene's result depends on how many threads step the batch.
    """

    def __init__(
        self,
        task: PushTask,
        num_envs: int,
        threads: int = 0,
        robot: RobotModel = ROBOT,
        physics: Physics = PHYSICS,
    ) -> None:
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.model: mujoco.MjModel = build_scene(task, robot, physics).compile()
        self._substeps = physics.substeps
        self._robots = task.robots.count
        self._rest_height = task.object.height / 2
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
        self._ground_friction = task.arena.friction
        self._batch.reset()
        self._fresh = self._state[0].copy()

    def reset(self, envs: torch.Tensor, start: Start) -> None:
        """Put the environments `envs` where `start` says."""
        rows = envs.numpy()
        self._state[rows] = self._fresh
        half = start.object[:, 2].double().numpy() / 2
        qpos, qvel = self._qpos[rows], self._qvel[rows]
        qpos[:, :_OBJECT] = 0.0
        qpos[:, :2] = start.object[:, :2]
        qpos[:, 2] = self._rest_height
        qpos[:, 3], qpos[:, 6] = np.cos(half), np.sin(half)
        qpos[:, _OBJECT:] = start.robots.reshape(len(rows), -1)
        qvel[:] = 0.0
        qvel[:, 6:].reshape(len(rows), -1, 3)[:, :, :2] = start.robot_velocity
        self._qpos[rows], self._qvel[rows] = qpos, qvel
        friction = (
            self._own_share * start.friction + (1 - self._own_share) * self._ground_friction
        ).numpy()
        for geom in self._object_geoms:
            self._friction[rows, geom, 0] = friction

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step."""
        self._ctrl[:] = command.reshape(self.num_envs, -1).numpy()
        self._batch.step(nstep=self._substeps)

    def read(self) -> Bodies:
        """Say where everything is."""
        qpos = torch.from_numpy(self._qpos).float()
        yaw = 2 * torch.atan2(qpos[:, 6], qpos[:, 3])
        return Bodies(
            robots=qpos[:, _OBJECT:].reshape(self.num_envs, self._robots, 3),
            object=torch.stack((qpos[:, 0], qpos[:, 1], yaw), dim=1),
            object_velocity=torch.from_numpy(self._qvel[:, :2]).float(),
            object_height=qpos[:, 2],
        )

    def state_dict(self) -> Dict[str, Any]:
        """Capture the integration states and the drawn frictions."""
        return {
            "state": torch.from_numpy(self._state.copy()),
            "friction": torch.from_numpy(self._friction[:, self._object_geoms[0], 0].copy()),
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore a capture exactly."""
        for name, own in self.state_dict().items():
            given = state.get(name)
            if not isinstance(given, torch.Tensor) or (given.shape, given.dtype) != (
                own.shape,
                own.dtype,
            ):
                raise CheckpointError(
                    f"simulator {name}: {_kind(given)} does not fit this scene's {_kind(own)}; "
                    "resume with the task and --num_envs of the checkpoint"
                )
        self._state[:] = state["state"].numpy()
        for geom in self._object_geoms:
            self._friction[:, geom, 0] = state["friction"].numpy()

    def close(self) -> None:
        """Nothing to free beyond what Python frees."""


def _kind(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).replace('torch.', '')} {tuple(value.shape)}"
    return "nothing" if value is None else type(value).__name__
