"""Records what a task's torch functions compute for one environment, number by number.

A task is written once, in torch, on batches. For a simulator that is one kernel, its functions are
called once on a batch that stands for any environment; every torch operation they make is noted
for each number of a row. What comes out is a program without tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple, Union

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mapush.errors import TaskError

ROWS = 97  # environments of the recorded batch: no task has as many of anything else
_ATEN = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Number:
    """One number of an environment: a leaf by its name, or an operation on others.

    Attributes:
        operation: a key of what `mapush.environment.program` can write down; "leaf" for a leaf.
        arguments: Numbers, or plain values.
        is_bool: whether it is a truth.
    """

    operation: str
    arguments: Tuple[Any, ...]
    is_bool: bool = False


Entry = Union[Number, float, bool]


class Recorder(TorchDispatchMode):
    """While entered, notes every operation on tensors that depend on leaves."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._known: Dict[int, np.ndarray] = {}
        self._kept: List[torch.Tensor] = []  # so that no other tensor gets the id of a known one
        self._numbers: Dict[Tuple[Any, ...], Number] = {}

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

    def entries(self, tensor: torch.Tensor) -> np.ndarray:
        """The numbers (...) of a row of a tensor (ROWS, ...), as an array of `Entry`.

        Raises:
            TaskError: it has no rows, or says something else of each.
        """
        known = self._known.get(id(tensor))
        if known is not None:
            return known
        if tensor.dim() == 0 or tensor.shape[0] != ROWS:
            raise self._error(f"a tensor {tuple(tensor.shape)} has no row for each environment")
        if not bool((tensor == tensor[:1]).all()):
            raise self._error("a constant differs between environments")
        return _plain(tensor[0])

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator of torch
        types: Any,  # noqa: ANN401
        args: Tuple[Any, ...] = (),
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not any(id(each) in self._known for each in _tensors(args)):
            return result
        name = func._overloadpacket.__name__
        rule = _RULES.get(name)
        if rule is None:
            raise self._error(
                f"torch.{name.strip('_')} is nothing that this simulator's kernel knows"
            )
        call = _Call(self, name, args, kwargs)
        noted = rule(call)
        if isinstance(result, (list, tuple)):
            for tensor, entries in zip(result, noted):
                self._check(tensor, entries, name)
                self._note(tensor, entries)
        else:
            self._check(result, noted, name)
            self._note(result, noted)
        return result

    def number(self, operation: str, *arguments: Entry, is_bool: bool = False) -> Entry:
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
            raise self._error(f"torch.{name} there mixes environments")

    def _error(self, text: str) -> TaskError:
        return TaskError(
            f"{self._what}: {text}; write it with other operations, or use --sim mujoco"
        )


class _Call:
    """One operation of torch, its arguments seen by a rule."""

    def __init__(
        self, recorder: Recorder, name: str, args: Tuple[Any, ...], kwargs: Dict[str, Any]
    ) -> None:
        self.recorder, self.name, self.args, self.kwargs = recorder, name, args, kwargs

    def given(self, place: int, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """An argument by its place or its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def rows(self, value: Any) -> np.ndarray:  # noqa: ANN401
        """The entries of one row of a tensor, or of what serves all rows alike."""
        if not isinstance(value, torch.Tensor):
            return _array(value)
        if id(value) in self.recorder._known or (value.dim() and value.shape[0] == ROWS):
            return self.recorder.entries(value)
        plain = _plain(value)
        rank = max(t.dim() for t in _tensors(self.args) if id(t) in self.recorder._known) - 1
        return plain[0] if plain.ndim > rank and plain.shape[0] == 1 else plain

    def dims(self, dims: Union[int, Sequence[int]], rank: int) -> Tuple[int, ...]:
        """Axes of a row for dimensions of a tensor of that rank."""
        listed = [dims] if isinstance(dims, int) else list(dims)
        axes = tuple(d % rank - 1 for d in listed)
        if -1 in axes:
            raise self.recorder._error(f"torch.{self.name} there mixes environments")
        return axes

    def map(self, operation: str, *values: Any, is_bool: bool = False) -> np.ndarray:  # noqa: ANN401
        """An operation on every number of the arguments' rows, broadcast."""
        parts = np.broadcast_arrays(*(self.rows(value) for value in values))
        result = np.empty(parts[0].shape, object)
        for place in np.ndindex(*result.shape):
            result[place] = self.recorder.number(
                operation, *(part[place] for part in parts), is_bool=is_bool
            )
        return result

    def fold(self, operation: str, start: Entry, axes: Tuple[int, ...], keep: bool) -> np.ndarray:
        """A row's numbers along some axes, joined from the first to the last."""
        row = self.rows(self.args[0])
        moved = np.moveaxis(row, axes, range(-len(axes), 0))
        shape = moved.shape[: row.ndim - len(axes)]
        moved = moved.reshape(*shape, -1)
        is_bool = isinstance(start, bool)
        result = np.empty(shape, object)
        for place in np.ndindex(*shape):
            joined = start
            for index, entry in enumerate(moved[place]):
                joined = (
                    self.recorder.number(operation, joined, entry, is_bool=is_bool)
                    if index
                    else entry
                )
            result[place] = joined
        return np.expand_dims(result, tuple(sorted(axes))) if keep else result


def _tensors(args: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    for each in args if isinstance(args, (list, tuple)) else ():
        if isinstance(each, torch.Tensor):
            yield each
        else:
            yield from _tensors(each)


def _array(value: Any) -> np.ndarray:  # noqa: ANN401
    result = np.empty((), object)
    result[()] = value if isinstance(value, bool) else float(value)
    return result


def _plain(tensor: torch.Tensor) -> np.ndarray:
    result = np.empty(tuple(tensor.shape), object)
    values = tensor.tolist()
    if tensor.dim() == 0:
        return _array(values)
    for place in np.ndindex(*result.shape):
        value: Any = values
        for index in place:
            value = value[index]
        result[place] = value if isinstance(value, bool) else float(value)
    return result


Rule = Callable[[_Call], Any]


def _each(operation: str, is_bool: bool = False) -> Rule:
    return lambda call: call.map(operation, *call.args, is_bool=is_bool)


def _scaled(operation: str) -> Rule:
    """For `add` and `sub`, whose second argument may be scaled."""

    def rule(call: _Call) -> np.ndarray:
        if call.kwargs.get("alpha", 1) != 1:
            raise call.recorder._error(f"torch.{call.name} with alpha is not known")
        return call.map(operation, *call.args[:2])

    return rule


def _reduce(operation: str, start: Entry, keep_at: int = 2) -> Rule:
    def rule(call: _Call) -> np.ndarray:
        dims = call.given(1, "dim")
        if dims is None:
            raise call.recorder._error(f"torch.{call.name} there mixes environments")
        axes = call.dims(dims, call.args[0].dim())
        return call.fold(operation, start, axes, bool(call.given(keep_at, "keepdim", False)))

    return rule


def _mean(call: _Call) -> np.ndarray:
    axes = call.dims(call.given(1, "dim"), call.args[0].dim())
    row = call.rows(call.args[0])
    count = float(np.prod([row.shape[axis] for axis in axes]))
    total = call.fold("add", 0.0, axes, bool(call.given(2, "keepdim", False)))
    return np.vectorize(lambda each: call.recorder.number("div", each, count), [object])(total)


def _norm(call: _Call) -> np.ndarray:
    order, dims = call.given(1, "ord", 2), call.given(2, "dim")
    if order != 2 or dims is None:
        raise call.recorder._error("only the Euclidean norm along a dimension is known")
    axes = call.dims(dims, call.args[0].dim())
    square = call.map("mul", call.args[0], call.args[0])
    inner = _Call(call.recorder, call.name, call.args, call.kwargs)
    inner.rows = lambda value: square  # type: ignore[method-assign]
    total = inner.fold("add", 0.0, axes, bool(call.given(3, "keepdim", False)))
    return np.vectorize(lambda each: call.recorder.number("sqrt", each), [object])(total)


def _power(call: _Call) -> np.ndarray:
    if call.args[1] != 2:
        raise call.recorder._error(f"a power of {call.args[1]} is not known")
    return call.map("mul", call.args[0], call.args[0])


def _clamp(call: _Call) -> np.ndarray:
    row = call.rows(call.args[0])
    for place, name, operation in ((1, "min", "max"), (2, "max", "min")):
        bound = call.given(place, name)
        if bound is not None:
            edge = call.rows(bound)
            row = np.vectorize(
                lambda each, edge, operation=operation: call.recorder.number(operation, each, edge),
                [object],
            )(row, edge)
    return row


def _cast(call: _Call) -> np.ndarray:
    dtype = call.kwargs.get("dtype")
    if dtype is torch.bool:
        return call.map("nonzero", call.args[0], is_bool=True)
    return (
        call.map("float", call.args[0])
        if call.args[0].dtype is torch.bool
        else call.rows(call.args[0])
    )


def _view(call: _Call) -> np.ndarray:
    shape = tuple(call.args[1])
    if shape[0] not in (ROWS, -1) or call.args[0].numel() % ROWS:
        raise call.recorder._error(f"torch.{call.name} there mixes environments")
    return call.rows(call.args[0]).reshape(shape[1:])


def _expand(call: _Call) -> np.ndarray:
    row, shape = call.rows(call.args[0]), tuple(call.args[1])[1:]
    sizes = [own if size == -1 else size for own, size in zip(row.shape, shape)]
    return np.broadcast_to(row, sizes)


def _slice(call: _Call) -> np.ndarray:
    row, dim = call.rows(call.args[0]), call.given(1, "dim", 0) % call.args[0].dim()
    start, end = call.given(2, "start"), call.given(3, "end")
    if dim == 0:
        if start in (None, 0) and (end is None or end >= ROWS):
            return row
        raise call.recorder._error("a slice there leaves environments out")
    place: List[Any] = [slice(None)] * row.ndim
    place[dim - 1] = slice(start, end, call.given(4, "step", 1))
    return row[tuple(place)]


def _unsqueeze(call: _Call) -> np.ndarray:
    rank = call.args[0].dim() + 1
    return np.expand_dims(call.rows(call.args[0]), call.dims(call.args[1], rank)[0])


def _squeeze(call: _Call) -> np.ndarray:
    axes = call.dims(call.args[1], call.args[0].dim())
    row = call.rows(call.args[0])
    return np.squeeze(row, tuple(axis for axis in axes if row.shape[axis] == 1))


def _select(call: _Call) -> np.ndarray:
    (axis,) = call.dims(call.args[1], call.args[0].dim())
    return np.asarray(np.take(call.rows(call.args[0]), call.args[2], axis), object)


def _unbind(call: _Call) -> List[np.ndarray]:
    (axis,) = call.dims(call.given(1, "dim", 0), call.args[0].dim())
    row = call.rows(call.args[0])
    return [np.asarray(np.take(row, index, axis), object) for index in range(row.shape[axis])]


def _split(call: _Call) -> List[np.ndarray]:
    (axis,) = call.dims(call.given(2, "dim", 0), call.args[0].dim())
    row, sizes = call.rows(call.args[0]), call.args[1]
    edges = (
        list(range(sizes, row.shape[axis], sizes))
        if isinstance(sizes, int)
        else list(np.cumsum(sizes)[:-1])
    )
    return np.split(row, edges, axis)


def _cat(call: _Call) -> np.ndarray:
    (axis,) = call.dims(call.given(1, "dim", 0), call.args[0][0].dim())
    return np.concatenate([call.rows(each) for each in call.args[0]], axis)


def _stack(call: _Call) -> np.ndarray:
    (axis,) = call.dims(call.given(1, "dim", 0), call.args[0][0].dim() + 1)
    return np.stack([call.rows(each) for each in call.args[0]], axis)


def _roll(call: _Call) -> np.ndarray:
    axes = call.dims(call.given(2, "dims"), call.args[0].dim())
    return np.roll(call.rows(call.args[0]), call.args[1], axes)


def _index(call: _Call) -> np.ndarray:
    source, index = call.args[0], list(call.args[1])
    tracked = [id(each) in call.recorder._known for each in index if each is not None]
    if not any(tracked):
        if index[0] is not None:
            raise call.recorder._error("an index there mixes environments")
        row = call.rows(source)
        places = [slice(None) if each is None else each.numpy() for each in index[1:]]
        return row[tuple(places)]
    if len(index) != 1 or id(source) in call.recorder._known:
        raise call.recorder._error("only a table of constants can be looked into by a found index")
    table, found = _plain(source), call.rows(index[0])
    result = np.empty((*found.shape, *table.shape[1:]), object)
    for place in np.ndindex(*found.shape):
        for cell in np.ndindex(*table.shape[1:]):
            result[(*place, *cell)] = call.recorder.number(
                "lookup", found[place], *(row[cell] for row in table)
            )
    return result


def _argmin(call: _Call) -> np.ndarray:
    (axis,) = call.dims(call.given(1, "dim"), call.args[0].dim())
    row = np.moveaxis(call.rows(call.args[0]), axis, -1)
    result = np.empty(row.shape[:-1], object)
    for place in np.ndindex(*result.shape):
        result[place] = call.recorder.number("argmin", *list(row[place]))
    return result


def _matmul(call: _Call) -> np.ndarray:
    first, second = call.rows(call.args[0]), call.args[1]
    if id(second) in call.recorder._known or second.dim() != 2 or first.ndim != 1:
        raise call.recorder._error("only a row times a constant matrix is known")
    matrix = _plain(second)
    result = np.empty(matrix.shape[1], object)
    for column in range(matrix.shape[1]):
        total: Entry = 0.0
        for each, factor in zip(first, matrix[:, column]):
            if factor != 0.0:
                product = each if factor == 1.0 else call.recorder.number("mul", each, factor)
                total = product if total == 0.0 else call.recorder.number("add", total, product)
        result[column] = total
    return result


def _where(call: _Call) -> np.ndarray:
    return call.map("where", *call.args)


def _constant(value: float) -> Rule:
    def rule(call: _Call) -> np.ndarray:
        tensor = call.args[0]
        row = np.empty(tuple(tensor.shape[1:]), object)
        row[...] = bool(value) if call.kwargs.get("dtype") is torch.bool else float(value)
        return row

    return rule


def _same(call: _Call) -> np.ndarray:
    return call.rows(call.args[0])


_RULES: Dict[str, Rule] = {
    **{name: _each(name) for name in ("mul", "div", "neg", "sin", "cos", "sqrt", "exp", "abs")},
    **{name: _each(name) for name in ("atan2", "remainder", "tanh", "minimum", "maximum")},
    **{name: _each(name, True) for name in ("lt", "gt", "le", "ge", "eq", "ne")},
    "add": _scaled("add"),
    "sub": _scaled("sub"),
    "reciprocal": lambda call: call.map("div", 1.0, call.args[0]),
    "rsub": lambda call: call.map("sub", call.args[1], call.args[0]),
    "bitwise_and": _each("and", True),
    "logical_and": _each("and", True),
    "bitwise_or": _each("or", True),
    "logical_or": _each("or", True),
    "bitwise_not": _each("not", True),
    "logical_not": _each("not", True),
    "any": _reduce("or", False),
    "all": _reduce("and", True),
    "sum": _reduce("add", 0.0),
    "mean": _mean,
    "amin": _reduce("min", 0.0),
    "amax": _reduce("max", 0.0),
    "linalg_vector_norm": _norm,
    "norm": lambda call: _norm(call),
    "pow": _power,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "where": _where,
    "_to_copy": _cast,
    "view": _view,
    "_unsafe_view": _view,
    "reshape": _view,
    "expand": _expand,
    "slice": _slice,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "select": _select,
    "unbind": _unbind,
    "split": _split,
    "split_with_sizes": _split,
    "cat": _cat,
    "stack": _stack,
    "roll": _roll,
    "index": _index,
    "argmin": _argmin,
    "mm": _matmul,
    "zeros_like": _constant(0.0),
    "ones_like": _constant(1.0),
    "clone": _same,
    "detach": _same,
    "alias": _same,
    "contiguous": _same,
}
