"""What one rollout remembers, and the advantages that follow from it."""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import torch


class Cut(NamedTuple):
    """Episodes that the clock has ended.

    Attributes:
        decision: the number of the one after which.
        envs: (envs,) bool, whose.
        features: (cut, agents, size) of their last observations, encoded.
    """

    decision: int
    envs: torch.Tensor
    features: torch.Tensor


class Rollout:
    """Fixed storage for so many decisions of every agent; allocated once, on one device.

    All tensors are (steps, envs, agents, ...).

    Attributes:
        features: encoded observations, which is how the networks see them.
        action: what was done.
        log_probability: of each of the action's dimensions, but for a constant: plus half the
            logarithm of 2 pi.
        prediction: the critic's values, in its own units at the time of the rollout.
        value: the same in rewards' units.
        reward: what came of it.
        not_done: 0 where an episode ended, else 1.
        cuts: whose last state's value is still to be added to a reward.
        length: steps that it has room for.
        filled: steps that are remembered.
    """

    def __init__(
        self,
        steps: int,
        envs: int,
        agents: int,
        input_size: int,
        action_size: int,
        device: torch.device,
    ) -> None:
        def storage(*tail: int) -> torch.Tensor:
            return torch.zeros(steps, envs, agents, *tail, device=device)

        self.features = storage(input_size)
        self.action = storage(action_size)
        self.log_probability = storage(action_size)
        self.prediction = storage()
        self.value = storage()
        self.reward = storage()
        self.not_done = storage()
        self.cuts: List[Cut] = []
        self.length = steps
        self.filled = 0

    def forget(self) -> None:
        """Begin anew."""
        self.cuts.clear()
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
        advantage = torch.empty_like(self.reward)
        after = gamma * self.not_done
        delta = torch.cat((self.value[1:], next_value[None])).mul_(after)
        delta.add_(self.reward).sub_(self.value)
        after *= gae_lambda
        running = torch.zeros_like(next_value)
        for index in reversed(range(self.length)):
            running = torch.addcmul(delta[index], after[index], running, out=advantage[index])
        return advantage, advantage + self.value
