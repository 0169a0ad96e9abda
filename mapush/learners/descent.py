"""Gradient steps of actor and critic over a rollout, shard by shard."""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict, List, Sequence, Tuple

import torch

from mapush.learners.adam import FlatAdam
from mapush.learners.config import PPOConfig
from mapush.learners.flat import FlatNetworks
from mapush.learners.gradient import (
    HALF_LOG_2PI,
    Network,
    Weights,
    policy_gradient,
    value_gradient,
)
from mapush.learners.minibatch import Minibatches, Samples, cut
from mapush.learners.network import Actor, Critic
from mapush.learners.rollout import Rollout
from mapush.learners.team import Team

# What a gradient step says of itself, in this order: sums of the actor's and the critic's shards,
# and what the whole step is.
_OF_SHARDS = ("policy_loss", "approximate_kl", "clip_fraction", "value_loss")
_OF_STEP = ("entropy", "actor_grad_norm", "critic_grad_norm")


class Descent:
    """Actor and critic as rows of a matrix, and what changes them.

    The sum over a minibatch is the sum over its shards, whose number and order are fixed: which
    thread has computed one changes nothing.

    Attributes:
        optimizer: of both networks.
        minibatches: what the steps are made on.
        log_std: (actions, 1) logarithm of the actions' standard deviation.
    """

    def __init__(
        self, config: PPOConfig, actor: Actor, critic: Critic, rollout: Rollout, team: Team
    ) -> None:
        self._config, self._team = config, team
        self._network, self._networks = Network(actor.shape), FlatNetworks((actor, critic))
        self._actor, self._critic = map(Weights.of, self._networks.tensors)
        self.log_std = self._actor.tensors[-1]
        self.optimizer = FlatAdam(self._networks, config.learning_rate, config.adam_epsilon)
        self.minibatches = Minibatches(rollout, config.minibatches)
        steps, shards = config.epochs * config.minibatches, len(self.minibatches.shards[0])
        device = rollout.reward.device
        self._told = torch.zeros(shards, len(_OF_SHARDS), device=device)
        self._history = torch.zeros(steps, len(_OF_SHARDS) + len(_OF_STEP), device=device)
        self._gradients, self._gradient = self._networks.zeros(shards), self._networks.zeros()
        self._log_std_gradient = self._networks.views(self._gradient)[0][-1]
        self._tasks = [self._pieces(samples) for samples in self.minibatches.shards]

    def mean(self, features: torch.Tensor) -> torch.Tensor:
        """The policy's mean actions (samples, actions) for features (samples, size)."""
        return self._network.output(self._actor, features).t()

    def predict(self, features: Sequence[torch.Tensor], out: Sequence[torch.Tensor]) -> None:
        """Write the critic's values (samples,) for batches of features (samples, size)."""
        tasks: List[Callable[[], None]] = []
        for batch, place in zip(features, out):
            for begin, end in cut(len(batch), batch.device):
                tasks.append(partial(self._predict, batch[begin:end], place[begin:end]))
        self._team.run(tasks)

    def _predict(self, features: torch.Tensor, out: torch.Tensor) -> None:
        out.copy_(self._network.output(self._critic, features)[0])

    def step(self, number: int, learning_rate: float) -> None:
        """The update's gradient step of this number, on the next minibatch."""
        config, told, shards = self._config, self._history[number], len(_OF_SHARDS)
        self._team.run(self._tasks[number % config.minibatches])
        torch.sum(self._told, 0, out=told[:shards])
        told[shards].copy_(self.log_std.sum())
        torch.sum(self._gradients, 0, out=self._gradient)
        self._log_std_gradient.sub_(config.entropy)
        norms = torch.linalg.vector_norm(self._gradient, dim=1, out=told[shards + 1 :])
        self._gradient.mul_((config.max_grad_norm / (norms + 1e-6)).clamp_(max=1.0).unsqueeze(1))
        self.optimizer.descend(self._gradient, learning_rate)

    def losses(self) -> Dict[str, float]:
        """Means over all steps of the update."""
        names: Tuple[str, ...] = (*_OF_SHARDS, *_OF_STEP)
        means: Dict[str, float] = dict(zip(names, self._history.mean(dim=0).tolist()))
        samples, actions = self.minibatches.size, len(self.log_std)
        ratios = samples if self._config.joint_ratio else samples * actions
        means["approximate_kl"] /= ratios
        means["clip_fraction"] /= ratios
        means["value_loss"] /= samples
        means["entropy"] += actions * (0.5 + HALF_LOG_2PI)
        return means

    def _pieces(self, minibatch: Sequence[Samples]) -> List[Callable[[], None]]:
        """The pieces of work that a minibatch's gradient consists of, the longer ones first."""
        outs = [self._networks.views(each) for each in self._gradients]
        told = [list(each) for each in self._told]
        pieces: List[Callable[[], None]] = []
        for samples, (out, _), row in zip(minibatch, outs, told):
            pieces.append(partial(self._actor_shard, samples, out, row[:3]))
        for samples, (_, out), row in zip(minibatch, outs, told):
            pieces.append(partial(self._critic_shard, samples, out, row[3]))
        return pieces

    def _actor_shard(
        self, samples: Samples, out: Sequence[torch.Tensor], told: Sequence[torch.Tensor]
    ) -> None:
        mean, passed = self._network.forward(self._actor, samples.features)
        gradient, of_log_std = policy_gradient(
            self._config,
            mean,
            self.log_std,
            samples.action,
            samples.log_probability,
            samples.cost,
            told,
        )
        self._network.backward(self._actor, passed, gradient, out)
        out[-1].copy_(of_log_std)

    def _critic_shard(
        self, samples: Samples, out: Sequence[torch.Tensor], told: torch.Tensor
    ) -> None:
        value, passed = self._network.forward(self._critic, samples.features)
        gradient = value_gradient(
            self._config, value, samples.prediction, samples.target, self.minibatches.size, told
        )
        self._network.backward(self._critic, passed, gradient, out)
