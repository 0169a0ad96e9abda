"""PPO's losses and their gradients, worked out by hand: no graph is kept, and no step is repeated.

The networks are those of `mapush.learners.network`, the losses those of Schulman et al., arXiv
1707.06347, with the options of `mapush.learners.config.PPOConfig`.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import torch

from mapush.learners.config import PPOConfig
from mapush.learners.network import Architecture

_aten = torch.ops.aten
_norm_backward = _aten.native_layer_norm_backward.default
_EPSILON = 1e-5  # of torch's LayerNorm

_Function = Callable[[torch.Tensor], torch.Tensor]
_Backward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Each activation with the gradient of its input, of the output's gradient and the output.
_ACTIVATIONS: Dict[str, Tuple[_Function, _Backward]] = {
    "relu": (torch.relu_, lambda g, y: _aten.threshold_backward.default(g, y, 0)),
    "elu": (
        torch.nn.functional.elu_,
        lambda g, y: _aten.elu_backward.default(g, 1.0, 1.0, 1.0, True, y),
    ),
    "tanh": (torch.tanh_, lambda g, y: _aten.tanh_backward.default(g, y)),
}


class Weights(NamedTuple):
    """A network's parameters in the order of its module's, as they are and turned.

    Attributes:
        tensors: weight, bias, the norm's gain and shift of both hidden layers, then weight and
            bias of the head; what follows is not the network's.
        turned: (in, out) weight of both hidden layers.
        bias: (out, 1) of the head.
    """

    tensors: Sequence[torch.Tensor]
    turned: Tuple[torch.Tensor, torch.Tensor]
    bias: torch.Tensor

    @classmethod
    def of(cls, tensors: Sequence[torch.Tensor]) -> Weights:
        """Views of parameters, which follow their changes."""
        return cls(tensors, (tensors[0].t(), tensors[4].t()), tensors[9].unsqueeze(1))


class Passed(NamedTuple):
    """What a hidden layer was given and what it made of it.

    Attributes:
        into: (samples, in).
        activated: (samples, out), before the norm.
        normed: (samples, out), after it.
        mean: (samples, 1) of what was normed.
        scale: (samples, 1), one by its standard deviation.
    """

    into: torch.Tensor
    activated: torch.Tensor
    normed: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor


class Network:
    """What `Actor` and `Critic` compute, and the gradients of it."""

    def __init__(self, shape: Architecture) -> None:
        self._width = [shape.hidden_size]
        self._activate, self._activate_backward = _ACTIVATIONS[shape.activation]
        self._activated = (True, shape.activate_second)

    def output(self, weights: Weights, features: torch.Tensor) -> torch.Tensor:
        """The head's outputs (size, samples) for encoded observations (samples, input_size)."""
        return self.forward(weights, features)[0]

    def forward(
        self, weights: Weights, features: torch.Tensor
    ) -> Tuple[torch.Tensor, List[Passed]]:
        """As `output`, with what `backward` needs."""
        passed: List[Passed] = []
        tensors, hidden = weights.tensors, features
        for first, turned, is_activated in zip((0, 4), weights.turned, self._activated):
            linear = torch.addmm(tensors[first + 1], hidden, turned)
            if is_activated:
                linear = self._activate(linear)
            normed, mean, scale = torch.native_layer_norm(
                linear, self._width, tensors[first + 2], tensors[first + 3], _EPSILON
            )
            passed.append(Passed(hidden, linear, normed, mean, scale))
            hidden = normed
        return torch.addmm(weights.bias, tensors[8], hidden.t()), passed

    def backward(
        self,
        weights: Weights,
        passed: Sequence[Passed],
        gradient: torch.Tensor,
        out: Sequence[torch.Tensor],
    ) -> None:
        """Write the parameters' gradients.

        Args:
            weights: as given to `forward`.
            passed: what `forward` gave.
            gradient: (size, samples) of the loss, of the head's outputs.
            out: of the parameters' shapes and order; what is more than a network's stays as it is.
        """
        tensors = weights.tensors
        torch.mm(gradient, passed[1].normed, out=out[8])
        torch.sum(gradient, 1, out=out[9])
        gradient = torch.mm(gradient.t(), tensors[8])
        for first, layer, is_activated in zip((4, 0), passed[::-1], self._activated[::-1]):
            gradient, gain, shift = _norm_backward(
                gradient,
                layer.activated,
                self._width,
                layer.mean,
                layer.scale,
                tensors[first + 2],
                tensors[first + 3],
                [True, True, True],
            )
            out[first + 2].copy_(gain)
            out[first + 3].copy_(shift)
            if is_activated:
                gradient = self._activate_backward(gradient, layer.activated)
            torch.sum(gradient, 0, out=out[first + 1])
            if first:
                torch.mm(gradient.t(), layer.into, out=out[first])
                gradient = torch.mm(gradient, tensors[first])
            else:
                # So few features make faster rows than columns.
                out[first].copy_(torch.mm(layer.into.t(), gradient).t())


def policy_gradient(
    config: PPOConfig,
    mean: torch.Tensor,
    log_std: torch.Tensor,
    action: torch.Tensor,
    old_log_probability: torch.Tensor,
    cost: torch.Tensor,
    told: Sequence[torch.Tensor],
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The clipped surrogate loss of some samples of a minibatch.

    Where a ratio is clipped, the loss does not depend on it: its gradient is that of the larger of
    both products, which are equal within the clip range.

    Args:
        config: how the ratio is made and clipped.
        mean: (actions, samples) of the policy.
        log_std: (actions, 1) of the policy.
        action: (actions, samples) that were taken.
        old_log_probability: (actions, samples) of each action's dimensions, when it was taken, as
            `Rollout.log_probability`.
        cost: (samples,) the advantage, by minus the minibatch's samples: the loss is a sum then.
        told: three of (), for the sums over samples and ratios of loss, approximate KL divergence
            and clipped ratios.

    Returns:
        Gradients of `mean` (actions, samples) and of `log_std` (actions, 1), without entropy.
    """
    inverse = torch.exp(-log_std)
    distance = torch.sub(action, mean).mul_(inverse)
    square = distance * distance
    log_ratio = torch.add(old_log_probability, square, alpha=0.5).add_(log_std)
    if config.joint_ratio:
        log_ratio = log_ratio.sum(dim=0, keepdim=True)
    ratio = log_ratio.neg_().exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    torch.sum(torch.expm1(log_ratio).sub_(log_ratio), (0, 1), out=told[1])
    torch.sum(ratio != clipped, (0, 1), dtype=told[2].dtype, out=told[2])
    loss, clipped_loss = ratio.mul_(cost), clipped.mul_(cost)
    larger = torch.maximum(loss, clipped_loss)
    torch.sum(larger, (0, 1), out=told[0])
    slope = loss.masked_fill_(larger != loss, 0.0)
    of_log_std = square.mul_(slope).sub_(slope).sum(dim=1, keepdim=True)
    return distance.mul_(inverse).mul_(slope), of_log_std


def value_gradient(
    config: PPOConfig,
    value: torch.Tensor,
    old_value: torch.Tensor,
    target: torch.Tensor,
    count: int,
    told: torch.Tensor,
) -> torch.Tensor:
    """The Huber loss of some samples' values, all in the value normaliser's units.

    Args:
        config: the loss's shape and weight, and whether a value's change is clipped.
        value: (1, samples) of the critic.
        old_value: (samples,) when the rollout was made, in the units of that time as in OpenRL,
            though the normaliser has moved since.
        target: (samples,) returns.
        count: samples in the minibatch; the loss is its mean.
        told: (), for the loss's sum over the samples, without its weight.

    Returns:
        The weighted loss's gradient of `value` (1, samples).
    """
    error = value - target
    slope = error.clamp(-config.huber_delta, config.huber_delta)
    loss = error.sub_(slope, alpha=0.5).mul_(slope)
    if config.clip_value:
        change = value - old_value
        near = change.clamp(-config.clip, config.clip)
        error = torch.add(near, old_value).sub_(target)
        cut = error.clamp(-config.huber_delta, config.huber_delta)
        clipped = error.sub_(cut, alpha=0.5).mul_(cut)
        # The larger loss counts, and beyond the range the clipped one does not depend on the value.
        slope.masked_fill_((change != near).logical_and_(loss < clipped), 0.0)
        loss = torch.maximum(loss, clipped)
    torch.sum(loss, (0, 1), out=told)
    return slope.mul_(config.value_weight / count)
