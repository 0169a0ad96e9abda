"""Environment steps/s of a simulator alone, or of the environment that training uses.

`benchmarks.throughput` starts `python -m benchmarks.measure_steps JSON`, in the checkout that
is to be measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Callable, Dict, Tuple

import torch

from benchmarks import old_commit

_HELD = 5  # control steps per action, as under the default recipe
_EPISODE = 1000  # control steps
_WARM_UP = 100  # control steps


class AloneSimulator:
    """The simulator without its environment.

    Attributes:
        shape: of its commands, (envs, robots, 3).
    """

    def __init__(self, exp: str, sim: str, num_envs: int) -> None:
        from mapush.simulators import SimulatorChoice, make_simulator
        from mapush.tasks import load_task, task_folder
        from mapush.tasks.base import FromGenerator
        from mapush.tasks.registry import make_logic

        task = load_task(task_folder(exp))
        self._simulator = make_simulator(SimulatorChoice(sim), task.scene, num_envs)
        self._random = FromGenerator
        self._logic = make_logic(task, num_envs, self._simulator.device)
        self._everyone = torch.ones(num_envs, dtype=torch.bool)
        self.shape = (num_envs, task.agents, task.action_size)

    def begin(self, generator: torch.Generator) -> None:
        """Begin an episode in every environment."""
        start = self._logic.draw(len(self._everyone), self._random(generator))
        self._simulator.reset(self._everyone, start)

    def command(self, action: torch.Tensor) -> torch.Tensor:
        """Velocities of the network's actions, both of `shape`."""
        return self._logic.command(action)

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step."""
        self._simulator.step(command)


def simulator_speed(exp: str, sim: str, num_envs: int, seconds: float) -> float:
    """Environment steps/s of the simulator alone, on one core and one thread.

    Commands are random, uniform over their whole range.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # holds for threads yet to come
    generator = torch.Generator().manual_seed(1)
    simulator = (
        old_commit.AloneSimulator(exp, num_envs)
        if old_commit.is_old()
        else AloneSimulator(exp, sim, num_envs)
    )

    def hold() -> float:
        action = 4 * torch.rand(simulator.shape, generator=generator) - 2
        command = simulator.command(action)
        begun = time.perf_counter()
        for _ in range(_HELD):
            simulator.step(command)
        return time.perf_counter() - begun

    return num_envs * _control_steps_per_second(hold, lambda: simulator.begin(generator), seconds)


def environment_speed(exp: str, sim: str, num_envs: int, seconds: float) -> float:
    """Environment steps/s with observations, rewards and resets, on all cores.

    Torch has one thread, as in training. Actions are normal, with a standard deviation of 2.
    """
    generator = torch.Generator().manual_seed(1)
    environment, shape = _environment(exp, sim, num_envs)

    def hold() -> float:
        action = 2 * torch.randn(shape, generator=generator)
        begun = time.perf_counter()
        environment.observe()
        environment.step(action)
        return time.perf_counter() - begun

    return num_envs * _control_steps_per_second(hold, lambda: None, seconds)


def _environment(exp: str, sim: str, num_envs: int) -> Tuple[Any, Tuple[int, int, int]]:
    if old_commit.is_old():
        environment = old_commit.make_environment(exp, num_envs, _HELD)
        return environment, (num_envs, environment.task.robots.count, 3)
    from mapush.environment.build import make_environment
    from mapush.simulators import SimulatorChoice
    from mapush.tasks import load_task, task_folder

    task = load_task(task_folder(exp))
    environment = make_environment(task, num_envs, SimulatorChoice(sim), 1, _HELD)
    return environment, (num_envs, environment.agents, environment.action_size)


def _control_steps_per_second(
    hold: Callable[[], float], begin: Callable[[], None], seconds: float
) -> float:
    """Control steps/s over whole episodes, which all have the same mixture of contacts.

    Args:
        hold: holds one action and says how long that took, s.
        begin: before every episode; not counted.
        seconds: to measure for, at least one episode.
    """
    begin()
    for _ in range(_WARM_UP // _HELD):
        hold()
    spent, episodes = 0.0, 0
    while spent < seconds:
        begin()
        spent += sum(hold() for _ in range(_EPISODE // _HELD))
        episodes += 1
    return _EPISODE * episodes / spent


_MEASURES = {"simulator": simulator_speed, "environment": environment_speed}


def main() -> None:
    """Measure what the request says and print the answer."""
    request: Dict[str, Any] = json.loads(sys.argv[1])
    torch.set_num_threads(1)  # as training does
    print(json.dumps({"speed": _MEASURES[request.pop("what")](**request)}))


if __name__ == "__main__":
    main()
