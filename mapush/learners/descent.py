"""Gradient steps of actor and critic over a rollout, shard by shard."""

from __future__ import annotations

import math
from functools import partial
from typing import Callable, Dict, List, Sequence

import torch

from mapush.learners.adam import FlatAdam
from mapush.learners.config import PPOConfig
from mapush.learners.flat import FlatNetworks
from mapush.learners.gradient import Network, Weights, policy_gradient, value_gradient
from mapush.learners.minibatch import Minibatches, Samples, cut
from mapush.learners.network import Actor, Critic
from mapush.learners.rollout import Rollout
from mapush.learners.team import Team

# What each shard of a gradient step says of itself, the critic's last.
_TOLD = ("policy_loss", "approximate_kl", "clip_fraction", "value_loss")


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
        like = rollout.reward
        steps, shards = config.epochs * config.minibatches, len(self.minibatches.shards[0])
        self._told = like.new_zeros(steps, shards, len(_TOLD))
        self._log_stds, self._norms = (
            like.new_zeros(steps, len(self.log_std)),
            like.new_zeros(steps, 2),
        )
        self._gradients, self._gradient = self._networks.zeros(shards), self._networks.zeros()
        self._log_std_gradient = self._networks.views(self._gradient)[0][-1]
        # A number beside a tensor costs more than a tensor.
        self._entropy, self._one = like.new_tensor(config.entropy), like.new_ones(())
        self._most = like.new_tensor(config.max_grad_norm)
        self._tasks = [self._pieces(number) for number in range(steps)]

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
        gradient = self._gradient
        self._team.run(self._tasks[number])
        self._log_stds[number].copy_(self.log_std[:, 0])
        torch.sum(self._gradients, 0, out=gradient)
        self._log_std_gradient.sub_(self._entropy)
        norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        self._norms[number].copy_(norms[:, 0])
        gradient.mul_(torch.minimum(self._most / norms, self._one))
        self.optimizer.descend(gradient, learning_rate)

    def losses(self) -> Dict[str, float]:
        """Means over all steps of the update."""
        told: List[float] = self._told.sum(dim=1).mean(dim=0).tolist()
        losses: Dict[str, float] = dict(zip(_TOLD, told))
        samples, actions = self.minibatches.size, len(self.log_std)
        ratios = samples if self._config.joint_ratio else samples * actions
        losses["approximate_kl"] /= ratios
        losses["clip_fraction"] /= ratios
        losses["value_loss"] /= samples
        # Of a Gaussian: its logarithm of the deviation and half that of 2 pi e.
        half = 0.5 * math.log(2 * math.pi * math.e)
        losses["entropy"] = float(self._log_stds.sum(dim=1).mean()) + actions * half
        losses["actor_grad_norm"], losses["critic_grad_norm"] = self._norms.mean(dim=0).tolist()
        return losses

    def _pieces(self, number: int) -> List[Callable[[], None]]:
        """The pieces of work that a step's gradient consists of, the longer ones first."""
        minibatch = self.minibatches.shards[number % self._config.minibatches]
        outs = [self._networks.views(each) for each in self._gradients]
        told = [list(each) for each in self._told[number]]
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
