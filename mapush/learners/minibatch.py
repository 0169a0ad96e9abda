"""A rollout's samples in random order, cut into minibatches, and these into shards."""

from __future__ import annotations

from functools import partial
from typing import List, NamedTuple, Tuple

import torch

from mapush.learners.rollout import Rollout
from mapush.learners.team import Team

# Samples whose gradients are summed at a time: what fits a core's cache. A constant, since sums
# grouped otherwise differ in their last bits, and a run must not depend on the machine.
SHARD = 512


class Samples(NamedTuple):
    """Samples of a rollout.

    Attributes:
        features: (samples, size).
        action: (samples, actions).
        log_probability: (samples, actions).
        prediction: (samples, 1).
        advantage: (samples, 1).
        returns: (samples, 1).
    """

    features: torch.Tensor
    action: torch.Tensor
    log_probability: torch.Tensor
    prediction: torch.Tensor
    advantage: torch.Tensor
    returns: torch.Tensor

    @classmethod
    def of(cls, rollout: Rollout, advantage: torch.Tensor, returns: torch.Tensor) -> Samples:
        """All of a rollout, in its order; both (steps, envs, agents)."""
        return cls(
            *(each.flatten(0, 2) for each in (rollout.features, rollout.action)),
            rollout.log_probability.flatten(0, 2),
            *(each.view(-1, 1) for each in (rollout.prediction, advantage, returns)),
        )


def cut(samples: int, device: torch.device) -> List[Tuple[int, int]]:
    """Begin and end of each shard of so many samples; on a GPU there is one."""
    size = SHARD if device.type == "cpu" else samples
    return [(begin, min(begin + size, samples)) for begin in range(0, samples, size)]


class Minibatches:
    """Room for all samples of a rollout in another order, and views of its parts.

    Attributes:
        whole: each minibatch.
        shards: of each minibatch.
    """

    def __init__(self, rollout: Rollout, count: int) -> None:
        samples = Samples.of(rollout, rollout.reward, rollout.reward)
        self._all = Samples(*map(torch.empty_like, samples))
        total = len(samples.features)
        size = total // count
        pieces = cut(size, samples.features.device)
        self.whole = [self._part(begin, begin + size) for begin in range(0, total, size)]
        self.shards = [
            [self._part(first + begin, first + end) for begin, end in pieces]
            for first in range(0, total, size)
        ]

    def _part(self, begin: int, end: int) -> Samples:
        return Samples(*(column[begin:end] for column in self._all))

    def fill(self, samples: Samples, order: torch.Tensor, team: Team) -> None:
        """Put samples (n, ...) in the order of some indices (n,)."""
        team.run(
            [
                partial(torch.index_select, column, 0, order, out=place)
                for column, place in zip(samples, self._all)
            ]
        )
