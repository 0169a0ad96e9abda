"""Simulators: bodies in, bodies out. They know nothing of observations, rewards or episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapush.errors import RequestError
from mapush.task import PushTask

if TYPE_CHECKING:
    from mapush.simulator.base import Simulator

SIMULATORS = ("mujoco", "isaacgym")
DEVICES = ("auto", "cpu", "cuda")


def make_simulator(
    name: str,
    task: PushTask,
    num_envs: int,
    device: str = "auto",
    options: str = "",
    room: int = 0,
) -> Simulator:
    """Build a simulator by its name.

    Args:
        name: one of `SIMULATORS`.
        task: what is simulated.
        num_envs: how many copies of it.
        device: one of `DEVICES`; auto is the GPU for isaacgym, else the CPU.
        options: what is set of this simulator, `name=value,name=value`.
        room: environments that later simulators of this process will need, for those that can
            only be made once.

    Raises:
        RequestError: there is none of that name, or what it needs is not there.
    """
    if name == "isaacgym":
        from mapush.simulator.isaacgym.simulator import open_simulator

        chosen = None if device == "auto" else device
        return open_simulator(task, num_envs, chosen, options, room)
    if name != "mujoco":
        raise RequestError(f"--sim {name!r}: there are: {', '.join(SIMULATORS)}")
    if device == "cuda":
        raise RequestError("--device cuda: --sim mujoco simulates on the CPU; leave it away")
    if options:
        raise RequestError(f"--sim_options {options!r}: --sim mujoco has none; leave it away")
    try:
        from mapush.simulator.mujoco import MujocoSimulator
    except ImportError as error:
        raise RequestError(
            f"--sim mujoco: cannot import {error.name} (needs Python 3.10 or newer); "
            "install it with: pip install 'mapush[mujoco]'"
        ) from error
    return MujocoSimulator(task, num_envs)
