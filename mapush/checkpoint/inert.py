"""A pickle machine that can build plain values, tensors and inert stand-ins, and nothing else.

Published checkpoints are read by it; what mapush has written is read by torch.

It is not a restricted `pickle.Unpickler`: it has no way to import a module or to call anything.
A class or function named in the pickle becomes a `Global`, calling one a `StandIn` that records
the arguments. Keys are plain values or tensors, so that no hash runs through nested values, and
tensors are views into the bytes that the archive really has.
"""

from __future__ import annotations

import pickletools
import struct
from collections import OrderedDict
from typing import Any, Callable, Dict, List, Tuple

import torch

from mapush.checkpoint.archive import FIX, MAX_PICKLE_BYTES, Archive
from mapush.errors import CheckpointError

_STORAGES = {
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.ShortStorage": torch.int16,
}

_MARK = object()


class Global:
    """The name of a class or function; only the name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class StandIn:
    """What takes the place of an object of a class that the machine does not build.

    Attributes:
        name: Full name of the class or function that the pickle would have called.
        arguments: What it would have been called with.
        state: What its attributes would have been, a dict for ordinary objects.
    """

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: Any) -> None:  # noqa: ANN401
        self.name = name
        self.arguments = arguments
        self.state: Any = {}


class Refused(Exception):
    """The pickle asks for something the machine does not do."""


def build(archive: Archive) -> Any:  # noqa: ANN401
    """Build what the archive's pickle describes.

    Raises:
        CheckpointError: If the pickle is damaged, too large, or uses an operation, a key or a
            tensor that no honest checkpoint has.
    """
    if len(archive.pickle) > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"{archive.path}: its pickle has {len(archive.pickle):,} bytes and at most "
            f"{MAX_PICKLE_BYTES:,} are read; {FIX}"
        )
    try:
        return _Machine(archive).run()
    except Refused as error:
        raise CheckpointError(f"{archive.path}: refused: {error}; {FIX}") from None
    except (
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise CheckpointError(
            f"{archive.path}: its pickle is damaged ({type(error).__name__}: {error}); {FIX}"
        ) from error


class _Machine:
    """Executes the opcodes that torch's pickles have; a stack, a memo and nothing outside."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._stack: List[Any] = []
        self._memo: Dict[int, Any] = {}
        self._storages: Dict[Tuple[str, str], torch.Tensor] = {}

    def run(self) -> Any:  # noqa: ANN401
        for opcode, argument, _ in pickletools.genops(self._archive.pickle):
            name = opcode.name
            if name in _VALUES:
                self._stack.append(argument)
            elif name in _OPERATIONS:
                _OPERATIONS[name](self, argument)
            elif name == "STOP":
                return self._stack.pop()
            else:
                raise Refused(f"it uses the pickle operation {name}, which no checkpoint has")
        raise Refused("its pickle has no end")

    def _above_mark(self) -> List[Any]:
        items: List[Any] = []
        item = self._stack.pop()
        while item is not _MARK:
            items.append(item)
            item = self._stack.pop()
        items.reverse()
        return items

    def _stack_pair(self) -> List[Any]:
        value, key = self._stack.pop(), self._stack.pop()
        return [key, value]

    def remember(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def recall(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def push(self, make: Callable[[], Any]) -> None:
        self._stack.append(make())

    def tuple_from_mark(self, _: object) -> None:
        self._stack.append(tuple(self._above_mark()))

    def tuple_of(self, count: int) -> None:
        items = tuple(self._stack[-count:])
        if len(items) < count:
            raise Refused("its stack runs empty")
        del self._stack[-count:]
        self._stack.append(items)

    def append(self, items: List[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, StandIn):
            raise Refused(f"it appends to a {type(target).__name__}")

    def set_items(self, pairs: List[Any]) -> None:
        target = self._stack[-1]
        for key, value in zip(pairs[::2], pairs[1::2]):
            if not isinstance(key, (str, int, float, bool, type(None), torch.Tensor)):
                raise Refused(f"it has a {type(key).__name__} as a key")
            if isinstance(target, dict):
                target[key] = value
            elif not isinstance(target, StandIn):
                raise Refused(f"it sets an item of a {type(target).__name__}")

    def push_global(self, module_and_name: str) -> None:
        self._stack.append(Global(module_and_name.replace(" ", ".")))

    def push_stack_global(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(Global(f"{module!s:.200}.{name!s:.200}"))

    def reduce(self, _: object) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise Refused(f"it calls a {type(function).__name__}")
        if function.name == "torch._utils._rebuild_tensor_v2":
            self._stack.append(self._tensor(*arguments[:4]))
        elif function.name == "torch._utils._rebuild_parameter":
            self._stack.append(arguments[0])
        elif function.name == "collections.OrderedDict" and not arguments:
            self._stack.append(OrderedDict())
        elif function.name == "collections.defaultdict":
            self._stack.append({})
        else:
            self._stack.append(StandIn(function.name, arguments))

    def new_object(self, _: object) -> None:
        arguments, cls = self._stack.pop(), self._stack.pop()
        if not isinstance(cls, Global):
            raise Refused(f"it makes an instance of a {type(cls).__name__}")
        self._stack.append(StandIn(cls.name, arguments))

    def set_state(self, _: object) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, StandIn):
            target.state = state
        elif not isinstance(target, OrderedDict):
            raise Refused(f"it sets the attributes of a {type(target).__name__}")

    def push_storage(self, _: object) -> None:
        kind, storage, key = self._stack.pop()[:3]
        if kind != "storage" or not isinstance(storage, Global) or not isinstance(key, str):
            raise Refused("it has a persistent id that is no tensor storage")
        if storage.name not in _STORAGES:
            raise Refused(f"it has a tensor storage of type {storage.name}")
        if (storage.name, key) not in self._storages:
            data = bytearray(self._archive.storage(key))
            dtype = _STORAGES[storage.name]
            self._storages[storage.name, key] = (
                torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            )
        self._stack.append(self._storages[storage.name, key])

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> torch.Tensor:  # noqa: ANN401
        numbers = (offset, *size, *stride)
        if not isinstance(storage, torch.Tensor) or len(size) != len(stride) or len(size) > 8:
            raise Refused("it has a tensor without a storage or with an impossible shape")
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise Refused("it has a tensor whose shape is not made of whole numbers")
        count = 1
        for length in size:
            count *= length
        last = offset + sum((length - 1) * step for length, step in zip(size, stride))
        if count and (count > storage.numel() or last >= storage.numel()):
            raise Refused(
                f"it claims a tensor of {count:,} elements in a storage of {storage.numel():,}"
            )
        return storage.as_strided(size, stride, offset) if count else storage.new_empty(size)


_VALUES = {
    "BINBYTES",
    "BINFLOAT",
    "BININT",
    "BININT1",
    "BININT2",
    "BINUNICODE",
    "LONG1",
    "LONG4",
    "SHORT_BINBYTES",
    "SHORT_BINUNICODE",
}

_OPERATIONS: Dict[str, Callable[[_Machine, Any], None]] = {
    "APPEND": lambda machine, _: machine.append([machine._stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine._above_mark()),
    "BINGET": _Machine.recall,
    "BINPERSID": _Machine.push_storage,
    "BINPUT": _Machine.remember,
    "BUILD": _Machine.set_state,
    "EMPTY_DICT": lambda machine, _: machine.push(dict),
    "EMPTY_LIST": lambda machine, _: machine.push(list),
    "EMPTY_TUPLE": lambda machine, _: machine.push(tuple),
    "FRAME": lambda machine, _: None,
    "GLOBAL": _Machine.push_global,
    "LONG_BINGET": _Machine.recall,
    "LONG_BINPUT": _Machine.remember,
    "MARK": lambda machine, _: machine.push(lambda: _MARK),
    "MEMOIZE": _Machine.memoize,
    "NEWFALSE": lambda machine, _: machine.push(lambda: False),
    "NEWOBJ": _Machine.new_object,
    "NEWTRUE": lambda machine, _: machine.push(lambda: True),
    "NONE": lambda machine, _: machine.push(lambda: None),
    "PROTO": lambda machine, _: None,
    "REDUCE": _Machine.reduce,
    "SETITEM": lambda machine, _: machine.set_items(machine._stack_pair()),
    "SETITEMS": lambda machine, _: machine.set_items(machine._above_mark()),
    "STACK_GLOBAL": _Machine.push_stack_global,
    "TUPLE": _Machine.tuple_from_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
}
