"""How a checkpoint directory appears: as a whole, or not at all.

The files are written into a hidden sibling directory and synced, the directory is synced, renamed
into place, and its parent synced. A kill before the rename leaves a hidden directory that no
listing takes for a checkpoint; after it, the checkpoint is there, whole. Removing goes the same
way back: hidden by one rename first, then deleted.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, List, Mapping

from mapush.checkpoint.names import is_hidden
from mapush.files import (
    fsync_directory,
    hidden_sibling,
    make_directory,
    remove,
    storage_errors,
    write_durably,
)


def publish(target: Path, files: Mapping[str, bytes], guard: Callable[[], None]) -> None:
    """Make a directory with these files appear at `target`, which must not exist.

    Args:
        target: The directory to be.
        files: Content by file name.
        guard: Called before anything is written and right before the directory appears; what it
            raises stops that.

    Raises:
        StorageError: If the storage refuses; nothing is left behind then.
    """
    guard()
    make_directory(target.parent)
    temporary = hidden_sibling(target)
    with storage_errors(target, sum(len(data) for data in files.values())):
        try:
            temporary.mkdir()
            for name, data in files.items():
                write_durably(temporary / name, data)
            fsync_directory(temporary)
            guard()
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        fsync_directory(target.parent)


def retire(target: Path, needed: Callable[[], bool] = lambda: False) -> bool:
    """Delete a published directory so that no half of it is ever taken for a checkpoint.

    Args:
        target: The directory.
        needed: Asked once the directory is hidden; if it says yes, the directory is put back.

    Returns:
        Whether it is deleted.

    Raises:
        StorageError: If the storage refuses, or `needed` cannot be answered; a directory that is
            hidden by then is put back.
    """
    hidden = hidden_sibling(target)
    with storage_errors(target):
        target.rename(hidden)
        keep = True
        try:
            keep = needed()
        finally:
            if keep:
                hidden.rename(target)
        if not keep:
            remove(hidden)
    return not keep


def leftovers(directory: Path) -> List[Path]:
    """The hidden directories that killed writers have left in a checkpoint directory."""
    with storage_errors(directory):
        return sorted(path for path in directory.iterdir() if is_hidden(path.name))
