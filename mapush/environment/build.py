"""Builds an environment from what a task's folder and a command line say."""

from __future__ import annotations

from mapush.environment.base import Environment
from mapush.environment.vector import VectorEnvironment
from mapush.simulators import SimulatorChoice, builder, check_choice, make_simulator
from mapush.tasks.base import TaskSpec


def make_environment(
    task: TaskSpec,
    num_envs: int,
    simulator: SimulatorChoice,
    seed: int,
    decimation: int,
    room: int = 0,
) -> Environment:
    """Build a simulator and an environment around it.

    Args:
        task: what is played.
        num_envs: how many at a time.
        simulator: in which simulator, on which device.
        seed: of the episodes' starts.
        decimation: control steps per action.
        room: environments that later simulators of this process will need.

    Raises:
        RequestError: the simulator is not there, or `decimation` does not fit the episode.
    """
    kind = check_choice(simulator)
    if kind.environment is not None:
        build = builder(kind, kind.environment)
        return build(task, num_envs, simulator.device, seed, decimation)
    return make_vector_environment(task, num_envs, simulator, seed, decimation, room)


def make_vector_environment(
    task: TaskSpec,
    num_envs: int,
    simulator: SimulatorChoice,
    seed: int,
    decimation: int,
    room: int = 0,
) -> VectorEnvironment:
    """Likewise, where each control step is to be seen, as pictures want it.

    Raises:
        RequestError: as for `make_environment`.
    """
    built = make_simulator(simulator, task.scene, num_envs, room)
    try:
        return VectorEnvironment(task, built, seed, decimation)
    except BaseException:
        built.close()
        raise
