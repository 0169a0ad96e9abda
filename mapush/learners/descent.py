"""Gradient steps of actor and critic over a rollout, shard by shard."""

from __future__ import annotations

from functools import partial
from typing import Callable, List, Sequence

import torch

from mapush.learners.adam import FlatAdam
from mapush.learners.config import PPOConfig
from mapush.learners.flat import FlatNetwork
from mapush.learners.gradient import HALF_LOG_2PI, Network, policy_gradient, value_gradient
from mapush.learners.minibatch import Minibatches, Samples, cut
from mapush.learners.network import Actor, Critic
from mapush.learners.normalizer import ValueNormalizer
from mapush.learners.rollout import Rollout
from mapush.learners.team import Team

# What a gradient step says of itself, in this order; the first three are the actor's sums.
SCALARS = (
    *("policy_loss", "approximate_kl", "clip_fraction", "value_loss"),
    *("entropy", "actor_grad_norm", "critic_grad_norm"),
)


class Descent:
    """Actor and critic as two vectors, and what changes them.

    The sum over a minibatch is the sum over its shards, whose number and order are fixed: which
    thread has computed one changes nothing.

    Attributes:
        optimizer: of both networks.
    """

    def __init__(
        self,
        config: PPOConfig,
        actor: Actor,
        critic: Critic,
        normalizer: ValueNormalizer,
        rollout: Rollout,
        team: Team,
    ) -> None:
        self._config, self._normalizer, self._team = config, normalizer, team
        self._network = Network(actor.shape)
        self._actor, self._critic = FlatNetwork(actor), FlatNetwork(critic)
        self.optimizer = FlatAdam(
            [self._actor, self._critic], config.learning_rate, config.adam_epsilon
        )
        self._minibatches = Minibatches(rollout, config.minibatches)
        self._targets = [torch.empty_like(part.returns) for part in self._minibatches.whole]
        shards = len(self._minibatches.shards[0])
        self._told = torch.zeros(shards, 4, device=rollout.reward.device)
        self._gradients = [each.layout.zeros(shards) for each in (self._actor, self._critic)]
        self._sums = [each.layout.zeros() for each in (self._actor, self._critic)]
        self._tasks = [self._work_of(index) for index in range(config.minibatches)]
        self._log_std_gradient = self._actor.layout.views(self._sums[0])[-1]

    def mean(self, features: torch.Tensor) -> torch.Tensor:
        """The policy's mean actions (samples, actions) for features (samples, size)."""
        return self._network.output(self._actor.tensors, features)

    @property
    def log_std(self) -> torch.Tensor:
        """Logarithm of the actions' standard deviation, (actions,)."""
        return self._actor.tensors[-1].view(-1)

    def predict(self, features: Sequence[torch.Tensor], out: Sequence[torch.Tensor]) -> None:
        """Write the critic's values (samples, 1) for several batches of features (samples, size)."""
        tasks: List[Callable[[], None]] = []
        for batch, place in zip(features, out):
            for begin, end in cut(len(batch), batch.device):
                tasks.append(partial(self._predict, batch[begin:end], place[begin:end]))
        self._team.run(tasks)

    def _predict(self, features: torch.Tensor, out: torch.Tensor) -> None:
        out.copy_(self._network.output(self._critic.tensors, features))

    def shuffle(self, samples: Samples, order: torch.Tensor) -> None:
        """Make minibatches of samples (n, ...) in the order of some indices (n,)."""
        self._minibatches.fill(samples, order, self._team)

    def step(self, index: int, told: torch.Tensor) -> None:
        """One gradient step on a minibatch; what `SCALARS` names goes to `told` (7,)."""
        config, normalizer = self._config, self._normalizer
        returns = self._minibatches.whole[index].returns
        normalizer.update(returns)
        self._targets[index].copy_(normalizer.normalize(returns))
        self._team.run(self._tasks[index])
        torch.sum(self._told, 0, out=told[:4])
        told[4] = (self.log_std + (0.5 + HALF_LOG_2PI)).sum()
        for rows, total, place in zip(self._gradients, self._sums, told[5:]):
            torch.sum(rows, 0, out=total)
            if total is self._sums[0]:
                self._log_std_gradient.sub_(config.entropy)
            norm = torch.linalg.vector_norm(total, out=place)
            total.mul_((config.max_grad_norm / (norm + 1e-6)).clamp_(max=1.0))
        self.optimizer.descend(self._sums)

    def _work_of(self, index: int) -> List[Callable[[], None]]:
        """The pieces of work that a minibatch's gradient consists of."""
        tasks: List[Callable[[], None]] = []
        count = len(self._targets[index])
        targets = self._targets[index].split(len(self._minibatches.shards[index][0].returns))
        for shard, (samples, target) in enumerate(zip(self._minibatches.shards[index], targets)):
            actor, critic = (
                each.layout.views(rows[shard])
                for each, rows in zip((self._actor, self._critic), self._gradients)
            )
            told = self._told[shard]
            tasks.append(partial(self._actor_shard, samples, count, actor, told[:3]))
            tasks.append(partial(self._critic_shard, samples, target, count, critic, told[3]))
        return tasks

    def _actor_shard(
        self, samples: Samples, count: int, into: Sequence[torch.Tensor], told: torch.Tensor
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
            count,
        )
        self._network.backward(weights, layers, gradient, into)
        into[-1].view(-1).copy_(of_log_std)
        told.copy_(sums)

    def _critic_shard(
        self,
        samples: Samples,
        target: torch.Tensor,
        count: int,
        into: Sequence[torch.Tensor],
        told: torch.Tensor,
    ) -> None:
        weights = self._critic.tensors
        value, layers = self._network.forward(weights, samples.features)
        gradient, loss = value_gradient(self._config, value, samples.prediction, target, count)
        self._network.backward(weights, layers, gradient, into)
        told.copy_(loss)
