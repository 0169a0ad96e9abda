"""The networks of `mapush.learners.network` on bare tensors, and their gradients by hand.

Autograd would record every operation and run more of them.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import torch

from mapush.learners.network import Architecture

_aten = torch.ops.aten
_norm_backward = _aten.native_layer_norm_backward.default
TENSORS = 10  # of a network's layers
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

    def forward(
        self, weights: Weights, features: torch.Tensor
    ) -> Tuple[torch.Tensor, List[Passed]]:
        """The head's outputs (size, samples) for encoded observations (samples, input_size).

        With them comes what `backward` needs.
        """
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
