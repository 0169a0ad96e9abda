"""Gradient steps of actor and critic over a rollout, shard by shard."""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict, List, Sequence, Tuple

import torch

from mapush.learners.adam import FlatAdam
from mapush.learners.config import PPOConfig
from mapush.learners.flat import FlatNetwork
from mapush.learners.gradient import HALF_LOG_2PI, Network, policy_gradient, value_gradient
from mapush.learners.minibatch import Minibatches, Samples, cut
from mapush.learners.network import Actor, Critic
from mapush.learners.rollout import Rollout
from mapush.learners.team import Team

# What a gradient step says of itself, in this order: sums of the actor's and the critic's shards,
# and what the whole step is.
_OF_SHARDS = ("policy_loss", "approximate_kl", "clip_fraction", "value_loss")
_OF_STEP = ("entropy", "actor_grad_norm", "critic_grad_norm")


class Descent:
    """Actor and critic as two vectors, and what changes them.

    The sum over a minibatch is the sum over its shards, whose number and order are fixed: which
    thread has computed one changes nothing.

    Attributes:
        optimizer: of both networks.
        minibatches: what the steps are made on.
    """

    def __init__(
        self, config: PPOConfig, actor: Actor, critic: Critic, rollout: Rollout, team: Team
    ) -> None:
        self._config, self._team = config, team
        self._network = Network(actor.shape)
        self._actor, self._critic = FlatNetwork(actor), FlatNetwork(critic)
        self.optimizer = FlatAdam(
            [self._actor, self._critic], config.learning_rate, config.adam_epsilon
        )
        self.minibatches = Minibatches(rollout, config.minibatches)
        steps, shards = config.epochs * config.minibatches, len(self.minibatches.shards[0])
        device = rollout.reward.device
        self._told = torch.zeros(shards, len(_OF_SHARDS), device=device)
        self._history = torch.zeros(steps, len(_OF_SHARDS) + len(_OF_STEP), device=device)
        self._gradients = [each.layout.zeros(shards) for each in (self._actor, self._critic)]
        self._sums = [each.layout.zeros() for each in (self._actor, self._critic)]
        self._log_std_gradient = self._actor.layout.views(self._sums[0])[-1]
        self._tasks = [self._pieces(samples) for samples in self.minibatches.shards]

    def mean(self, features: torch.Tensor) -> torch.Tensor:
        """The policy's mean actions (samples, actions) for features (samples, size)."""
        return self._network.output(self._actor.tensors, features).t()

    @property
    def log_std(self) -> torch.Tensor:
        """Logarithm of the actions' standard deviation, (actions, 1)."""
        return self._actor.tensors[-1]

    def predict(self, features: Sequence[torch.Tensor], out: Sequence[torch.Tensor]) -> None:
        """Write the critic's values (samples,) for batches of features (samples, size)."""
        tasks: List[Callable[[], None]] = []
        for batch, place in zip(features, out):
            for begin, end in cut(len(batch), batch.device):
                tasks.append(partial(self._predict, batch[begin:end], place[begin:end]))
        self._team.run(tasks)

    def _predict(self, features: torch.Tensor, out: torch.Tensor) -> None:
        out.copy_(self._network.output(self._critic.tensors, features)[0])

    def step(self, number: int) -> None:
        """The update's gradient step of this number, on the next minibatch."""
        config, told = self._config, self._history[number]
        self._team.run(self._tasks[number % config.minibatches])
        shards = len(_OF_SHARDS)
        torch.sum(self._told, 0, out=told[:shards])
        told[shards].copy_(self.log_std.sum())
        for rows, total, place in zip(self._gradients, self._sums, told[shards + 1 :]):
            torch.sum(rows, 0, out=total)
            if total is self._sums[0]:
                self._log_std_gradient.sub_(config.entropy)
            norm = torch.linalg.vector_norm(total, out=place)
            total.mul_((config.max_grad_norm / (norm + 1e-6)).clamp_(max=1.0))
        self.optimizer.descend(self._sums)

    def losses(self) -> Dict[str, float]:
        """Means over all steps of the update."""
        names: Tuple[str, ...] = (*_OF_SHARDS, *_OF_STEP)
        means = dict(zip(names, self._history.mean(dim=0).tolist()))
        count, actions = self.minibatches.size, len(self.log_std)
        ratios = 1 if self._config.joint_ratio else actions
        for name, each in zip(_OF_SHARDS, (count, count * ratios, count * ratios, count)):
            means[name] /= each
        means["entropy"] += actions * (0.5 + HALF_LOG_2PI)
        return means

    def _pieces(self, minibatch: Sequence[Samples]) -> List[Callable[[], None]]:
        """The pieces of work that a minibatch's gradient consists of."""
        tasks: List[Callable[[], None]] = []
        for work, network, rows in zip(
            (self._actor_shard, self._critic_shard), (self._actor, self._critic), self._gradients
        ):
            tasks += [
                partial(work, samples, network.layout.views(row), told)
                for samples, row, told in zip(minibatch, rows, self._told)
            ]
        return tasks

    def _actor_shard(
        self, samples: Samples, into: Sequence[torch.Tensor], told: torch.Tensor
    ) -> None:
        weights = self._actor.tensors
        mean, layers = self._network.forward(weights, samples.features)
        gradient, of_log_std, sums = policy_gradient(
            self._config,
            mean,
            self.log_std,
            samples.action,
            samples.log_probability,
            samples.advantage,
            self.minibatches.size,
        )
        self._network.backward(weights, layers, gradient, into)
        into[-1].copy_(of_log_std)
        for place, value in zip(told, sums):
            place.copy_(value)

    def _critic_shard(
        self, samples: Samples, into: Sequence[torch.Tensor], told: torch.Tensor
    ) -> None:
        weights = self._critic.tensors
        value, layers = self._network.forward(weights, samples.features)
        gradient, loss = value_gradient(
            self._config, value, samples.prediction, samples.target, self.minibatches.size
        )
        self._network.backward(weights, layers, gradient, into)
        told[-1].copy_(loss)
