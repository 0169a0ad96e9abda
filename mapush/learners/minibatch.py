"""A rollout's samples in random order, cut into minibatches, and these into shards."""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import torch

from mapush.learners.normalizer import ValueNormalizer
from mapush.learners.rollout import Rollout
from mapush.learners.team import Team

# Samples whose gradients are summed at a time: what fits a core's cache. A constant, since sums
# grouped otherwise differ in their last bits, and a run must not depend on the machine.
SHARD = 2048


def cut(samples: int, device: torch.device) -> List[Tuple[int, int]]:
    """Begin and end of each shard of so many samples; on a GPU there is one."""
    size = SHARD if device.type == "cpu" else samples
    return [(begin, min(begin + size, samples)) for begin in range(0, samples, size)]


class Samples(NamedTuple):
    """Samples of a rollout. Numbers of one kind lie side by side, for which operations are fast.

    Attributes:
        features: (samples, size).
        action: (actions, samples).
        log_probability: (actions, samples).
        cost: (samples,), the advantage by minus the minibatch's samples.
        prediction: (samples,) of the critic, in its units at the time of the rollout.
        target: (samples,) returns, in the critic's units of now.
    """

    features: torch.Tensor
    action: torch.Tensor
    log_probability: torch.Tensor
    cost: torch.Tensor
    prediction: torch.Tensor
    target: torch.Tensor


class Minibatches:
    """Room for all samples of a rollout in another order, and views of its parts.

    Attributes:
        size: samples of one.
        shards: of each minibatch.
    """

    def __init__(self, rollout: Rollout, count: int) -> None:
        self._rollout = rollout
        features = rollout.features.flatten(0, 2)
        total, device = len(features), features.device
        actions = rollout.action.shape[-1]
        self.size = total // count
        self._features = torch.empty_like(features)
        self._columns = features.new_empty(2 * actions + 3, total)
        self._returns = self._columns[-1].split(self.size)
        action, log_probability, rest = self._columns.split((actions, actions, 3))

        def part(begin: int, end: int) -> Samples:
            among = slice(begin, end)
            return Samples(
                self._features[among],
                action[:, among],
                log_probability[:, among],
                *(column[among] for column in rest),
            )

        self.shards = [
            [part(first + begin, first + end) for begin, end in cut(self.size, device)]
            for first in range(0, total, self.size)
        ]

    def gather(self, advantage: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
        """What `fill` takes of the rollout's samples beside their features."""
        rollout = self._rollout
        cost = advantage / -self.size
        rest = torch.stack((cost, rollout.prediction, returns), dim=-1)
        return torch.cat((rollout.action, rollout.log_probability, rest), dim=-1).flatten(0, 2)

    def fill(
        self, gathered: torch.Tensor, order: torch.Tensor, normalizer: ValueNormalizer, team: Team
    ) -> None:
        """Put the rollout's samples in the order of some indices.

        The normaliser takes in the minibatches' returns one after another, and each minibatch's
        targets are its returns as normalised then.
        """
        features = self._rollout.features.flatten(0, 2)

        def select_features() -> None:
            torch.index_select(features, 0, order, out=self._features)

        def select_rest() -> None:
            self._columns.copy_(gathered.index_select(0, order).t())
            for returns in self._returns:
                normalizer.update(returns)
                returns.copy_(normalizer.normalize(returns))

        team.run([select_rest, select_features])
