"""Episodes in the own window of a simulator that draws."""

from __future__ import annotations

from typing import Iterator, Optional

from mapush.environment.vector import VectorEnvironment
from mapush.evaluation.policy import LoadedPolicy
from mapush.rendering.camera import frame_motion
from mapush.rendering.colors import actor_colors
from mapush.rendering.episode import EpisodeSummary, foresee, summarise
from mapush.simulators import SimulatorChoice, make_drawn_simulator
from mapush.simulators.view import Drawing, Viewer
from mapush.tasks.base import TaskSpec

_ASPECT = 16 / 9  # of the window, width over height


def watch_episodes(
    task: TaskSpec,
    policy: LoadedPolicy,
    episodes: int,
    seed: int,
    choice: SimulatorChoice,
) -> Iterator[EpisodeSummary]:
    """Play episodes, one after another, in the simulator's window until it is closed.

    Args:
        task: what is played.
        policy: who plays.
        episodes: how many at most.
        seed: of their starts.
        choice: the simulator; one that draws.

    Yields:
        Each episode that was played to its end.

    Raises:
        RequestError: it cannot run or open a window here, or there are too many episodes.
    """
    drawing = Drawing(window=True, colors=actor_colors(task.scene))
    simulator = make_drawn_simulator(choice, task.scene, episodes, drawing)
    try:
        viewer = simulator.open_viewer()
        environment = VectorEnvironment(task, simulator, seed, policy.decimation)
        try:
            for index in range(episodes):
                environment.restart(seed)
                summary = _watch(environment, policy, index, viewer)
                if summary is None:
                    return
                yield summary
        finally:
            viewer.close()
    finally:
        simulator.close()


def _watch(
    environment: VectorEnvironment, policy: LoadedPolicy, index: int, viewer: Viewer
) -> Optional[EpisodeSummary]:
    """Show one environment to the end of its episode; None if the window was closed before."""
    view = frame_motion(foresee(environment, index), environment.task.scene, _ASPECT)
    viewer.look(index, view.eye.tolist(), view.lookat)
    for done, each in enumerate(environment.first_episodes(policy), 1):
        if not viewer.draw():
            return None
        summary = summarise(environment, each, index, done)
        if summary:
            return summary
    raise AssertionError("an episode has an end")
