"""Simulators: bodies in, bodies out. They know nothing of observations, rewards or episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapush.errors import RequestError, there_are
from mapush.tasks import PushTask

if TYPE_CHECKING:
    from mapush.simulators.base import Simulator

# Each simulator, and whether it steps its bodies on a GPU where there is one.
_USES_GPU = {"mujoco": False, "isaacgym": True}
SIMULATORS = tuple(_USES_GPU)
DEVICES = ("auto", "cpu", "cuda")


def uses_gpu(name: str) -> bool:
    """Whether a simulator has any use for a GPU; one that has none runs on the CPU beside it.

    Raises:
        RequestError: there is none of that name.
    """
    if name not in _USES_GPU:
        raise RequestError(f"--sim {name!r}: {there_are(name, SIMULATORS)}")
    return _USES_GPU[name]


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
    takes_gpu = uses_gpu(name)
    if device == "cuda" and not takes_gpu:
        raise RequestError(f"--device cuda: --sim {name} simulates on the CPU; leave it out")
    if name == "isaacgym":
        from mapush.simulators.isaacgym.simulator import open_simulator

        chosen = None if device == "auto" else device
        return open_simulator(task, num_envs, chosen, options, room)
    if options:
        raise RequestError(f"--sim_options {options!r}: --sim mujoco has none; leave it out")
    try:
        from mapush.simulators.mujoco.simulator import MujocoSimulator
    except ImportError as error:
        raise RequestError(
            f"--sim mujoco: cannot import {error.name} (needs Python 3.10 or newer); "
            "install it with: pip install 'mapush[mujoco]'"
        ) from error
    return MujocoSimulator(task, num_envs)
