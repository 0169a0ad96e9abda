"""A network's parameters in one vector, on which few operations do what many small ones did."""

from __future__ import annotations

from typing import List

import torch
from torch import nn

# Every tensor begins on a cache line, where matrix products are fastest and, for one shape, the
# same to the bit in every process.
_LINE = 64  # bytes


class FlatNetwork:
    """A module whose parameters are from now on views of a vector.

    What lies between the tensors is zero, and stays so where vectors of gradients are added.

    Attributes:
        parameters: of the module, in its own order.
        vector: (size,), their values.
        tensors: the same as tensors of the parameters' shapes, which need no gradient.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parameters = list(module.parameters())
        step = _LINE // self.parameters[0].element_size()
        self._begins: List[int] = []
        self._size = 0
        for parameter in self.parameters:
            self._begins.append(self._size)
            self._size += -(-parameter.numel() // step) * step
        self.vector = self.zeros()
        self.tensors = self.views(self.vector)
        with torch.no_grad():
            for parameter, place in zip(self.parameters, self.tensors):
                place.copy_(parameter)
                parameter.data = place

    def zeros(self, *rows: int) -> torch.Tensor:
        """Vectors (*rows, size) that are laid out as `vector`."""
        return self.parameters[0].new_zeros(*rows, self._size)

    def views(self, vector: torch.Tensor) -> List[torch.Tensor]:
        """The tensors that a vector (size,) consists of."""
        return [
            vector[begin : begin + parameter.numel()].view(parameter.shape)
            for begin, parameter in zip(self._begins, self.parameters)
        ]
