"""Pictures of episodes: a video, an animation small enough for a page, a still.

An episode is played in whatever simulator there is and then drawn on a stage of its own, so the
picture does not depend on the simulator and the simulator not on the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Tuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from mapush.environment.push import PushEnvironment
from mapush.errors import RequestError
from mapush.evaluation.calculator import Policy
from mapush.evaluation.camera import frame_motion
from mapush.evaluation.encoding import Size, write_video
from mapush.evaluation.motion import STAND, Motion, gait
from mapush.evaluation.stage import Stage
from mapush.task import PushTask

SUCCESS, EXCEPTION, TIMEOUT = "arrived", "too close", "out of time"
_OUTCOME_COLORS = {SUCCESS: (20, 122, 78), EXCEPTION: (184, 38, 52), TIMEOUT: (70, 76, 88)}
_LAST_LOOK = 1.0  # s for which the last state stays in view
_SMALLEST, _LARGEST = 64, 4096  # pixels


@dataclass(frozen=True)
class EpisodeSummary:
    """How one recorded episode went.

    Attributes:
        outcome: `SUCCESS`, `EXCEPTION` or `TIMEOUT`.
        control_steps: its length.
        seconds: the same in s.
    """

    outcome: str
    control_steps: int
    seconds: float

    @property
    def success(self) -> bool:
        """Whether the object arrived."""
        return self.outcome == SUCCESS


@dataclass(frozen=True)
class Recording:
    """One episode, played and ready to be drawn."""

    task: PushTask
    motion: Motion
    summary: EpisodeSummary


@torch.no_grad()
def play(
    environment: PushEnvironment,
    policy: Policy,
    episodes: int = 1,
    check: Callable[[], None] = lambda: None,
) -> List[Recording]:
    """Play the first episode of each of the first `episodes` environments.

    Args:
        environment: fresh, none of its episodes begun.
        policy: actions (envs, robots, 3) of observations (envs, robots, size); deterministic.
        episodes: how many to record.
        check: called at every control step; may raise to stop.

    Raises:
        RequestError: more episodes are asked for than there are environments.
    """
    if not 1 <= episodes <= environment.num_envs:
        raise RequestError(
            f"episodes = {episodes}: from 1 to {environment.num_envs}, one per environment; "
            "raise --num_envs for more"
        )
    task = environment.task
    states = [_snapshot(environment, episodes)]
    target = environment.target[:episodes].cpu().numpy().astype(float)
    ends = [0] * episodes
    outcomes = [TIMEOUT] * episodes
    command = torch.empty(0)
    for control_step in range(task.termination.control_steps):
        if control_step % environment.hold == 0:
            command = environment.command(policy(environment.observe()))
        check()
        _, ending, _ = environment.advance(command)
        states.append(_snapshot(environment, episodes))
        for index in range(episodes):
            if not ends[index] and bool(ending.over[index]):
                ends[index] = control_step + 1
                if bool(ending.arrived[index]):
                    outcomes[index] = SUCCESS
                elif bool(ending.exception[index]):
                    outcomes[index] = EXCEPTION
        if all(ends):
            break
    summaries = [
        EpisodeSummary(outcome, end, end * task.control.step)
        for outcome, end in zip(outcomes, ends)
    ]
    things, robots = (np.stack(part) for part in zip(*states))
    return [
        Recording(
            task,
            Motion(
                task.control.step,
                target[index],
                things[: end + 1, index],
                robots[: end + 1, index],
            ),
            summary,
        )
        for index, (end, summary) in enumerate(zip(ends, summaries))
    ]


def _snapshot(environment: PushEnvironment, count: int) -> Tuple[np.ndarray, np.ndarray]:
    """Where the objects (count, 4) and robots (count, robots, 6) are, as in `Motion`."""
    bodies = environment.bodies
    planar = bodies.robots[:count].double().cpu().numpy()
    thing = bodies.object[:count].double().cpu().numpy()
    robots = np.zeros((*planar.shape[:2], 6))
    robots[..., :2], robots[..., 2], robots[..., 5] = planar[..., :2], STAND, planar[..., 2]
    if bodies.robot_height is not None:
        robots[..., 2] = bodies.robot_height[:count].cpu().numpy()
    if bodies.robot_tilt is not None:
        robots[..., 3:5] = bodies.robot_tilt[:count].cpu().numpy()
    height = bodies.object_height[:count].double().cpu().numpy()
    return np.column_stack((thing[:, :2], height, thing[:, 2])), robots


def record_episodes(
    environment: PushEnvironment,
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
    _validate(fps, size, environment.task)
    with Stage(environment.task, size) as stage:  # no OpenGL is said before an episode is played
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
    _validate(1, size, recording.task)
    with Stage(recording.task, size) as stage:
        stage.look(frame_motion(recording.motion, recording.task, size[0] / size[1]))
        last = recording.summary.control_steps
        frame = round(moment * last)
        stage.pose(recording.motion, gait(recording.motion), frame)
        return _caption(stage.draw(), recording, frame)


def draw(stage: Stage, recording: Recording, fps: int) -> Iterator[np.ndarray]:
    """Pictures (height, width, 3) of an episode at its own pace, its last state held for 1 s."""
    motion = recording.motion
    angles = gait(motion)
    stage.look(frame_motion(motion, recording.task, stage.size[0] / stage.size[1]))
    *frames, last = frame_indices(recording, fps)
    for frame in frames:
        stage.pose(motion, angles, frame)
        yield _caption(stage.draw(), recording, frame)
    stage.pose(motion, angles, last)
    picture = _caption(stage.draw(), recording, last)
    for _ in range(round(_LAST_LOOK * fps)):
        yield picture


def frame_indices(recording: Recording, fps: int) -> List[int]:
    """States of an episode that are drawn, its last one included."""
    last = recording.summary.control_steps
    stride = 1 / (fps * recording.motion.step)
    between = (round(index * stride) for index in range(math.ceil(last / stride)))
    return [*(frame for frame in between if frame < last), last]


def _checked(pictures: Iterable[np.ndarray], check: Callable[[], None]) -> Iterator[np.ndarray]:
    for picture in pictures:
        check()
        yield picture


def _validate(fps: int, size: Size, task: PushTask) -> None:
    most = round(1 / task.control.step)
    if not 1 <= fps <= most:
        raise RequestError(f"fps = {fps}: from 1 to {most}, the control steps per second")
    if any(side % 2 or not _SMALLEST <= side <= _LARGEST for side in size):
        raise RequestError(
            f"size = {size[0]}x{size[1]}: width and height are even numbers from {_SMALLEST} to "
            f"{_LARGEST}"
        )


def _caption(picture: np.ndarray, recording: Recording, frame: int) -> np.ndarray:
    """Write task and time into the corner and, where it is over, how it ended."""
    summary, motion = recording.summary, recording.motion
    image = Image.fromarray(np.ascontiguousarray(picture))
    text = f"{recording.task.name}   {frame * motion.step:4.1f} s"
    color = (52, 58, 70)
    if frame == summary.control_steps:
        text, color = f"{text}   {summary.outcome}", _OUTCOME_COLORS[summary.outcome]
    height = max(11, picture.shape[0] // 28)
    font = ImageFont.load_default(height)
    pen = ImageDraw.Draw(image)
    place, pad = (height, height), height // 2
    left, top, right, bottom = pen.textbbox(place, text, font=font)
    pen.rounded_rectangle((left - pad, top - pad, right + pad, bottom + pad), pad, fill=color)
    pen.text(place, text, font=font, fill=(255, 255, 255))
    return np.asarray(image)
