"""What an environment offers to whoever trains, evaluates or shows a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Protocol, Tuple

import torch

from mapush.errors import RequestError
from mapush.tasks.base import TaskSpec

RECENT = 500  # finished episodes that the running success rate looks back on

Policy = Callable[[torch.Tensor], torch.Tensor]
"""Actions (envs, agents, size) of observations (envs, agents, size)."""


@dataclass(frozen=True)
class Transition:
    """What one action led to.

    Attributes:
        reward: (envs, agents) summed over the control steps for which it was held.
        terminated: (envs,) bool, the episode ended by success or failure.
        truncated: (envs,) bool, it ran out of time: its last state still has a value.
        last_observation: (envs, agents, size) before any environment was reset.
    """

    reward: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    last_observation: torch.Tensor


@dataclass(frozen=True)
class Episode:
    """One finished episode of one environment."""

    reward: float  # summed over its control steps, mean of the agents
    control_steps: int
    success: bool
    failure: bool


@dataclass(frozen=True)
class Outcome:
    """How the first episodes of all environments went.

    Attributes:
        success: (envs,) bool, it reached the aim.
        failure: (envs,) bool, it ended otherwise, time apart.
        control_steps: (envs,) that it took.
        reward: (envs,) summed over them, mean of the agents.
        held: (envs, metrics) control steps at which each metric's thing held.
    """

    success: torch.Tensor
    failure: torch.Tensor
    control_steps: torch.Tensor
    reward: torch.Tensor
    held: torch.Tensor


def check_decimation(task: TaskSpec, decimation: int) -> None:
    """Refuse actions that are not held for a whole share of an episode.

    Raises:
        RequestError: they are not.
    """
    if decimation < 1 or task.control_steps % decimation:
        raise RequestError(
            f"--hold {decimation}: an action is held for a whole number of control steps that "
            f"divides the episode's {task.control_steps}"
        )


class Environment(Protocol):
    """`num_envs` copies of a task whose episodes follow one another.

    Attributes:
        task: what is played.
        num_envs: how many.
        device: where all tensors live.
        agents: how many act in each; alike, one policy serves them all.
        observation_size: length of one agent's observation.
        action_size: length of one agent's action.
        angles: where angles, rad, stand in an observation.
        decimation: control steps per action.
        control_step_seconds: length of a control step, s.
        metric_names: of what an `Outcome` counts.
    """

    task: TaskSpec
    num_envs: int
    device: torch.device
    agents: int
    observation_size: int
    action_size: int
    angles: Tuple[int, ...]
    decimation: int
    control_step_seconds: float
    metric_names: Tuple[str, ...]

    def observe(self) -> torch.Tensor:
        """Observations (envs, agents, size) of the present state."""
        ...

    def step(self, action: torch.Tensor) -> Transition:
        """Hold actions (envs, agents, size) for `decimation` control steps; begin anew where done.

        An episode that ends meanwhile earns nothing more and begins anew with the next action.
        """
        ...

    def play(self, policy: Policy, check: Callable[[], None] = lambda: None) -> Outcome:
        """Run the episodes that have just begun to their ends; none begins anew.

        Args:
            policy: decides.
            check: called before every decision at least; may raise to stop.
        """
        ...

    def take_episodes(self) -> List[Episode]:
        """Hand over the episodes finished since the last call, in order."""
        ...

    def take_reward_terms(self) -> Dict[str, float]:
        """Hand over each reward term's mean per control step and agent since the last call."""
        ...

    @property
    def success_rate(self) -> float:
        """Share of the last finished episodes that succeeded; 0 before the first."""
        ...

    def restart(self, seed: int) -> None:
        """Begin all episodes anew, and everything else too, as if it were built with `seed`."""
        ...

    def state_dict(self) -> Dict[str, Any]:
        """Capture everything the next step depends on, as tensors of its own."""
        ...

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore a capture, exactly where the simulator can.

        Raises:
            CheckpointError: it is of another scene or number of environments.
        """
        ...

    def close(self) -> None:
        """Free the simulator."""
        ...
