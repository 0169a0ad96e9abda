"""Networks' parameters as rows of one matrix, where few operations do what many small ones did."""

from __future__ import annotations

from typing import List, Sequence

import torch
from torch import nn

# Every tensor begins on a cache line, where matrix products are fastest and, for one shape, the
# same to the bit in every process.
_LINE = 64  # bytes


class FlatNetworks:
    """Modules whose parameters are from now on views of a matrix, one row for each module.

    What lies between the tensors of a row and behind the last is zero, and stays so where only
    sums and multiples of such matrices are added.

    Args:
        modules: of one type of numbers and on one device.

    Attributes:
        parameters: of each module, in its own order.
        matrix: (modules, width), their values.
        tensors: the same as tensors of the parameters' shapes, which need no gradient.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.parameters = [list(module.parameters()) for module in modules]
        step = _LINE // self.parameters[0][0].element_size()
        self._begins: List[List[int]] = []
        self._width = 0
        for parameters in self.parameters:
            begins, end = [], 0
            for parameter in parameters:
                begins.append(end)
                end += -(-parameter.numel() // step) * step
            self._begins.append(begins)
            self._width = max(self._width, end)
        self.matrix = self.zeros()
        self.tensors = self.views(self.matrix)
        with torch.no_grad():
            for parameters, places in zip(self.parameters, self.tensors):
                for parameter, place in zip(parameters, places):
                    place.copy_(parameter)
                    parameter.data = place

    def zeros(self, *count: int) -> torch.Tensor:
        """Matrices (*count, modules, width) as `matrix` is laid out."""
        like = self.parameters[0][0]
        size = (*count, len(self.parameters), self._width)
        return torch.zeros(size, dtype=like.dtype, device=like.device)

    def views(self, matrix: torch.Tensor) -> List[List[torch.Tensor]]:
        """The tensors that a matrix (modules, width) consists of, for each module."""
        return [
            [
                row[begin : begin + parameter.numel()].view(parameter.shape)
                for begin, parameter in zip(begins, parameters)
            ]
            for row, begins, parameters in zip(matrix, self._begins, self.parameters)
        ]
