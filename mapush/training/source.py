"""Keeps the checkpoint that a training began from, for as long as that training runs."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Iterator, Optional

from mapush.checkpoint.names import step_of
from mapush.errors import StorageError
from mapush.files import status
from mapush.runs import record
from mapush.runs.owner import Owner
from mapush.runs.pins import Pin

_log = logging.getLogger("mapush")


@contextlib.contextmanager
def kept(module: Optional[Path], owner: Owner) -> Iterator[None]:
    """Keep a checkpoint of a run from being deleted inside the block.

    A file that lies in no run is nobody's to delete, and one in a place that this process may not
    write can be used all the same, with a warning.

    Args:
        module: Its `module.pt`, or None.
        owner: This process.
    """
    with contextlib.ExitStack() as held:
        place = Path() if module is None else module.absolute().parent
        step = step_of(place.name)
        if step is not None:
            try:
                if status(place.parent.parent / record.FILE_NAME) is not None:
                    pin = Pin(place.parent, owner, "training that began here")
                    held.enter_context(pin).narrow([step])
            except (OSError, StorageError) as error:
                _log.warning("what this run begins from may be deleted meanwhile: %s", error)
        yield
