"""What each operation of torch means for the numbers of one environment."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Protocol, Sequence, Tuple, Union

import numpy as np
import torch

from mapush.environment.fused.numbers import ROWS, Entry, constants, scalar, tensors_in
from mapush.errors import TaskError


class Notes(Protocol):
    """What is known so far."""

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor depends on leaves."""
        ...

    def entries(self, tensor: torch.Tensor) -> np.ndarray:
        """The numbers (...) of a row of a tensor (ROWS, ...)."""
        ...

    def number(
        self,
        operation: str,
        *arguments: Any,  # noqa: ANN401 - Entry, but numpy's arrays do not tell
        is_bool: bool = False,
    ) -> Entry:
        """The number that an operation gives."""
        ...

    def error(self, text: str) -> TaskError:
        """What to raise where something cannot be recorded."""
        ...


class Call:
    """One operation of torch, its arguments seen by a rule."""

    def __init__(
        self, recorder: Notes, name: str, args: Tuple[Any, ...], kwargs: Dict[str, Any]
    ) -> None:
        self.recorder, self.name, self.args, self.kwargs = recorder, name, args, kwargs

    def given(self, place: int, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """An argument by its place or its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def rows(self, value: Any) -> np.ndarray:  # noqa: ANN401
        """The entries of one row of a tensor, or of what serves all rows alike."""
        if not isinstance(value, torch.Tensor):
            return scalar(value)
        if self.recorder.knows(value) or (value.dim() and value.shape[0] == ROWS):
            return self.recorder.entries(value)
        plain = constants(value)
        rank = max(t.dim() for t in tensors_in(self.args) if self.recorder.knows(t)) - 1
        return plain[0] if plain.ndim > rank and plain.shape[0] == 1 else plain

    def dims(self, dims: Union[int, Sequence[int]], rank: int) -> Tuple[int, ...]:
        """Axes of a row for dimensions of a tensor of that rank."""
        listed = [dims] if isinstance(dims, int) else list(dims)
        axes = tuple(d % rank - 1 for d in listed)
        if -1 in axes:
            raise self.recorder.error(f"torch.{self.name} there mixes environments")
        return axes

    def map(self, operation: str, *values: Any, is_bool: bool = False) -> np.ndarray:  # noqa: ANN401
        """An operation on every number of the arguments' rows, broadcast."""
        parts = np.broadcast_arrays(*(self.rows(value) for value in values))
        result: Any = np.empty(parts[0].shape, object)
        for place in np.ndindex(*result.shape):
            result[place] = self.recorder.number(
                operation, *(part[place] for part in parts), is_bool=is_bool
            )
        return result

    def fold(self, operation: str, start: Entry, row: np.ndarray, keep_at: int = 2) -> np.ndarray:
        """A row's numbers along the dimensions that are asked for, joined from the first on.

        Args:
            operation: of two numbers.
            start: what none make.
            row: of the first argument.
            keep_at: place of the argument that keeps the dimensions.
        """
        dims = self.given(keep_at - 1, "dim")
        axes = self.dims(() if dims is None else dims, self.args[0].dim())
        if not axes:
            raise self.recorder.error(f"torch.{self.name} there mixes environments")
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
        is_kept = bool(self.given(keep_at, "keepdim", False))
        return np.expand_dims(result, tuple(sorted(axes))) if is_kept else result

    def each(self, operation: str, row: np.ndarray, *more: Any) -> np.ndarray:  # noqa: ANN401
        """An operation on every number of a row and some plain values."""
        number = self.recorder.number
        return np.vectorize(lambda entry: number(operation, entry, *more), [object])(row)


Rule = Callable[[Call], Any]


def _each(operation: str, is_bool: bool = False) -> Rule:
    return lambda call: call.map(operation, *call.args, is_bool=is_bool)


def _scaled(operation: str) -> Rule:
    """For `add` and `sub`, whose second argument may be scaled."""

    def rule(call: Call) -> np.ndarray:
        if call.kwargs.get("alpha", 1) != 1:
            raise call.recorder.error(f"torch.{call.name} with alpha is not known")
        return call.map(operation, *call.args[:2])

    return rule


def _reduce(operation: str, start: Entry) -> Rule:
    return lambda call: call.fold(operation, start, call.rows(call.args[0]))


def _mean(call: Call) -> np.ndarray:
    row = call.rows(call.args[0])
    total = call.fold("add", 0.0, row)
    return call.each("div", total, float(row.size / max(total.size, 1)))


def _norm(call: Call) -> np.ndarray:
    if call.given(1, "ord", 2) != 2:
        raise call.recorder.error("only the Euclidean norm is known")
    square = call.map("mul", call.args[0], call.args[0])
    return call.each("sqrt", call.fold("add", 0.0, square, keep_at=3))


def _power(call: Call) -> np.ndarray:
    if call.args[1] != 2:
        raise call.recorder.error(f"a power of {call.args[1]} is not known")
    return call.map("mul", call.args[0], call.args[0])


def _clamp(call: Call) -> np.ndarray:
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


def _cast(call: Call) -> np.ndarray:
    before, after = call.args[0].dtype, call.kwargs.get("dtype")
    if after is torch.bool and before is not torch.bool:
        return call.map("nonzero", call.args[0], is_bool=True)
    if before is torch.bool and after is torch.float32:
        return call.map("float", call.args[0])
    return call.rows(call.args[0])


def _view(call: Call) -> np.ndarray:
    shape = tuple(call.args[1])
    if shape[0] not in (ROWS, -1) or call.args[0].numel() % ROWS:
        raise call.recorder.error(f"torch.{call.name} there mixes environments")
    return call.rows(call.args[0]).reshape(shape[1:])


def _expand(call: Call) -> np.ndarray:
    row, shape = call.rows(call.args[0]), tuple(call.args[1])[1:]
    sizes = [own if size == -1 else size for own, size in zip(row.shape, shape)]
    return np.broadcast_to(row, sizes)


def _slice(call: Call) -> np.ndarray:
    row, dim = call.rows(call.args[0]), call.given(1, "dim", 0) % call.args[0].dim()
    start, end = call.given(2, "start"), call.given(3, "end")
    if dim == 0:
        if start in (None, 0) and (end is None or end >= ROWS):
            return row
        raise call.recorder.error("a slice there leaves environments out")
    place: List[Any] = [slice(None)] * row.ndim
    place[dim - 1] = slice(start, end, call.given(4, "step", 1))
    return row[tuple(place)]


def _unsqueeze(call: Call) -> np.ndarray:
    rank = call.args[0].dim() + 1
    return np.expand_dims(call.rows(call.args[0]), call.dims(call.args[1], rank)[0])


def _squeeze(call: Call) -> np.ndarray:
    axes = call.dims(call.args[1], call.args[0].dim())
    row = call.rows(call.args[0])
    return np.squeeze(row, tuple(axis for axis in axes if row.shape[axis] == 1))


def _select(call: Call) -> np.ndarray:
    (axis,) = call.dims(call.args[1], call.args[0].dim())
    return np.asarray(np.take(call.rows(call.args[0]), call.args[2], axis), object)


def _unbind(call: Call) -> List[np.ndarray]:
    (axis,) = call.dims(call.given(1, "dim", 0), call.args[0].dim())
    row = call.rows(call.args[0])
    return [np.asarray(np.take(row, index, axis), object) for index in range(row.shape[axis])]


def _split(call: Call) -> List[np.ndarray]:
    (axis,) = call.dims(call.given(2, "dim", 0), call.args[0].dim())
    row, sizes = call.rows(call.args[0]), call.args[1]
    edges = (
        list(range(sizes, row.shape[axis], sizes))
        if isinstance(sizes, int)
        else list(np.cumsum(sizes)[:-1])
    )
    return np.split(row, edges, axis)


def _cat(call: Call) -> np.ndarray:
    (axis,) = call.dims(call.given(1, "dim", 0), call.args[0][0].dim())
    return np.concatenate([call.rows(each) for each in call.args[0]], axis)


def _stack(call: Call) -> np.ndarray:
    (axis,) = call.dims(call.given(1, "dim", 0), call.args[0][0].dim() + 1)
    return np.stack([call.rows(each) for each in call.args[0]], axis)


def _roll(call: Call) -> np.ndarray:
    axes = call.dims(call.given(2, "dims"), call.args[0].dim())
    return np.roll(call.rows(call.args[0]), call.args[1], axes)


def _index(call: Call) -> np.ndarray:
    source, index = call.args[0], list(call.args[1])
    tracked = [call.recorder.knows(each) for each in index if each is not None]
    if not any(tracked):
        if index[0] is not None:
            raise call.recorder.error("an index there mixes environments")
        row = call.rows(source)
        places = [slice(None) if each is None else each.numpy() for each in index[1:]]
        return row[tuple(places)]
    if len(index) != 1 or call.recorder.knows(source):
        raise call.recorder.error("only a table of constants can be looked into by a found index")
    table, found = constants(source), call.rows(index[0])
    result = np.empty((*found.shape, *table.shape[1:]), object)
    for place in np.ndindex(*found.shape):
        for cell in np.ndindex(*table.shape[1:]):
            result[(*place, *cell)] = call.recorder.number(
                "lookup", found[place], *(row[cell] for row in table)
            )
    return result


def _argmin(call: Call) -> np.ndarray:
    (axis,) = call.dims(call.given(1, "dim"), call.args[0].dim())
    row = np.moveaxis(call.rows(call.args[0]), axis, -1)
    result = np.empty(row.shape[:-1], object)
    for place in np.ndindex(*result.shape):
        result[place] = call.recorder.number("argmin", *list(row[place]))
    return result


def _matmul(call: Call) -> np.ndarray:
    first, second = call.rows(call.args[0]), call.args[1]
    if call.recorder.knows(second) or second.dim() != 2 or first.ndim != 1:
        raise call.recorder.error("only a row times a constant matrix is known")
    matrix = constants(second)
    result = np.empty(matrix.shape[1], object)
    for column in range(matrix.shape[1]):
        total: Entry = 0.0
        for each, factor in zip(first, matrix[:, column]):
            if factor != 0.0:
                product = each if factor == 1.0 else call.recorder.number("mul", each, factor)
                total = product if total == 0.0 else call.recorder.number("add", total, product)
        result[column] = total
    return result


def _constant(value: float) -> Rule:
    def rule(call: Call) -> np.ndarray:
        tensor = call.args[0]
        row = np.empty(tuple(tensor.shape[1:]), object)
        row[...] = bool(value) if call.kwargs.get("dtype") is torch.bool else float(value)
        return row

    return rule


def _same(call: Call) -> np.ndarray:
    return call.rows(call.args[0])


KEYWORDS = frozenset(
    {
        *("alpha", "dim", "dims", "keepdim", "ord", "min", "max", "start", "end", "step"),
        *("dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"),
    }
)
"""What may be said by name: the rules heed these, or they change no number."""
DTYPES = frozenset({None, torch.float32, torch.bool})
"""What a number may be."""

RULES: Dict[str, Rule] = {
    **{name: _each(name) for name in ("mul", "div", "neg", "sin", "cos", "sqrt", "exp", "abs")},
    **{name: _each(name) for name in ("atan2", "remainder", "tanh", "where")},
    "minimum": _each("min"),
    "maximum": _each("max"),
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
    "norm": _norm,
    "pow": _power,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "_to_copy": _cast,
    "view": _view,
    "_unsafe_view": _view,
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
}
