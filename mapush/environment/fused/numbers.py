"""Numbers of one environment, and arrays of them: what a tensor's row is to a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Tuple, Union

import numpy as np
import torch

ROWS = 97  # environments of the recorded batch: no task has as many of anything else


@dataclass(frozen=True, eq=False)
class Number:
    """One number of an environment: a leaf by its name, or an operation on others.

    Attributes:
        operation: what `mapush.environment.fused.program` can write down; "leaf" for a leaf.
        arguments: Numbers, or plain values.
        is_bool: whether it is a truth.
    """

    operation: str
    arguments: Tuple[Any, ...]
    is_bool: bool = False


Entry = Union[Number, float, bool]


def tensors_in(args: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    """The tensors among arguments, those in lists included."""
    for each in args if isinstance(args, (list, tuple)) else ():
        if isinstance(each, torch.Tensor):
            yield each
        else:
            yield from tensors_in(each)


def scalar(value: Any) -> np.ndarray:  # noqa: ANN401
    """An array () of a plain value."""
    result = np.empty((), object)
    result[()] = value if isinstance(value, bool) else float(value)
    return result


def constants(tensor: torch.Tensor) -> np.ndarray:
    """An array of a tensor's values."""
    result = np.empty(tuple(tensor.shape), object)
    values = tensor.tolist()
    if tensor.dim() == 0:
        return scalar(values)
    for place in np.ndindex(*result.shape):
        value: Any = values
        for index in place:
            value = value[index]
        result[place] = value if isinstance(value, bool) else float(value)
    return result
