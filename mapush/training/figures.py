"""The figures of an update: what was earned and learned, and where the time went."""

from __future__ import annotations

import contextlib
import time
from typing import Dict, Iterator, Tuple

from mapush.environment.base import Environment

_PARTS: Tuple[str, ...] = ("simulate", "act", "update", "save", "evaluate")


class Stopwatch:
    """Seconds since the last update's figures, by what they were spent on.

    They are taken before their own boundary is evaluated and saved, so these two are of the
    boundary before.
    """

    def __init__(self) -> None:
        self._spent = dict.fromkeys(_PARTS, 0.0)
        self._lap = time.perf_counter()

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count the time inside the block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._spent[name] += time.perf_counter() - begun

    def lap(self) -> float:
        """Seconds since the last call, or since it was made."""
        last, self._lap = self._lap, time.perf_counter()
        return self._lap - last

    def take(self) -> Dict[str, float]:
        """Hand over the seconds and begin at zero."""
        spent, self._spent = self._spent, dict.fromkeys(_PARTS, 0.0)
        return spent


def update_figures(
    environment: Environment,
    losses: Dict[str, float],
    watch: Stopwatch,
    steps: int,
    unprotected_steps: int,
) -> Dict[str, Dict[str, float]]:
    """The figures of an update by group and name, for the log.

    Args:
        environment: Hands over the reward and the episodes since the last call.
        losses: What the learner has found.
        watch: Hands over the time since the last call.
        steps: Environment steps of the update.
        unprotected_steps: Environment steps since the newest durable checkpoint.
    """
    terms, episodes = environment.take_reward_terms(), environment.take_episodes()
    train = {
        "average_step_reward": sum(terms.values()),
        "success_rate": environment.success_rate,
        "episodes": float(len(episodes)),
    }
    if episodes:
        train["episode_return"] = sum(each.reward for each in episodes) / len(episodes)
        train["episode_length"] = sum(each.control_steps for each in episodes) / len(episodes)
    spent = watch.take()
    speed = {"steps_per_second": steps / watch.lap()}
    speed.update({f"seconds_{name}": seconds for name, seconds in spent.items()})
    return {
        "train": train,
        "reward": terms,
        "loss": losses,
        "speed": speed,
        "checkpoint": {
            "stall_ms": 1000 * spent["save"],
            "unprotected_steps": float(unprotected_steps),
        },
    }
