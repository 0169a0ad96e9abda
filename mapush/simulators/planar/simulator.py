"""`--sim planar`: the scene in the plane as one kernel, step by step."""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import logging
import os
from typing import Any, Dict

import torch
import warp as wp

from mapush.errors import RequestError
from mapush.robots.planar import ROBOT, RobotModel
from mapush.simulators.base import Start, State, check_capture
from mapush.simulators.planar.compiled import load, module_name, start_warp
from mapush.simulators.planar.constants import SUBSTEPS, make_constants
from mapush.simulators.planar.kernel import BODY_SIZE, make_step
from mapush.simulators.planar.launch import Launcher
from mapush.simulators.planar.room import contact_room
from mapush.simulators.scene import Scene

_RESERVED = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")  # set where a job has some, and only there
_log = logging.getLogger("mapush")

REMEDY = "the task and --num_envs of the checkpoint"


def resolve_device(asked: str) -> str:
    """The device that `--device` means: of auto a GPU where one is visible, else the CPU.

    Raises:
        RequestError: there is no such GPU.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        reserved = [name for name in _RESERVED if os.environ.get(name)]
        if reserved and not count:
            _log.warning(
                "%s=%s, but torch %s sees no GPU: this runs on the CPU; install a torch for CUDA",
                reserved[0],
                os.environ[reserved[0]],
                torch.__version__,
            )
        return "cuda:0" if count else "cpu"
    if asked.startswith("cuda"):
        number = int(asked.partition(":")[2] or 0)
        if number >= count:
            raise RequestError(
                f"--device {asked}: torch {torch.__version__} sees {count} GPUs here; leave it out "
                "or ask for --gpus 1"
            )
        return f"cuda:{number}"
    return asked


class PlanarSimulator:
    """`num_envs` copies of one scene, on the CPU or a GPU; a `Simulator`.

    A scene's state is its bodies' positions and velocities, so a capture restores to the bit.
    """

    def __init__(
        self,
        scene: Scene,
        num_envs: int,
        device: str = "cpu",
        threads: int = 0,
        robot: RobotModel = ROBOT,
    ) -> None:
        start_warp()
        self.num_envs, self.device = num_envs, torch.device(device)
        self._robots, self._object = scene.robots, scene.object
        self._robot, self._ground_friction = robot, scene.arena.friction
        constants = make_constants(scene, device, robot)
        supports = int(constants.supports.shape[0])
        sizes = (scene.robots, supports, contact_room(scene, robot), SUBSTEPS)
        module = wp.Module(module_name("step", [repr(sizes)]), None)
        kernel = make_step(*sizes, module)
        load(module, device)
        bodies = scene.robots + 1
        self._state = torch.zeros(num_envs, bodies * BODY_SIZE, device=self.device)
        self._command = torch.zeros(num_envs, scene.robots, 3, device=self.device)
        self._friction = torch.zeros(num_envs, device=self.device)
        self._launcher = Launcher(
            kernel,
            num_envs,
            [
                wp.from_torch(self._state),
                wp.from_torch(self._command, dtype=wp.vec3),
                wp.from_torch(self._friction),
                constants,
            ],
            device,
            threads,
        )

    def reset(self, mask: torch.Tensor, start: Start) -> None:
        """Put the environments of `mask` where `start` says."""
        bodies = torch.zeros(self.num_envs, self._robots + 1, BODY_SIZE, device=self.device)
        bodies[:, 1:, :3] = start.robots
        bodies[:, 1:, 3:5] = start.robot_velocity
        if self._object is not None:
            bodies[:, 0, :3] = start.object
            share = self._robot.ground_share
            friction = share * start.friction + (1 - share) * self._ground_friction
            self._friction.copy_(torch.where(mask, friction, self._friction))
        self._state.copy_(torch.where(mask[:, None], bodies.flatten(1), self._state))

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step."""
        self._command.copy_(command)
        self._launcher.run()

    def read(self) -> State:
        """Say where everything is."""
        bodies = self._state.reshape(self.num_envs, self._robots + 1, BODY_SIZE)
        robots = bodies[:, 1:, :3]
        if self._object is None:
            return State(robots)
        height = torch.full((self.num_envs,), self._object.height / 2, device=self.device)
        return State(robots, bodies[:, 0, :3], bodies[:, 0, 3:5], height)

    def state_dict(self) -> Dict[str, Any]:
        """Capture positions, velocities and the drawn frictions."""
        return {"state": self._state.clone(), "friction": self._friction.clone()}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore a capture exactly."""
        check_capture(state, self.state_dict(), REMEDY)
        self._state.copy_(state["state"])
        self._friction.copy_(state["friction"])

    def close(self) -> None:
        """End its threads."""
        self._launcher.close()


def open_simulator(
    scene: Scene, num_envs: int, device: str, options: str, room: int
) -> PlanarSimulator:
    """Build it, as the registry asks for it."""
    del options, room
    return PlanarSimulator(scene, num_envs, resolve_device(device))
