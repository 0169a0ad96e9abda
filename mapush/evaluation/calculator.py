"""The published protocol: the first episode of every environment, deterministic actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Tuple

import torch

from mapush.environment.vector import ACTION_SIZE, PushEnvironment
from mapush.evaluation.ledger import Entry

Policy = Callable[[torch.Tensor], torch.Tensor]
_Z95 = 1.959963984540054  # the normal distribution's 97.5% point


@dataclass(frozen=True)
class Figures:
    """What one evaluation found.

    Attributes:
        success_rate: share of the episodes in which the object arrived.
        finished_time: mean time to arrival, s; an episode without arrival counts its full length.
        collision_degree: mean share of control steps with two robots closer than the limit, over
            the episodes that succeeded.
        collaboration_degree: mean share of control steps up to arrival in which all robots are
            within the task's collaboration distance of the object, over those that succeeded.
        episodes: how many there were.
        exception_rate: share that ended as exceptions.
        mean_return: reward of an episode, mean of its robots.
    """

    success_rate: float
    finished_time: float
    collision_degree: float
    collaboration_degree: float
    episodes: int
    exception_rate: float
    mean_return: float

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
            collision_degree=self.collision_degree,
            collaboration_degree=self.collaboration_degree,
        )


def wilson_interval(rate: float, count: int) -> Tuple[float, float]:
    """95% score interval of a share `rate` of `count` trials (Wilson, JASA 22, 1927)."""
    spread = _Z95**2 / count
    center = (rate + spread / 2) / (1 + spread)
    half = _Z95 / (1 + spread) * math.sqrt(rate * (1 - rate) / count + spread / (4 * count))
    return max(0.0, center - half), min(1.0, center + half)


@torch.no_grad()
def evaluate(
    environment: PushEnvironment, policy: Policy, check: Callable[[], None] = lambda: None
) -> Figures:
    """Run the first episode of every environment.

    Args:
        environment: fresh, none of its episodes begun.
        policy: actions (envs, robots, 3) of observations (envs, robots, size); deterministic.
        check: called at every control step; may raise to stop the evaluation.
    """
    task, device, count = environment.task, environment.device, environment.num_envs
    over = torch.zeros(count, dtype=torch.bool, device=device)
    success, failed = over.clone(), over.clone()
    steps = torch.zeros(count, device=device)
    together, close, total = steps.clone(), steps.clone(), steps.clone()
    command = torch.zeros(count, task.robots.count, ACTION_SIZE, device=device)
    for control_step in range(task.termination.control_steps):
        if control_step % environment.hold == 0:
            command = environment.command(policy(environment.observe()))
        check()
        bodies, ending, terms = environment.advance(command)
        live = ~over
        steps += live
        gap = (bodies.robots[..., :2] - bodies.object[:, None, :2]).norm(dim=-1)
        together += live & (gap < task.metrics.collaboration_distance).all(dim=1)
        close += live & ending.exception
        total += live * torch.stack([term.mean(dim=1) for term in terms.values()]).sum(dim=0)
        success |= live & ending.arrived
        failed |= live & ending.exception & ~ending.arrived
        over |= ending.over
        if bool(over.all()):
            break
    time = torch.where(success, steps, float(task.termination.control_steps)) * task.control.step
    arrivals = max(int(success.sum()), 1)
    return Figures(
        success_rate=float(success.float().mean()),
        finished_time=float(time.mean()),
        collision_degree=float((close / steps)[success].sum() / arrivals),
        collaboration_degree=float((together / steps)[success].sum() / arrivals),
        episodes=count,
        exception_rate=float(failed.float().mean()),
        mean_return=float(total.mean()),
    )
