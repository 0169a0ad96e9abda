"""Tasks, simulators and learners of others: modules that register what they bring.

A plugin is a Python module. It is named in the environment variable MAPUSH_PLUGINS (several with
commas between them), or by an installed package as an entry point of the group `mapush.plugins`.
Importing it is all that is done with it: it calls `mapush.tasks.register` and the like itself.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable, List, Union

from mapush.errors import RequestError

VARIABLE = "MAPUSH_PLUGINS"
GROUP = "mapush.plugins"

Reference = Union[str, Callable[..., Any]]
"""What a registry calls: `module:name`, which is imported only when called, or a thing itself."""

_done = False


def load() -> None:
    """Import every plugin, once in a process; called before a registry is looked into.

    Raises:
        RequestError: one that MAPUSH_PLUGINS names, or something it imports, is not there.
    """
    global _done
    if _done:
        return
    _done = True  # before the imports: a plugin may look into a registry itself
    for name in named():
        try:
            importlib.import_module(name)
        except ImportError as error:
            _done = False
            raise RequestError(
                f"{VARIABLE}: cannot import the plugin {name!r} ({error}); it must be installed or "
                "lie in a directory of PYTHONPATH"
            ) from None


def resolve(reference: Reference) -> Callable[..., Any]:
    """What `module:name` names; what is no text stays as it is.

    Raises:
        ImportError: the module, or something it imports, is not there.
    """
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def named() -> List[str]:
    """The modules that are plugins here, in order, each once."""
    words = [word.strip() for word in os.environ.get(VARIABLE, "").split(",")]
    return list(dict.fromkeys([*filter(None, words), *_entry_points()]))


def _entry_points() -> List[str]:
    from importlib import metadata  # here, for it takes a while

    found = metadata.entry_points()
    select = getattr(found, "select", None)  # from Python 3.10 on
    chosen = select(group=GROUP) if select else dict(found).get(GROUP, ())
    return [point.value for point in chosen]
