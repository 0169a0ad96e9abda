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


def shard(samples: int, device: torch.device) -> List[Tuple[int, int]]:
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
    """A rollout's samples in one order after another.

    Attributes:
        size: samples of one.
        shards: of each minibatch.
    """

    def __init__(self, rollout: Rollout, count: int) -> None:
        self._rollout = rollout
        self._given = rollout.features.flatten(0, 2)
        total, device = len(self._given), self._given.device
        self.size = total // count
        actions = rollout.action.shape[-1]
        self._given_columns = self._given.new_zeros(2 * actions + 3, total)
        self._features = torch.empty_like(self._given)
        self._columns = torch.empty_like(self._given_columns)
        self._split = (actions, actions, 1, 1, 1)
        self._targets = self._columns[-1].view(count, self.size)
        self.shards = [
            [self._samples(first + begin, first + end) for begin, end in shard(self.size, device)]
            for first in range(0, total, self.size)
        ]

    def _samples(self, begin: int, end: int) -> Samples:
        columns = self._columns[:, begin:end].split(self._split)
        return Samples(self._features[begin:end], *columns[:2], *(row[0] for row in columns[2:]))

    def take(self, advantage: torch.Tensor, returns: torch.Tensor) -> None:
        """Take over the rollout, with what follows from it (steps, envs, agents)."""
        rollout = self._rollout
        columns = self._given_columns.split(self._split)
        for place, values in zip(columns, (rollout.action, rollout.log_probability)):
            place.copy_(values.flatten(0, 2).t())
        rest = (advantage / -self.size, rollout.prediction, returns)
        for place, values in zip(columns[2:], rest):
            place[0].copy_(values.flatten())

    def shuffle(self, order: torch.Tensor, normalizer: ValueNormalizer, team: Team) -> None:
        """Put the samples in the order of some indices.

        The normaliser takes in the minibatches' returns one after another, and each minibatch's
        targets are its returns as normalised then.
        """

        def select_columns() -> None:
            torch.index_select(self._given_columns, 1, order, out=self._columns)
            self._targets.copy_(normalizer.update(self._targets))

        def select_features() -> None:
            torch.index_select(self._given, 0, order, out=self._features)

        team.run([select_columns, select_features])
