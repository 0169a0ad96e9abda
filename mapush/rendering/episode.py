"""Episodes played one control step at a time, judged as the calculator judges them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Tuple

import numpy as np
import torch

from mapush.environment.vector import PushEnvironment
from mapush.errors import RequestError
from mapush.evaluation.calculator import Policy
from mapush.rendering.motion import STAND, Motion
from mapush.tasks import PushTask
from mapush.tasks.push.termination import Ending

SUCCESS, EXCEPTION, TIMEOUT = "arrived", "too close", "out of time"
LAST_LOOK = 1.0  # s for which the last state of a filmed episode stays in view


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
    summaries: List[Optional[EpisodeSummary]] = [None] * episodes
    for control_step, ending in advance(environment, policy, check):
        states.append(_snapshot(environment, episodes))
        for index in range(episodes):
            if summaries[index] is None:
                summaries[index] = judge(task, ending, index, control_step)
        if all(summaries):
            break
    things, robots = (np.stack(part) for part in zip(*states))
    return [
        Recording(
            task,
            Motion(
                task.control.step,
                target[index],
                things[: summary.control_steps + 1, index],
                robots[: summary.control_steps + 1, index],
            ),
            summary,
        )
        for index, summary in enumerate(summaries)
        if summary is not None
    ]


@torch.no_grad()
def advance(
    environment: PushEnvironment, policy: Policy, check: Callable[[], None] = lambda: None
) -> Iterator[Tuple[int, Ending]]:
    """Run all environments, none of which is reset, until their time is over.

    Args:
        environment: fresh, none of its episodes begun.
        policy: actions (envs, robots, 3) of observations (envs, robots, size); deterministic.
        check: called before every control step; may raise to stop.

    Yields:
        How many control steps are done, from 1 on, and which episodes the last one ended.
    """
    command = torch.empty(0)
    for control_step in range(environment.task.termination.control_steps):
        if control_step % environment.hold == 0:
            command = environment.command(policy(environment.observe()))
        check()
        _, ending, _ = environment.advance(command)
        yield control_step + 1, ending


def judge(
    task: PushTask, ending: Ending, index: int, control_steps: int
) -> Optional[EpisodeSummary]:
    """How the episode of an environment went, if the control step just done ended it."""
    if not bool(ending.over[index]):
        return None
    outcome = TIMEOUT
    if bool(ending.arrived[index]):
        outcome = SUCCESS
    elif bool(ending.exception[index]):
        outcome = EXCEPTION
    return EpisodeSummary(outcome, control_steps, control_steps * task.control.step)


def foresee(environment: PushEnvironment, index: int) -> Motion:
    """What is known of an episode when it begins: its start, and the object at its target."""
    things, robots = _snapshot(environment, index + 1)
    target = environment.target[index].cpu().numpy().astype(float)
    arrived = things[index].copy()
    arrived[:2] = target
    return Motion(
        environment.task.control.step,
        target,
        np.stack((things[index], arrived)),
        np.stack((robots[index], robots[index])),
    )


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


def frame_indices(recording: Recording, fps: int) -> List[int]:
    """States of an episode that are drawn, its last one included."""
    last = recording.summary.control_steps
    stride = 1 / (fps * recording.motion.step)
    between = (round(index * stride) for index in range(math.ceil(last / stride)))
    return [*(frame for frame in between if frame < last), last]
