"""What a learner must offer to the training loop."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Protocol

import torch


class Learner(Protocol):
    """Chooses actions, remembers what came of them, and improves.

    Agents are interchangeable: every tensor is (envs, agents, ...) and one policy serves them all.

    Attributes:
        decimation: control steps for which one action is held.
        rollout_steps: decisions per environment in one rollout.
    """

    decimation: int
    rollout_steps: int

    def act(self, observation: torch.Tensor) -> torch.Tensor:
        """Sample actions (envs, agents, actions) for observations (envs, agents, size)."""
        ...

    def step(
        self,
        reward: torch.Tensor,
        terminated: torch.Tensor,
        truncated: torch.Tensor,
        last_observation: torch.Tensor,
    ) -> None:
        """Remember what the last `act` led to.

        Args:
            reward: (envs, agents).
            terminated: (envs,) bool, the episode is over for good.
            truncated: (envs,) bool, it was only cut: its last state's value counts.
            last_observation: (envs, agents, size) before any reset.
        """
        ...

    def update(
        self, observation: torch.Tensor, progress: float, should_stop: Callable[[], bool]
    ) -> Optional[Dict[str, float]]:
        """Learn from the rollout and forget it.

        Args:
            observation: (envs, agents, size) after the rollout's last decision.
            progress: share of the run's steps that are done, for schedules.
            should_stop: asked between gradient steps.

        Returns:
            Losses and other scalars for the log; None where it was stopped. The update is half
            done then, and whoever asked for that discards this learner.
        """
        ...

    def policy(self, observation: torch.Tensor) -> torch.Tensor:
        """Deterministic actions (envs, agents, actions); remembers nothing."""
        ...

    def state_dict(self) -> Dict[str, Any]:
        """Everything at an update boundary, under the keys of a `module.pt`."""
        ...

    def load_weights(self, state: Mapping[str, Any]) -> None:
        """Take over networks and value normaliser alone; the rest begins anew.

        Raises:
            CheckpointError: they are of another network.
        """
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict` exactly.

        Raises:
            CheckpointError: it is of another network or learner.
        """
        ...
