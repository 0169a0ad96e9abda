"""Episodes as they are recorded: how each went, and where everything was."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

import numpy as np

from mapush.environment.vector import ControlStep, Policy, VectorEnvironment
from mapush.errors import RequestError
from mapush.rendering.motion import STAND, Motion
from mapush.simulators import Scene

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
        """Whether it reached its aim."""
        return self.outcome == SUCCESS


@dataclass(frozen=True)
class Recording:
    """One episode, played and ready to be drawn."""

    scene: Scene
    motion: Motion
    summary: EpisodeSummary


def play(
    environment: VectorEnvironment,
    policy: Policy,
    episodes: int = 1,
    check: Callable[[], None] = lambda: None,
) -> List[Recording]:
    """Play the first episode of each of the first `episodes` environments.

    Args:
        environment: fresh, none of its episodes begun.
        policy: actions of observations, both (envs, agents, size); deterministic.
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
    states = [_snapshot(environment, episodes)]
    target = _targets(environment, episodes)
    summaries: List[Optional[EpisodeSummary]] = [None] * episodes
    for done, each in enumerate(environment.first_episodes(policy, check), 1):
        states.append(_snapshot(environment, episodes))
        for index in range(episodes):
            if summaries[index] is None:
                summaries[index] = summarise(environment, each, index, done)
        if all(summaries):
            break
    things, robots = (np.stack(part) for part in zip(*states))
    return [
        Recording(
            environment.task.scene,
            Motion(
                environment.control_step_seconds,
                target[index],
                things[: summary.control_steps + 1, index],
                robots[: summary.control_steps + 1, index],
            ),
            summary,
        )
        for index, summary in enumerate(summaries)
        if summary is not None
    ]


def summarise(
    environment: VectorEnvironment, each: ControlStep, index: int, control_steps: int
) -> Optional[EpisodeSummary]:
    """How the episode of an environment went, if its last control step ended it.

    Args:
        environment: where it is played.
        each: its last control step.
        index: which environment.
        control_steps: how many it has had.
    """
    if not bool(each.done[index]):
        return None
    outcome = TIMEOUT
    if bool(each.success[index]):
        outcome = SUCCESS
    elif bool(each.failure[index]):
        outcome = EXCEPTION
    seconds = control_steps * environment.control_step_seconds
    return EpisodeSummary(outcome, control_steps, seconds)


def foresee(environment: VectorEnvironment, index: int) -> Motion:
    """What is known of an episode when it begins: its start, and the object at its target."""
    things, robots = _snapshot(environment, index + 1)
    target = _targets(environment, index + 1)[index]
    arrived = things[index].copy()
    arrived[:2] = target
    return Motion(
        environment.control_step_seconds,
        target,
        np.stack((things[index], arrived)),
        np.stack((robots[index], robots[index])),
    )


def _targets(environment: VectorEnvironment, count: int) -> np.ndarray:
    """Where the targets are (count, 2), m; the arena's centre where the task has none."""
    target = environment.target
    return np.zeros((count, 2)) if target is None else target[:count].cpu().numpy().astype(float)


def _snapshot(environment: VectorEnvironment, count: int) -> Tuple[np.ndarray, np.ndarray]:
    """Where the objects (count, 4) and robots (count, robots, 6) are, as in `Motion`."""
    state = environment.state
    planar = state.robots[:count].double().cpu().numpy()
    robots = np.zeros((*planar.shape[:2], 6))
    robots[..., :2], robots[..., 2], robots[..., 5] = planar[..., :2], STAND, planar[..., 2]
    if state.robot_height is not None:
        robots[..., 2] = state.robot_height[:count].cpu().numpy()
    if state.robot_tilt is not None:
        robots[..., 3:5] = state.robot_tilt[:count].cpu().numpy()
    if not len(state.object):
        return np.zeros((count, 4)), robots
    thing = state.object[:count].double().cpu().numpy()
    height = state.object_height[:count].double().cpu().numpy()
    return np.column_stack((thing[:, :2], height, thing[:, 2])), robots


def frame_indices(recording: Recording, fps: int) -> List[int]:
    """States of an episode that are drawn, its last one included."""
    last = recording.summary.control_steps
    stride = 1 / (fps * recording.motion.step)
    between = (round(index * stride) for index in range(math.ceil(last / stride)))
    return [*(frame for frame in between if frame < last), last]
