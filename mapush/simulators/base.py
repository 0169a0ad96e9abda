"""What a simulator must offer to the environment.

Frames: positions and yaws are in the world frame of each environment, its origin at the arena's
centre; commands are in each robot's own yaw frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Protocol

import torch


@dataclass(frozen=True)
class Bodies:
    """Where everything is after a control step; float32 on the simulator's device.

    Attributes:
        robots: (envs, robots, 3) x, y in m and yaw in rad of every base.
        object: (envs, 3) the same of the object's origin.
        object_velocity: (envs, 2) planar velocity of the object's origin, m/s.
        object_height: (envs,) of the object's origin, m.
        robot_height: (envs, robots) of the bases, m; None where robots cannot leave their height.
        robot_tilt: (envs, robots, 2) roll and pitch, rad; None where robots cannot tilt.
    """

    robots: torch.Tensor
    object: torch.Tensor
    object_velocity: torch.Tensor
    object_height: torch.Tensor
    robot_height: Optional[torch.Tensor] = None
    robot_tilt: Optional[torch.Tensor] = None


@dataclass(frozen=True)
class Start:
    """Where an episode begins, for the `k` environments that are reset.

    Attributes:
        robots: (k, robots, 3) x, y in m and yaw in rad.
        robot_velocity: (k, robots, 2) planar velocity of the bases in the world frame, m/s.
        object: (k, 3) x, y in m and yaw in rad, at rest.
        target: (k, 2) where the target's marker goes, m; it touches nothing.
        friction: (k,) sliding friction of the object.
    """

    robots: torch.Tensor
    robot_velocity: torch.Tensor
    object: torch.Tensor
    target: torch.Tensor
    friction: torch.Tensor


class Simulator(Protocol):
    """A batch of independent copies of one task's scene."""

    num_envs: int
    device: torch.device

    def reset(self, envs: torch.Tensor, start: Start) -> None:
        """Put the environments `envs` (k,) int64 where `start` says, without stepping."""
        ...

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step under `command` (envs, robots, 3): m/s, m/s, rad/s."""
        ...

    def read(self) -> Bodies:
        """Say where everything is; the tensors are the caller's to keep."""
        ...

    def state_dict(self) -> Dict[str, Any]:
        """Capture everything the next step depends on, as tensors of its own."""
        ...

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore a capture exactly.

        Raises:
            CheckpointError: the capture is of another scene or number of environments.
        """
        ...

    def close(self) -> None:
        """Free threads and device memory."""
        ...
