"""What one rollout remembers, and the advantages that follow from it."""

from __future__ import annotations

from typing import Tuple

import torch


class Rollout:
    """Fixed storage for so many decisions of every agent; allocated once, on one device.

    All tensors are (steps, envs, agents, ...).
    """

    def __init__(
        self,
        steps: int,
        envs: int,
        agents: int,
        observation_size: int,
        action_size: int,
        device: torch.device,
    ) -> None:
        def storage(*tail: int) -> torch.Tensor:
            return torch.zeros(steps, envs, agents, *tail, device=device)

        self.observation = storage(observation_size)
        self.action = storage(action_size)
        self.log_probability = storage(action_size)
        self.value = storage()
        self.prediction = storage()  # the same in the critic's own units, as they were then
        self.reward = storage()
        self.not_done = storage()
        self.length = steps
        self.filled = 0

    def advantages(
        self, next_value: torch.Tensor, gamma: float, gae_lambda: float
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Generalised advantage estimates and returns, both (steps, envs, agents).

        Schulman et al., arXiv 1506.02438, equation 16. Where an episode was cut by the clock, the
        discounted value of its last state is part of `reward` already.

        Args:
            next_value: (envs, agents) value after the last decision, in rewards' units.
            gamma: discount per decision.
            gae_lambda: weight of longer estimates.
        """
        advantage = torch.zeros_like(self.reward)
        running = torch.zeros_like(next_value)
        for index in reversed(range(self.length)):
            after = gamma * self.not_done[index]
            delta = self.reward[index] + after * next_value - self.value[index]
            running = delta + after * gae_lambda * running
            advantage[index] = running
            next_value = self.value[index]
        return advantage, advantage + self.value
