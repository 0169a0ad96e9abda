"""PPO's losses of some samples and their gradients of what the networks have put out.

Schulman et al., arXiv 1707.06347, with the options of `mapush.learners.config.PPOConfig`. The loss
of a minibatch is a mean over its samples, so these are sums, divided by its number of samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, Sequence, Tuple

import torch

from mapush.learners.config import PPOConfig
from mapush.learners.minibatch import Samples

_HALF_LOG_2PI_E = 0.5 * math.log(2 * math.pi * math.e)


class Loss(Protocol):
    """What a network's gradient steps lessen."""

    tells: ClassVar[Tuple[str, ...]]

    def gradient(
        self,
        output: torch.Tensor,
        samples: Samples,
        out: Sequence[torch.Tensor],
        told: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """The gradient (size, n) of a network's outputs (size, n) for n samples of a minibatch.

        Args:
            output: of the network.
            samples: that it was for.
            out: take the gradients of the network's parameters beside its layers'.
            told: (), takes each of `tells`.
        """
        ...


@dataclass(frozen=True)
class PolicyLoss:
    """The clipped surrogate less the entropy bonus, of mean actions.

    Where a ratio is clipped, the loss does not depend on it: its gradient is that of the larger of
    both products, which are equal within the clip range.

    Attributes:
        config: how the ratio is made and clipped.
        count: samples of a minibatch.
        log_std: (actions, 1) of the policy.
    """

    tells: ClassVar[Tuple[str, ...]] = (
        *("policy_loss", "entropy", "approximate_kl", "clip_fraction"),
    )
    config: PPOConfig
    count: int
    log_std: torch.Tensor

    def gradient(
        self,
        output: torch.Tensor,
        samples: Samples,
        out: Sequence[torch.Tensor],
        told: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """As `Loss` has it."""
        config, log_std = self.config, self.log_std
        inverse = torch.exp(-log_std)
        distance = torch.sub(samples.action, output).mul_(inverse)
        square = distance * distance
        log_ratio = torch.add(samples.log_probability, square, alpha=0.5).add_(log_std)
        if config.joint_ratio:
            log_ratio = log_ratio.sum(dim=0, keepdim=True)
        ratio = log_ratio.neg_().exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        each = 1.0 / (self.count * len(ratio))
        told[2].copy_(torch.expm1(log_ratio).sub_(log_ratio).sum()).mul_(each)
        told[3].copy_((ratio != clipped).sum()).mul_(each)
        loss, clipped_loss = ratio.mul_(samples.cost), clipped.mul_(samples.cost)
        larger = torch.maximum(loss, clipped_loss)
        told[0].copy_(larger.sum())
        share = output.shape[1] / self.count
        told[1].copy_(log_std.sum()).add_(len(output) * _HALF_LOG_2PI_E).mul_(share)
        slope = loss.masked_fill_(larger != loss, 0.0)
        of_log_std = square.mul_(slope).sub_(slope).sum(dim=1, keepdim=True)
        out[0].copy_(of_log_std).sub_(config.entropy * share)
        return distance.mul_(inverse).mul_(slope)


@dataclass(frozen=True)
class ValueLoss:
    """The weighted Huber loss of values.

    Attributes:
        config: its shape and weight, and whether a value's change is clipped. Changes are from the
            prediction in the units of the rollout's time, as they are in OpenRL, though the
            normaliser has moved since.
        count: samples of a minibatch.
    """

    tells: ClassVar[Tuple[str, ...]] = ("value_loss",)
    config: PPOConfig
    count: int

    def gradient(
        self,
        output: torch.Tensor,
        samples: Samples,
        out: Sequence[torch.Tensor],
        told: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """As `Loss` has it; what is told is without the weight."""
        config = self.config
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
        told[0].copy_(loss.sum()).div_(self.count)
        return slope.mul_(config.value_weight / self.count)
