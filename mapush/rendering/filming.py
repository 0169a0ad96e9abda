"""An mp4 of episodes as the cameras of a simulator that draws see them.

A simulation only runs forward and the pictures of many episodes do not fit into memory. So episodes
are filmed one after another: for each, all environments begin anew from the same seed and one of
them is filmed until its episode is over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Generator, Iterator, List

import numpy as np

from mapush.environment.vector import VectorEnvironment
from mapush.evaluation.policy import LoadedPolicy
from mapush.rendering.camera import frame_motion, horizontal_fov
from mapush.rendering.caption import caption
from mapush.rendering.colors import actor_colors
from mapush.rendering.encoding import write_video
from mapush.rendering.episode import LAST_LOOK, EpisodeSummary, foresee, summarise
from mapush.simulators import SimulatorChoice, make_drawn_simulator
from mapush.simulators.view import Cameras, Drawing
from mapush.tasks.base import TaskSpec

FPS = 25
SIZE = (960, 540)


def film_episodes(
    task: TaskSpec,
    policy: LoadedPolicy,
    path: Path,
    episodes: int,
    seed: int,
    choice: SimulatorChoice,
    check: Callable[[], None] = lambda: None,
) -> List[EpisodeSummary]:
    """Film episodes, one after another, into one mp4 that appears whole or not at all.

    Args:
        task: what is played.
        policy: who plays.
        path: of the mp4; its directory is created.
        episodes: how many.
        seed: of their starts.
        choice: the simulator; one that draws.
        check: called at every control step; may raise to stop.

    Raises:
        RequestError: it cannot run or draw here, or there are too many episodes.
        StorageError: the file cannot be written.
    """
    scene = task.scene
    drawing = Drawing(
        cameras=episodes,
        size=SIZE,
        horizontal_fov=horizontal_fov(SIZE[0] / SIZE[1]),
        colors=actor_colors(scene),
    )
    simulator = make_drawn_simulator(choice, scene, episodes, drawing)
    summaries: List[EpisodeSummary] = []
    try:
        cameras = simulator.cameras()
        environment = VectorEnvironment(task, simulator, seed, policy.decimation)

        def pictures() -> Iterator[np.ndarray]:
            for index in range(episodes):
                environment.restart(seed)
                summary = yield from _film(environment, policy, index, cameras, check)
                summaries.append(summary)

        write_video(pictures(), path, FPS, SIZE)
    finally:
        simulator.close()
    return summaries


def _film(
    environment: VectorEnvironment,
    policy: LoadedPolicy,
    index: int,
    cameras: Cameras,
    check: Callable[[], None],
) -> Generator[np.ndarray, None, EpisodeSummary]:
    """Pictures of one environment at its own pace, its last state held; returns the summary."""
    scene = environment.task.scene
    view = frame_motion(foresee(environment, index), scene, SIZE[0] / SIZE[1])
    cameras.look(index, view.eye.tolist(), view.lookat)
    stride = 1 / (FPS * scene.step)
    count = 0
    for done, each in enumerate(environment.first_episodes(policy, check), 1):
        summary = summarise(environment, each, index, done)
        # The state before the first control step cannot be seen: that is when what was placed
        # reaches the simulation. So its picture is the one just after.
        while round(count * stride) < (done if summary else done + 1):
            yield caption(cameras.picture(index), scene.name, done * scene.step, None)
            count += 1
        if summary:
            last = caption(cameras.picture(index), scene.name, summary.seconds, summary.outcome)
            for _ in range(round(LAST_LOOK * FPS)):
                yield last
            return summary
    raise AssertionError("an episode has an end")
