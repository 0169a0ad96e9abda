"""A toy simulator: robots move as commanded and carry the object when they touch it.

A plugin (MAPUSH_PLUGINS=toy_kinematics), not part of mapush.
"""

from __future__ import annotations

from typing import Any, Dict

import torch

from mapush.simulators import Scene, SimulatorKind, register
from mapush.simulators.base import Start, State, check_capture


class ToySimulator:
    """Kinematics on the CPU."""

    def __init__(self, scene: Scene, num_envs: int) -> None:
        self.scene, self.num_envs, self.device = scene, num_envs, torch.device("cpu")
        self.robots = torch.zeros(num_envs, scene.robots, 3)
        self.object, self.velocity = torch.zeros(num_envs, 3), torch.zeros(num_envs, 2)

    def reset(self, mask: torch.Tensor, start: Start) -> None:
        self.robots[mask] = start.robots[mask]
        self.object[mask] = start.object[mask] if len(start.object) else 0.0
        self.velocity[mask] = 0.0

    def step(self, command: torch.Tensor) -> None:
        turn = torch.polar(torch.ones_like(self.robots[..., 2]), self.robots[..., 2])
        moved = torch.view_as_complex(command[..., :2].contiguous()) * turn
        self.robots[..., :2] += self.scene.step * torch.view_as_real(moved)
        self.robots[..., 2] += self.scene.step * command[..., 2]
        near = (self.robots[..., :2] - self.object[:, None, :2]).norm(dim=-1) < 1.3
        self.velocity[:] = (near[..., None] * torch.view_as_real(moved)).mean(dim=1)
        self.object[:, :2] += self.scene.step * self.velocity

    def read(self) -> State:
        if self.scene.object is None:
            return State(self.robots)
        height = torch.full((self.num_envs,), self.scene.object.height / 2)
        return State(self.robots, self.object, self.velocity, height)

    def state_dict(self) -> Dict[str, Any]:
        parts = {"robots": self.robots, "object": self.object, "velocity": self.velocity}
        return {name: value.clone() for name, value in parts.items()}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        check_capture(state, self.state_dict(), "the task and --num_envs of the checkpoint")
        for name, value in state.items():
            getattr(self, name).copy_(value)

    def close(self) -> None:
        pass


def build(scene: Scene, num_envs: int, device: str, options: str, room: int) -> ToySimulator:
    return ToySimulator(scene, num_envs)


register(SimulatorKind(name="toy", build=build))
