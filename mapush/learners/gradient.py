"""PPO's losses and their gradients, worked out by hand: no graph is kept, and no step is repeated.

The networks are those of `mapush.learners.network`, the losses those of Schulman et al., arXiv
1707.06347, with the options of `mapush.learners.config.PPOConfig`.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import torch

from mapush.learners.config import PPOConfig
from mapush.learners.network import Architecture

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

_aten = torch.ops.aten
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


class Layer(NamedTuple):
    """A hidden layer's input, what its norm takes and the norm's output, mean and 1/deviation."""

    into: torch.Tensor
    activated: torch.Tensor
    normed: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor


class Network:
    """What `Actor` and `Critic` compute, on the bare tensors of their parameters.

    Parameters and their gradients are lists of tensors in the order of the modules' `parameters()`:
    weight, bias, the norm's weight and bias of both hidden layers, weight and bias of the head.
    """

    def __init__(self, shape: Architecture) -> None:
        self._width = [shape.hidden_size]
        self._activate, self._activate_backward = _ACTIVATIONS[shape.activation]
        self._activated = (True, shape.activate_second)

    def output(self, weights: Sequence[torch.Tensor], features: torch.Tensor) -> torch.Tensor:
        """The head's outputs (size, samples) for encoded observations (samples, input_size)."""
        return self.forward(weights, features)[0]

    def forward(
        self, weights: Sequence[torch.Tensor], features: torch.Tensor
    ) -> Tuple[torch.Tensor, List[Layer]]:
        """As `output`, with what `backward` needs."""
        layers: List[Layer] = []
        hidden = features
        for index, is_activated in enumerate(self._activated):
            weight, bias, gain, shift = weights[4 * index : 4 * index + 4]
            linear = torch.addmm(bias, hidden, weight.t())
            if is_activated:
                linear = self._activate(linear)
            normed, mean, scale = torch.native_layer_norm(
                linear, self._width, gain, shift, _EPSILON
            )
            layers.append(Layer(hidden, linear, normed, mean, scale))
            hidden = normed
        return torch.addmm(weights[9].unsqueeze(1), weights[8], hidden.t()), layers

    def backward(
        self,
        weights: Sequence[torch.Tensor],
        layers: Sequence[Layer],
        gradient: torch.Tensor,
        into: Sequence[torch.Tensor],
    ) -> None:
        """Write the parameters' gradients into tensors of their shapes.

        Args:
            weights: as given to `forward`.
            layers: what `forward` gave.
            gradient: (size, samples) of the loss, of the head's outputs.
            into: takes the gradients; what it has more than a network's ten stays as it is.
        """
        torch.mm(gradient, layers[-1].normed, out=into[8])
        torch.sum(gradient, 1, out=into[9])
        gradient = torch.mm(gradient.t(), weights[8])
        for index in (1, 0):
            layer, first = layers[index], 4 * index
            gradient, gain, shift = _aten.native_layer_norm_backward.default(
                gradient,
                layer.activated,
                self._width,
                layer.mean,
                layer.scale,
                weights[first + 2],
                weights[first + 3],
                [True, True, True],
            )
            into[first + 2].copy_(gain)
            into[first + 3].copy_(shift)
            if self._activated[index]:
                gradient = self._activate_backward(gradient, layer.activated)
            torch.sum(gradient, 0, out=into[first + 1])
            if index:
                torch.mm(gradient.t(), layer.into, out=into[first])
                gradient = torch.mm(gradient, weights[first])
            else:
                # The few features as rows: several times faster than as columns.
                into[first].copy_(torch.mm(layer.into.t(), gradient).t())


def policy_gradient(
    config: PPOConfig,
    mean: torch.Tensor,
    log_std: torch.Tensor,
    action: torch.Tensor,
    old_log_probability: torch.Tensor,
    advantage: torch.Tensor,
    count: int,
) -> Tuple[torch.Tensor, torch.Tensor, Tuple[torch.Tensor, ...]]:
    """The clipped surrogate loss of some samples of a minibatch.

    Where a ratio is clipped, the loss does not depend on it: its gradient is that of the smaller
    of both products, which are equal within the clip range.

    Args:
        config: how the ratio is made and clipped.
        mean: (actions, samples) of the policy.
        log_std: (actions, 1) of the policy.
        action: (actions, samples) that were taken.
        old_log_probability: (actions, samples) of each action's dimensions, when it was taken.
        advantage: (samples,).
        count: samples in the minibatch; the loss is its mean.

    Returns:
        Gradients of `mean` (actions, samples) and `log_std` (actions, 1); and sums () over the
        samples, and over the ratios of each, of loss, approximate KL divergence and clipped ratios.
    """
    inverse = torch.exp(-log_std)
    distance = torch.sub(action, mean).mul_(inverse)
    square = distance * distance
    log_ratio = torch.add(old_log_probability, square, alpha=0.5).add_(log_std + HALF_LOG_2PI)
    if config.joint_ratio:
        log_ratio = log_ratio.sum(dim=0, keepdim=True)
    ratio = log_ratio.neg_().exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    gain, clipped_gain = ratio * advantage, clipped * advantage
    smaller = torch.minimum(gain, clipped_gain)
    sums = (
        -smaller.sum(),
        torch.sub(ratio, log_ratio).sub_(1.0).sum(),
        torch.count_nonzero(ratio - clipped),
    )
    slope = gain.mul_(smaller == gain).mul_(-1.0 / count)
    of_log_std = square.sub_(1.0).mul_(slope).sum(dim=1, keepdim=True)
    return distance.mul_(inverse).mul_(slope), of_log_std, sums


def value_gradient(
    config: PPOConfig,
    value: torch.Tensor,
    old_value: torch.Tensor,
    target: torch.Tensor,
    count: int,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The Huber loss of some samples' values, all in the value normaliser's units.

    Args:
        config: the loss's shape and weight, and whether a value's change is clipped.
        value: (1, samples) of the critic.
        old_value: (samples,) when the rollout was made, in the units of that time as in OpenRL,
            though the normaliser has moved since.
        target: (samples,) returns.
        count: samples in the minibatch; the loss is its mean.

    Returns:
        The weighted loss's gradient of `value` (1, samples); the loss's sum () over the samples,
        without its weight.
    """
    error = value - target
    slope = error.clamp(-config.huber_delta, config.huber_delta)
    loss = error.sub_(slope, alpha=0.5).mul_(slope)
    if config.clip_value:
        change = value - old_value
        near = change.clamp(-config.clip, config.clip)
        error = torch.add(old_value, near).sub_(target)
        cut = error.clamp(-config.huber_delta, config.huber_delta)
        clipped = error.sub_(cut, alpha=0.5).mul_(cut)
        # The larger loss counts, and beyond the range the clipped one does not depend on the value.
        slope.mul_((change == near).logical_or_(loss >= clipped))
        loss = torch.maximum(loss, clipped)
    return slope.mul_(config.value_weight / count), loss.sum()
