"""All that is known here of commits before the simulators had a registry, such as 724e0bb.

Their modules are imported by name, since this checkout does not have them; training writes log.txt
alone, no metrics.jsonl.
"""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch

SIM = "mujoco"  # the one embedded simulator they have
LOG = "log.txt"

_VALUE = re.compile(r"^ +(\w+): (\S+)$", re.MULTILINE)
_EVALUATION = re.compile(r"evaluation at ([\d,]+) steps: success rate ([\d.]+)")


def is_old() -> bool:
    """Whether the `mapush` that this process imports is such a one."""
    return find_spec("mapush.simulators") is None


def make_environment(exp: str, num_envs: int, decimation: int) -> Any:  # noqa: ANN401
    """The environment, whose `observe` and `step` are as today, with the task's spec as `task`."""
    task, simulator = _make(exp, num_envs)
    push = importlib.import_module("mapush.environment.push")
    return push.PushEnvironment(task, simulator, seed=1, hold=decimation)


class AloneSimulator:
    """The simulator without its environment; see `benchmarks.measure_steps.AloneSimulator`."""

    def __init__(self, exp: str, num_envs: int) -> None:
        self._task, self._simulator = _make(exp, num_envs)
        self._num_envs = num_envs
        self._limit = torch.tensor(self._task.control.limit)
        self.shape = (num_envs, self._task.robots.count, len(self._limit))

    def begin(self, generator: torch.Generator) -> None:
        """Begin an episode in every environment."""
        reset = importlib.import_module("mapush.environment.reset")
        start = reset.draw_start(self._task, self._num_envs, generator)
        self._simulator.reset(torch.arange(self._num_envs), start)

    def command(self, action: torch.Tensor) -> torch.Tensor:
        """Velocities of the network's actions, both of `shape`."""
        return self._limit * (self._task.control.gain * action).clamp(-1.0, 1.0)

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step."""
        self._simulator.step(command)


def read_log(path: Path) -> Tuple[List[Dict[str, float]], List[Tuple[int, float]]]:
    """The figures of every update in a log.txt, and step and success rate of every evaluation."""
    text = path.read_text(encoding="utf-8")
    entries = [entry for entry in text.split("\n[") if " INFO Episode: " in entry]
    updates = [{name: float(value) for name, value in _VALUE.findall(each)} for each in entries]
    evaluations = [
        (int(step.replace(",", "")), float(rate)) for step, rate in _EVALUATION.findall(text)
    ]
    return updates, evaluations


def _make(exp: str, num_envs: int) -> Tuple[Any, Any]:
    tasks = importlib.import_module("mapush.task")
    task = tasks.load_task(tasks.task_folder(exp))
    return task, importlib.import_module("mapush.simulator").make_simulator(SIM, task, num_envs)
