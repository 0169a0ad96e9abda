"""Simulators: bodies in, bodies out. They know nothing of observations, rewards or episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapush.errors import RequestError
from mapush.task import PushTask

if TYPE_CHECKING:
    from mapush.simulator.base import Simulator

SIMULATORS = ("mujoco",)


def make_simulator(name: str, task: PushTask, num_envs: int) -> Simulator:
    """Build a simulator by its name.

    Raises:
        RequestError: there is none of that name, or what it needs is not installed.
    """
    if name != "mujoco":
        raise RequestError(f"--sim {name!r}: there are: {', '.join(SIMULATORS)}")
    try:
        from mapush.simulator.mujoco import MujocoSimulator
    except ImportError as error:
        raise RequestError(
            f"--sim mujoco: cannot import {error.name} (needs Python 3.10 or newer); "
            "install it with: pip install 'mapush[mujoco]'"
        ) from error
    return MujocoSimulator(task, num_envs)
