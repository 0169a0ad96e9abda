"""Gradient steps of a network over a rollout's minibatches, shard by shard."""

from __future__ import annotations

import threading
from functools import partial
from typing import Callable, Dict, List, Sequence

import torch

from mapush.learners.config import PPOConfig
from mapush.learners.flat import FlatNetwork
from mapush.learners.gradient import TENSORS, Network, Weights
from mapush.learners.losses import Loss
from mapush.learners.minibatch import Minibatches, Samples
from mapush.learners.network import Architecture


class Descent:
    """One network's part in an update.

    The gradient of a minibatch is the sum over its shards, whose number and order are fixed: which
    thread has computed one changes nothing. Whoever has computed the last makes the step.

    Args:
        config: of the number of steps and the gradient's norm.
        shape: of the network.
        flat: its parameters.
        loss: what the steps lessen.
        minibatches: what the steps are made on.
        descend: makes a step against a gradient (size,) of the parameters.
    """

    def __init__(
        self,
        config: PPOConfig,
        shape: Architecture,
        flat: FlatNetwork,
        loss: Loss,
        minibatches: Minibatches,
        descend: Callable[[torch.Tensor], None],
    ) -> None:
        self._minibatches, self._loss = minibatches, loss
        self._descend = descend
        self._network, self._weights = Network(shape), Weights.of(flat.tensors)
        steps, shards = config.epochs * config.minibatches, len(minibatches.shards[0])
        self._norms = flat.vector.new_zeros(steps)
        self._parts, self._gradient = flat.zeros(shards), flat.zeros()
        # A number beside a tensor costs more than a tensor.
        self._most = flat.vector.new_tensor(config.max_grad_norm)
        self._one = flat.vector.new_ones(())
        self._lock, self._left = threading.Lock(), shards
        self._places = [flat.views(part) for part in self._parts]
        self._pieces = [self._pieces_of(number) for number in range(steps)]

    def output(self, features: torch.Tensor) -> torch.Tensor:
        """The network's outputs (size, n) for encoded observations (n, input_size)."""
        return self._network.forward(self._weights, features)[0]

    def pieces(self, number: int) -> Sequence[Callable[[], None]]:
        """What the update's gradient step of this number consists of, in any order."""
        return self._pieces[number]

    def losses(self) -> Dict[str, float]:
        """What there is to tell of the loss, as means over the update's steps."""
        return self._loss.means()

    def gradient_norm(self) -> float:
        """Before it was cut, as mean over the update's steps."""
        return float(self._norms.mean())

    def _pieces_of(self, number: int) -> List[Callable[[], None]]:
        pieces: List[Callable[[], None]] = []
        begin, shards = 0, self._minibatches.shards
        for index, samples in enumerate(shards[number % len(shards)]):
            end = begin + len(samples.features)
            notes = self._loss.places(number, index, begin, end)
            pieces.append(partial(self._piece, number, samples, self._places[index], notes))
            begin = end
        return pieces

    def _piece(
        self,
        number: int,
        samples: Samples,
        out: Sequence[torch.Tensor],
        notes: Sequence[torch.Tensor],
    ) -> None:
        output, passed = self._network.forward(self._weights, samples.features)
        gradient = self._loss.gradient(output, samples, out[TENSORS:], notes)
        self._network.backward(self._weights, passed, gradient, out)
        with self._lock:
            self._left = (self._left or len(self._parts)) - 1
            is_last = not self._left
        if is_last:
            self._step(number)

    def _step(self, number: int) -> None:
        torch.sum(self._parts, 0, out=self._gradient)
        norm = torch.linalg.vector_norm(self._gradient)
        self._norms[number].copy_(norm)
        self._gradient.mul_(torch.minimum(self._most / norm, self._one))
        self._descend(self._gradient)
