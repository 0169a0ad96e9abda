"""What an evaluation found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping, Tuple

from mapush.evaluation.success_rates import Entry

_Z95 = 1.959963984540054  # the normal distribution's 97.5% point


@dataclass(frozen=True)
class Figures:
    """What one evaluation found.

    Attributes:
        success_rate: share of the episodes that reached their aim.
        finished_time: mean time to that, s; an episode without success counts its full length.
        episodes: how many there were.
        failure_rate: share that ended otherwise, time apart.
        mean_return: reward of an episode, mean of its agents.
        metrics: the task's own, by name: the mean share of control steps at which something held,
            over the episodes that succeeded.
    """

    success_rate: float
    finished_time: float
    episodes: int
    failure_rate: float
    mean_return: float
    metrics: Mapping[str, float]

    @property
    def interval(self) -> Tuple[float, float]:
        """The success rate's 95% confidence interval."""
        return wilson_interval(self.success_rate, self.episodes)

    def entry(self, step: int) -> Entry:
        """These figures as the line in success_rate.txt of the checkpoint of `step`."""
        low, high = self.interval
        return Entry(
            step=step,
            success_rate=self.success_rate,
            low=low,
            high=high,
            episodes=self.episodes,
            finished_time=self.finished_time,
            metrics=self.metrics,
        )


def wilson_interval(rate: float, count: int) -> Tuple[float, float]:
    """95% score interval of a share `rate` of `count` trials (Wilson, JASA 22, 1927)."""
    spread = _Z95**2 / count
    center = (rate + spread / 2) / (1 + spread)
    half = _Z95 / (1 + spread) * math.sqrt(rate * (1 - rate) / count + spread / (4 * count))
    return max(0.0, center - half), min(1.0, center + half)
