"""Episodes in Isaac Gym's own window."""

from __future__ import annotations

from typing import Iterator, Optional

from mapush.environment.vector import PushEnvironment
from mapush.evaluation.policy import LoadedPolicy
from mapush.rendering.camera import frame_motion
from mapush.rendering.colors import actor_colors
from mapush.rendering.episode import EpisodeSummary, advance, foresee, judge
from mapush.simulators.isaacgym.graphics import Drawing, Viewer, require_display, require_few
from mapush.simulators.isaacgym.simulator import open_simulator
from mapush.tasks import PushTask

_ASPECT = 16 / 9  # of the window, width over height


def watch_episodes(
    task: PushTask,
    policy: LoadedPolicy,
    episodes: int,
    seed: int,
    device: Optional[str] = None,
    options: str = "",
) -> Iterator[EpisodeSummary]:
    """Play episodes, one after another, in Isaac Gym's window until it is closed.

    Args:
        task: what is played.
        policy: who plays.
        episodes: how many at most.
        seed: of their starts.
        device: "cpu" or "cuda"; None for the GPU.
        options: as of `--sim_options`.

    Yields:
        Each episode that was played to its end.

    Raises:
        RequestError: Isaac Gym cannot run or open a window here, or there are too many
            episodes.
    """
    require_few(episodes)
    require_display()
    drawing = Drawing(window=True, colors=actor_colors(task.robots.count))
    simulator = open_simulator(task, episodes, device, options, drawing=drawing)
    try:
        viewer = simulator.open_viewer()
        try:
            for index in range(episodes):
                environment = PushEnvironment(task, simulator, seed, policy.hold)
                summary = _watch(environment, policy, index, viewer)
                if summary is None:
                    return
                yield summary
        finally:
            viewer.close()
    finally:
        simulator.close()


def _watch(
    environment: PushEnvironment, policy: LoadedPolicy, index: int, viewer: Viewer
) -> Optional[EpisodeSummary]:
    """Show one environment to the end of its episode; None if the window was closed before."""
    view = frame_motion(foresee(environment, index), environment.task, _ASPECT)
    viewer.look(index, view.eye.tolist(), view.lookat)
    for done, ending in advance(environment, policy):
        if not viewer.draw():
            return None
        summary = judge(environment.task, ending, index, done)
        if summary:
            return summary
    raise AssertionError("an episode has an end")
