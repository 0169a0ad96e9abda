"""A network's parameters in one vector, on which few large operations do what many did."""

from __future__ import annotations

from typing import List, Sequence

import torch
from torch import nn

# Every tensor begins on a cache line, where matrix products are fastest and, for one shape, the
# same to the bit in every process.
_LINE = 64  # bytes


class Layout:
    """Where some tensors lie in one vector; what lies between them is zero and stays so.

    Args:
        like: the tensors, for their shapes and their one type and device.
    """

    def __init__(self, like: Sequence[torch.Tensor]) -> None:
        self._shapes = [tensor.shape for tensor in like]
        self._dtype, self._device = like[0].dtype, like[0].device
        step = _LINE // like[0].element_size()
        self._begins: List[int] = []
        self.size = 0
        for shape in self._shapes:
            self._begins.append(self.size)
            self.size += -(-shape.numel() // step) * step

    def zeros(self, *rows: int) -> torch.Tensor:
        """Vectors (*rows, size) of this layout."""
        return torch.zeros(*rows, self.size, dtype=self._dtype, device=self._device)

    def views(self, vector: torch.Tensor) -> List[torch.Tensor]:
        """The tensors that a vector (size,) consists of."""
        return [
            vector[begin : begin + shape.numel()].view(shape)
            for begin, shape in zip(self._begins, self._shapes)
        ]


class FlatNetwork:
    """A module whose parameters are from now on views of one vector.

    Attributes:
        parameters: the module's, in its own order.
        layout: of the vector.
        vector: (size,), what an optimiser changes.
        tensors: the parameters' values, as views of the vector that no gradient is kept for.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parameters = list(module.parameters())
        self.layout = Layout(self.parameters)
        self.vector = self.layout.zeros()
        self.tensors = self.layout.views(self.vector)
        with torch.no_grad():
            for parameter, place in zip(self.parameters, self.tensors):
                place.copy_(parameter)
                parameter.data = place
