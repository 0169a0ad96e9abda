"""PPO's losses of some samples and their gradients of what the networks have put out.

Schulman et al., arXiv 1707.06347, with the options of `mapush.learners.config.PPOConfig`. The loss
of a minibatch is a mean over its samples, so these are sums, divided by its number of samples.
"""

from __future__ import annotations

import math
from typing import Dict, Protocol, Sequence

import torch

from mapush.learners.config import PPOConfig
from mapush.learners.minibatch import Samples

_HALF_LOG_2PI_E = 0.5 * math.log(2 * math.pi * math.e)


class Loss(Protocol):
    """What a network's gradient steps lessen, and what is to be told of it after an update."""

    def places(self, step: int, shard: int, begin: int, end: int) -> Sequence[torch.Tensor]:
        """Where `gradient` notes what is to be told.

        Args:
            step: number of the gradient step in the update.
            shard: number of the shard in the minibatch.
            begin: of the shard, in the minibatch.
            end: of the shard.
        """
        ...

    def gradient(
        self,
        output: torch.Tensor,
        samples: Samples,
        out: Sequence[torch.Tensor],
        notes: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """The gradient (size, n) of a network's outputs (size, n) for n samples of a minibatch.

        Args:
            output: of the network.
            samples: that it was for.
            out: take the gradients of the network's parameters beside its layers'.
            notes: of `places`.
        """
        ...

    def means(self) -> Dict[str, float]:
        """What was noted, as means over the steps of the update."""
        ...


class PolicyLoss:
    """The clipped surrogate less the entropy bonus, of mean actions.

    Where a ratio is clipped, the loss does not depend on it: its gradient is that of the larger of
    both products, which are equal within the clip range.

    Args:
        config: how the ratio is made and clipped.
        log_std: (actions, 1) of the policy.
        count: samples of a minibatch.
        shards: of a minibatch.
    """

    def __init__(self, config: PPOConfig, log_std: torch.Tensor, count: int, shards: int) -> None:
        self._config, self._log_std, self._count = config, log_std, count
        steps, actions = config.epochs * config.minibatches, len(log_std)
        self._losses = log_std.new_zeros(steps, shards)
        self._log_stds = log_std.new_zeros(steps, actions, 1)
        # Of all steps: what they say costs less of all at once than of each by itself.
        ratios = 1 if config.joint_ratio else actions
        self._log_ratios = log_std.new_zeros(steps, ratios, count)

    def places(self, step: int, shard: int, begin: int, end: int) -> Sequence[torch.Tensor]:
        """Of the loss (), the standard deviations (actions, 1) and the ratios (ratios, n)."""
        log_ratios = self._log_ratios[step, :, begin:end]
        return self._losses[step, shard], self._log_stds[step], log_ratios

    def gradient(
        self,
        output: torch.Tensor,
        samples: Samples,
        out: Sequence[torch.Tensor],
        notes: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """As `Loss` has it."""
        config, log_std = self._config, notes[1].copy_(self._log_std)
        inverse = torch.exp(-log_std)
        distance = torch.sub(samples.action, output).mul_(inverse)
        square = distance * distance
        minus = torch.add(samples.log_probability, square, alpha=0.5).add_(log_std)
        if config.joint_ratio:
            minus = minus.sum(dim=0, keepdim=True)
        ratio = torch.neg(minus, out=notes[2]).exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        loss, clipped_loss = ratio.mul_(samples.cost), clipped.mul_(samples.cost)
        larger = torch.maximum(loss, clipped_loss)
        notes[0].copy_(larger.sum())
        slope = loss.masked_fill_(larger != loss, 0.0)
        out[0].copy_(square.mul_(slope).sub_(slope).sum(dim=1, keepdim=True))
        out[0].sub_(config.entropy * output.shape[1] / self._count)
        return distance.mul_(inverse).mul_(slope)

    def means(self) -> Dict[str, float]:
        """Loss without bonus, entropy, approximate KL divergence and share of clipped ratios."""
        log_ratios, clip = self._log_ratios, self._config.clip
        ratio = log_ratios.exp()
        entropy = self._log_stds.sum(dim=1).mean() + self._log_stds.shape[1] * _HALF_LOG_2PI_E
        return {
            "policy_loss": float(self._losses.sum(dim=1).mean()),
            "entropy": float(entropy),
            "approximate_kl": float(log_ratios.expm1().sub_(log_ratios).mean()),
            "clip_fraction": float(
                (ratio.clamp(1 - clip, 1 + clip) != ratio).to(ratio.dtype).mean()
            ),
        }


class ValueLoss:
    """The weighted Huber loss of values.

    Args:
        config: its shape and weight, and whether a value's change is clipped. Changes are from the
            prediction in the units of the rollout's time, as they are in OpenRL, though the
            normaliser has moved since.
        like: its numbers' type and device.
        count: samples of a minibatch.
        shards: of a minibatch.
    """

    def __init__(self, config: PPOConfig, like: torch.Tensor, count: int, shards: int) -> None:
        self._config, self._count = config, count
        self._losses = like.new_zeros(config.epochs * config.minibatches, shards)

    def places(self, step: int, shard: int, begin: int, end: int) -> Sequence[torch.Tensor]:
        """Of the loss's sum ()."""
        del begin, end
        return (self._losses[step, shard],)

    def gradient(
        self,
        output: torch.Tensor,
        samples: Samples,
        out: Sequence[torch.Tensor],
        notes: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """As `Loss` has it."""
        del out
        config = self._config
        error = output - samples.target
        slope = error.clamp(-config.huber_delta, config.huber_delta)
        loss = error.sub_(slope, alpha=0.5).mul_(slope)
        if config.clip_value:
            change = output - samples.prediction
            near = change.clamp(-config.clip, config.clip)
            error = torch.add(near, samples.prediction).sub_(samples.target)
            cut = error.clamp(-config.huber_delta, config.huber_delta)
            clipped = error.sub_(cut, alpha=0.5).mul_(cut)
            # The larger counts, and beyond the range the clipped one does not depend on the value.
            slope.masked_fill_((change != near).logical_and_(loss < clipped), 0.0)
            loss = torch.maximum(loss, clipped)
        notes[0].copy_(loss.sum())
        return slope.mul_(config.value_weight / self._count)

    def means(self) -> Dict[str, float]:
        """The loss without its weight."""
        return {"value_loss": float(self._losses.sum(dim=1).mean()) / self._count}
