"""Pictures of episodes: a video, an animation small enough for a page, a still.

An episode is played in whatever simulator there is and then drawn on a stage of its own, so the
picture does not depend on the simulator and the simulator not on the picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterable, Iterator, List

import numpy as np

from mapush.environment.vector import Policy, VectorEnvironment
from mapush.errors import RequestError
from mapush.rendering.camera import frame_motion
from mapush.rendering.caption import caption
from mapush.rendering.encoding import Size, write_video
from mapush.rendering.episode import LAST_LOOK, EpisodeSummary, Recording, frame_indices, play
from mapush.rendering.motion import gait
from mapush.rendering.stage import Stage
from mapush.simulators import Scene

_SMALLEST, _LARGEST = 64, 4096  # pixels


def record_episodes(
    environment: VectorEnvironment,
    policy: Policy,
    path: Path,
    episodes: int = 1,
    fps: int = 25,
    size: Size = (960, 540),
    check: Callable[[], None] = lambda: None,
) -> List[EpisodeSummary]:
    """Play episodes (see `play`) and write them, one after another, into one mp4.

    The file appears whole or not at all.

    Args:
        environment: fresh, none of its episodes begun.
        policy: deterministic actions of observations.
        path: of the mp4; its directory is created.
        episodes: how many, from environment 0 on.
        fps: pictures per second of the episode's own time.
        size: width and height, pixels; even numbers.
        check: called at every control step and picture; may raise to stop.

    Raises:
        RequestError: an argument is out of range, or this machine has no OpenGL.
        StorageError: the file cannot be written.
    """
    scene = environment.task.scene
    _validate(fps, size, scene)
    with Stage(scene, size) as stage:  # no OpenGL is said before an episode is played
        recordings = play(environment, policy, episodes, check)
        pictures = (picture for recording in recordings for picture in draw(stage, recording, fps))
        write_video(_checked(pictures, check), path, fps, size)
    return [recording.summary for recording in recordings]


def still(recording: Recording, size: Size = (960, 540), moment: float = 1.0) -> np.ndarray:
    """One picture (height, width, 3), uint8, of an episode.

    Args:
        recording: the episode.
        size: width and height, pixels.
        moment: which: 0 is its beginning, 1 its end.

    Raises:
        RequestError: an argument is out of range, or this machine has no OpenGL.
    """
    if not 0.0 <= moment <= 1.0:
        raise RequestError(f"moment = {moment}: from 0, the beginning, to 1, the end")
    _validate(1, size, recording.scene)
    with Stage(recording.scene, size) as stage:
        stage.look(frame_motion(recording.motion, recording.scene, size[0] / size[1]))
        last = recording.summary.control_steps
        frame = round(moment * last)
        stage.pose(recording.motion, gait(recording.motion), frame)
        return _captioned(stage.draw(), recording, frame)


def draw(stage: Stage, recording: Recording, fps: int) -> Iterator[np.ndarray]:
    """Pictures (height, width, 3) of an episode at its own pace, its last state held for 1 s."""
    motion = recording.motion
    angles = gait(motion)
    stage.look(frame_motion(motion, recording.scene, stage.size[0] / stage.size[1]))
    *frames, last = frame_indices(recording, fps)
    for frame in frames:
        stage.pose(motion, angles, frame)
        yield _captioned(stage.draw(), recording, frame)
    stage.pose(motion, angles, last)
    picture = _captioned(stage.draw(), recording, last)
    for _ in range(round(LAST_LOOK * fps)):
        yield picture


def _checked(pictures: Iterable[np.ndarray], check: Callable[[], None]) -> Iterator[np.ndarray]:
    for picture in pictures:
        check()
        yield picture


def _validate(fps: int, size: Size, scene: Scene) -> None:
    most = round(1 / scene.step)
    if not 1 <= fps <= most:
        raise RequestError(f"fps = {fps}: from 1 to {most}, the control steps per second")
    if any(side % 2 or not _SMALLEST <= side <= _LARGEST for side in size):
        raise RequestError(
            f"size = {size[0]}x{size[1]}: width and height are even numbers from {_SMALLEST} to "
            f"{_LARGEST}"
        )


def _captioned(picture: np.ndarray, recording: Recording, frame: int) -> np.ndarray:
    summary = recording.summary
    outcome = summary.outcome if frame == summary.control_steps else None
    return caption(picture, recording.scene.name, frame * recording.motion.step, outcome)
