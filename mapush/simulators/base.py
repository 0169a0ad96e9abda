"""What a simulator must offer to the environment.

Frames: positions and yaws are in the world frame of each environment, its origin at the arena's
centre; commands are in each robot's own yaw frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Dict, Optional, Protocol

import torch

from mapush.errors import CheckpointError


@dataclass(frozen=True)
class State:
    """Where everything is after a control step; float32 on the simulator's device.

    What is said of the object is empty, (0, ...), in a scene without one.

    Attributes:
        robots: (envs, robots, 3) x, y in m and yaw in rad of every base.
        object: (envs, 3) the same of the object's origin.
        object_velocity: (envs, 2) planar velocity of the object's origin, m/s.
        object_height: (envs,) of the object's origin, m.
        robot_height: (envs, robots) of the bases, m; None where robots cannot leave their height.
        robot_tilt: (envs, robots, 2) roll and pitch, rad; None where robots cannot tilt.
    """

    robots: torch.Tensor
    object: torch.Tensor = field(default_factory=lambda: torch.empty(0, 3))
    object_velocity: torch.Tensor = field(default_factory=lambda: torch.empty(0, 2))
    object_height: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    robot_height: Optional[torch.Tensor] = None
    robot_tilt: Optional[torch.Tensor] = None


@dataclass(frozen=True)
class Start:
    """Where episodes begin, a row for each environment; float32 on the simulator's device.

    What a scene does not have may be left out.

    Attributes:
        robots: (envs, robots, 3) x, y in m and yaw in rad.
        robot_velocity: (envs, robots, 2) planar velocity of the bases in the world frame, m/s.
        object: (envs, 3) x, y in m and yaw in rad, at rest.
        target: (envs, 2) where the target's marker goes, m; it touches nothing.
        friction: (envs,) sliding friction of the object.
    """

    robots: torch.Tensor
    robot_velocity: torch.Tensor
    object: torch.Tensor = field(default_factory=lambda: torch.empty(0, 3))
    target: torch.Tensor = field(default_factory=lambda: torch.empty(0, 2))
    friction: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def spread(self, mask: torch.Tensor) -> Start:
        """Rows for a whole batch, of which those of `mask` (envs,) bool are this start's.

        This start has as many rows as `mask` has true entries; the other rows are zero.
        """
        parts: Dict[str, torch.Tensor] = {}
        for entry in fields(self):
            drawn = getattr(self, entry.name)
            rows = drawn.new_zeros(len(mask) if len(drawn) else 0, *drawn.shape[1:])
            if len(drawn):
                rows[mask] = drawn
            parts[entry.name] = rows
        return Start(**parts)


class Simulator(Protocol):
    """A batch of independent copies of one scene."""

    num_envs: int
    device: torch.device

    def reset(self, mask: torch.Tensor, start: Start) -> None:
        """Put environments where `start` says, without stepping.

        Args:
            mask: (envs,) bool, which are put; the others stay as they are.
            start: a row for every environment; only those of `mask` count.
        """
        ...

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step under `command` (envs, robots, 3): m/s, m/s, rad/s."""
        ...

    def read(self) -> State:
        """Say where everything is.

        The tensors may be views of the simulator's own: they hold until the next `step`, `reset`
        or `load_state_dict`, and whoever needs them longer copies them.
        """
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


def check_capture(given: Dict[str, Any], own: Dict[str, Any], remedy: str) -> None:
    """Refuse a capture whose tensors are not those of `own`, a capture of this simulator.

    Args:
        given: what is to be restored.
        own: what this simulator captures now.
        remedy: what to resume with, for the message.

    Raises:
        CheckpointError: naming the tensor, what it is and what it should be.
    """
    for name, mine in own.items():
        value = given.get(name)
        if not isinstance(value, torch.Tensor) or (value.shape, value.dtype) != (
            mine.shape,
            mine.dtype,
        ):
            raise CheckpointError(
                f"simulator {name}: {_kind(value)} does not fit this scene's {_kind(mine)}; "
                f"resume with {remedy}"
            )


def _kind(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).replace('torch.', '')} {tuple(value.shape)}"
    return "nothing" if value is None else type(value).__name__
