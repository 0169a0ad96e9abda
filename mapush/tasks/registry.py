"""Which kinds of task there are; imports no torch.

A kind is a specification, what a `config.py` may call to write one down, and the logic that judges
states by it. Those of mapush are imported by name when somebody asks; those of others are plugins
(see `mapush.plugins`).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Iterable, Mapping, Tuple, Type

from pydantic import BaseModel

from mapush import plugins
from mapush.errors import RequestError

if TYPE_CHECKING:
    import torch

    from mapush.tasks.base import TaskLogic, TaskSpec

_BUILT_IN = ("mapush.tasks.push",)


@dataclass(frozen=True)
class TaskKind:
    """One kind of task.

    Attributes:
        spec: class of its specification, a pydantic model that is a `TaskSpec`.
        logic: called with (spec, num_envs, device), gives its `TaskLogic`.
    """

    spec: Type[BaseModel]
    logic: plugins.Reference


_kinds: Dict[Type[BaseModel], TaskKind] = {}
_constructors: Dict[str, Type[BaseModel]] = {}


def register(
    spec: Type[BaseModel], logic: plugins.Reference, constructors: Iterable[Type[BaseModel]] = ()
) -> None:
    """Add a kind of task to those that a `config.py` can hold.

    Args:
        spec: class of its specification, which `task = ...` calls.
        logic: called with (spec, num_envs, device), gives its `TaskLogic`; "module:name" where
            the module imports torch and this one should not.
        constructors: further classes that the file may call.

    Raises:
        RequestError: a class of another kind has one of these names.
    """
    for each in (spec, *constructors):
        if _constructors.setdefault(each.__name__, each) is not each:
            raise RequestError(
                f"{each.__module__}.{each.__name__}: another task's config.py calls this name"
            )
    _kinds[spec] = TaskKind(spec, logic)


def constructors() -> Mapping[str, Type[BaseModel]]:
    """What a `config.py` can call, by name."""
    _load()
    return dict(sorted(_constructors.items()))


def task_classes() -> Tuple[Type[BaseModel], ...]:
    """Classes of which a `config.py` holds one object."""
    _load()
    return tuple(_kinds)


def make_logic(task: TaskSpec, num_envs: int, device: torch.device) -> TaskLogic:
    """Build the logic of a task for a batch of environments.

    Raises:
        RequestError: nobody has registered its kind.
    """
    _load()
    kind = _kinds.get(type(task))  # pyright: ignore[reportArgumentType]
    if kind is None:
        raise RequestError(f"{task.name}: no task of class {type(task).__name__} is registered")
    return plugins.resolve(kind.logic)(task, num_envs, device)


def _load() -> None:
    for module in _BUILT_IN:
        importlib.import_module(module)
    plugins.load()
