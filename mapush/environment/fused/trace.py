"""Records what a task's torch functions compute for one environment, number by number.

A task is written once, in torch, on batches. For a simulator that is one kernel, its functions are
called once on a batch that stands for any environment; every torch operation they make is noted
for each number of a row. What comes out is a program without tensors.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mapush.environment.fused.numbers import ROWS, Entry, Number, constants, tensors_in
from mapush.environment.fused.rules import DTYPES, KEYWORDS, RULES, Call
from mapush.errors import TaskError


class Recorder(TorchDispatchMode):
    """While entered, notes every operation on tensors that depend on leaves."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._known: Dict[int, np.ndarray] = {}
        self._kept: List[torch.Tensor] = []  # so that no other tensor gets the id of a known one
        self._numbers: Dict[Tuple[Any, ...], Number] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler, which takes longer than all the rest of a start."""
        return False

    def leaf(self, name: str, *shape: int, first: int = 0) -> torch.Tensor:
        """A tensor (ROWS, *shape) of which every number is a leaf, numbered from `first`."""
        entries = np.empty(math.prod(shape), object)
        for index in range(entries.size):
            entries[index] = self._leaf(name, first + index)
        # Any values do; these make no function divide by zero.
        drawn = np.random.default_rng(len(self._kept)).uniform(0.2, 0.8, (ROWS, *shape))
        return self._note(torch.from_numpy(drawn.astype(np.float32)), entries.reshape(shape))

    def _leaf(self, name: str, index: int) -> Number:
        key = ("leaf", name, index)
        return self._numbers.setdefault(key, Number("leaf", (name, index)))

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor depends on leaves."""
        return id(tensor) in self._known

    def entries(self, tensor: torch.Tensor) -> np.ndarray:
        """The numbers (...) of a row of a tensor (ROWS, ...), as an array of `Entry`.

        Raises:
            TaskError: it has no rows, or says something else of each.
        """
        known = self._known.get(id(tensor))
        if known is not None:
            return known
        if tensor.dim() == 0 or tensor.shape[0] != ROWS:
            raise self.error(f"a tensor {tuple(tensor.shape)} has no row for each environment")
        if not bool((tensor == tensor[:1]).all()):
            raise self.error("a constant differs between environments")
        return constants(tensor[0])

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator of torch
        types: Any,  # noqa: ANN401
        args: Tuple[Any, ...] = (),
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not any(id(each) in self._known for each in tensors_in(args)):
            return result
        name = func._overloadpacket.__name__
        rule = RULES.get(name)
        if rule is None:
            raise self.error(
                f"torch.{name.lstrip('_')} is nothing that this simulator's kernel knows"
            )
        unknown = sorted(set(kwargs) - KEYWORDS)
        if unknown or kwargs.get("dtype") not in DTYPES:
            what = f"{unknown[0]}=..." if unknown else f"dtype={kwargs['dtype']}"
            raise self.error(f"torch.{name.lstrip('_')} with {what} is not known")
        try:
            noted = rule(Call(self, name, args, kwargs))
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise self.error(f"torch.{name.lstrip('_')} in this form is not known") from error
        if isinstance(result, (list, tuple)):
            for tensor, entries in zip(result, noted):
                self._check(tensor, entries, name)
                self._note(tensor, entries)
        else:
            self._check(result, noted, name)
            self._note(result, noted)
        return result

    def number(
        self,
        operation: str,
        *arguments: Any,  # noqa: ANN401 - as in `Notes`
        is_bool: bool = False,
    ) -> Entry:
        """The number that an operation gives; the same one for the same arguments."""
        key = (operation, *(id(a) if isinstance(a, Number) else (type(a), a) for a in arguments))
        if key not in self._numbers:
            self._numbers[key] = Number(operation, arguments, is_bool)
        return self._numbers[key]

    def _note(self, tensor: torch.Tensor, entries: np.ndarray) -> torch.Tensor:
        self._known[id(tensor)] = entries
        self._kept.append(tensor)
        return tensor

    def _check(self, tensor: torch.Tensor, entries: np.ndarray, name: str) -> None:
        if tuple(tensor.shape) != (ROWS, *entries.shape):
            raise self.error(f"torch.{name} there mixes environments")

    def error(self, text: str) -> TaskError:
        """What to raise where something cannot be recorded."""
        return TaskError(
            f"{self._what}: {text}; write it with other operations, or use --sim mujoco"
        )
