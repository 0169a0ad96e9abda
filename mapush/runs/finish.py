"""The final move of a run from its live directory to its results.

Each step leaves a state from which the whole can be done again: `finishing` is written first,
every child moves by one rename, `complete` is written when all are there, and the live directory
goes last. Where the two are on different file systems, a child is copied under a hidden name,
synced and renamed before its source is deleted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import shutil
from pathlib import Path
from typing import Callable

from mapush.checkpoint.store import nothing
from mapush.errors import RequestError
from mapush.files import (
    fsync_directory,
    hidden_sibling,
    is_directory,
    is_taken,
    remove,
    set_aside,
    storage_errors,
)
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import LEASES

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_STAYS = (record.FILE_NAME, LEASES)


def finish(run: RunDirectory, guard: Callable[[], None] = nothing) -> None:
    """Move everything to the results and mark the run complete; harmless if that was done already.

    Args:
        run: The run.
        guard: Called before each move; raises to stop, as `Lease.check` does.

    Raises:
        RequestError: If its run.yaml is missing or damaged, or it has no live directory and is
            not complete.
        StorageError: If the storage refuses; call it again once that is fixed.
    """
    with storage_errors(run.results):
        _finish(run, guard)


def _finish(run: RunDirectory, guard: Callable[[], None]) -> None:
    found = run.read()
    if not is_directory(run.live):
        if found.status != record.COMPLETE:
            raise RequestError(
                f"{run.live}: the live directory of a run that is {found.status} is missing; "
                "restore it, or start a new run"
            )
        return
    if found.status not in (record.FINISHING, record.COMPLETE):
        guard()
        run.write(dataclasses.replace(found, status=record.FINISHING))
    with storage_errors(run.results):
        _remove_temporaries(run.results)
        _remove_temporaries(run.live)
        for child in sorted(run.live.iterdir()):
            if child.name not in _STAYS:
                guard()
                _move(child, run.results / child.name)
        fsync_directory(run.results)
    guard()
    record.write(run.results / record.FILE_NAME, dataclasses.replace(found, status=record.COMPLETE))
    with storage_errors(run.live):
        with contextlib.suppress(FileNotFoundError):
            (run.live / record.FILE_NAME).unlink()
        remove(run.live / LEASES)
        run.live.rmdir()
        fsync_directory(run.live.parent)


def _move(source: Path, target: Path) -> None:
    if is_taken(target):
        if source.lstat().st_dev != target.lstat().st_dev:
            # Copies are renamed into place when whole: only deleting the source was left to do.
            remove(source)
            return
        set_aside(target, ".aside-")  # what a person has put there
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        remove(source)


def _copy(source: Path, target: Path) -> None:
    temporary = hidden_sibling(target)
    try:
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, temporary, symlinks=True)
        else:
            shutil.copy2(source, temporary, follow_symlinks=False)
        _sync(temporary)
        temporary.rename(target)
        fsync_directory(target.parent)
    except BaseException:
        remove(temporary)
        raise


def _sync(path: Path) -> None:
    if path.is_symlink():
        return
    if path.is_dir():
        for child in path.iterdir():
            _sync(child)
        fsync_directory(path)
    else:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _remove_temporaries(directory: Path) -> None:
    for path in directory.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            remove(path)
