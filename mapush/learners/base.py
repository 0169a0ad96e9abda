"""What a learner must offer to the training loop."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Protocol

import torch


class Learner(Protocol):
    """Chooses actions, remembers what came of them, and improves.

    Robots are interchangeable: every tensor is (envs, robots, ...) and one policy serves them all.
    """

    hold: int
    decisions: int

    def act(self, observation: torch.Tensor) -> torch.Tensor:
        """Sample actions (envs, robots, actions) for observations (envs, robots, size)."""
        ...

    def record(
        self,
        reward: torch.Tensor,
        terminated: torch.Tensor,
        truncated: torch.Tensor,
        last_observation: torch.Tensor,
    ) -> None:
        """Remember what the last `act` led to.

        Args:
            reward: (envs, robots).
            terminated: (envs,) bool, the episode is over for good.
            truncated: (envs,) bool, it was only cut: its last state's value counts.
            last_observation: (envs, robots, size) before any reset.
        """
        ...

    def update(
        self, observation: torch.Tensor, progress: float, check: Callable[[], None]
    ) -> Dict[str, float]:
        """Learn from the rollout and forget it.

        Args:
            observation: (envs, robots, size) after the rollout's last decision.
            progress: share of the run's steps that are done, for schedules.
            check: called between gradient steps; may raise to leave the update unfinished.

        Returns:
            Losses and other scalars for the log.
        """
        ...

    def policy(self, observation: torch.Tensor) -> torch.Tensor:
        """Deterministic actions (envs, robots, actions); remembers nothing."""
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
