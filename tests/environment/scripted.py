"""A simulator that puts bodies where a script says: what the environment judges is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import torch

from mapush.simulators.base import Start, State
from mapush.tasks import PushTask, load_task, task_folder

TASKS = Path(__file__).resolve().parents[2] / "task"
Script = Callable[[int], State]  # control steps since the beginning to bodies


def task_of(exp: str) -> PushTask:
    task = load_task(task_folder(exp, TASKS))
    assert isinstance(task, PushTask)
    return task


def bodies_at(
    robots: Sequence[Sequence[float]],
    thing: Sequence[float] = (0.0, 0.0, 0.0),
    velocity: Sequence[float] = (0.0, 0.0),
    height: float = 0.25,
    envs: int = 1,
) -> State:
    """The same scene in every environment: robots and object as (x, y, yaw)."""

    def repeated(values: Any) -> torch.Tensor:
        return torch.tensor([values] * envs, dtype=torch.float32)

    return State(repeated(robots), repeated(thing), repeated(velocity), repeated(height))


class ScriptedSimulator:
    """Follows `script`; remembers what it was told."""

    def __init__(self, num_envs: int, script: Script) -> None:
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.steps = 0
        self.commands: List[torch.Tensor] = []
        self.resets: List[List[int]] = []
        self._script = script

    def reset(self, mask: torch.Tensor, start: Start) -> None:
        assert len(start.robots) == len(mask) == self.num_envs
        self.resets.append(torch.nonzero(mask).flatten().tolist())

    def step(self, command: torch.Tensor) -> None:
        self.commands.append(command.clone())
        self.steps += 1

    def read(self) -> State:
        now = self._script(self.steps)
        return replace(now, object=now.object.clone())

    def state_dict(self) -> Dict[str, Any]:
        return {"steps": torch.tensor(self.steps)}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        self.steps = int(state["steps"])

    def close(self) -> None:
        pass
