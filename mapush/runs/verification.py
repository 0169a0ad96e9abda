"""Whether everything that a run is resumed, evaluated and explained from is sound.

Nothing is changed: a damaged checkpoint is set aside by the process that next trains the run.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Optional, Sequence

from mapush.checkpoint import publish
from mapush.checkpoint.names import ASIDE, step_of
from mapush.checkpoint.store import CheckpointEntry, damage
from mapush.errors import MapushError, RequestError
from mapush.files import size_of, storage_errors
from mapush.runs import record
from mapush.runs.directory import CHECKPOINTS, RunDirectory
from mapush.runs.listing import open_run
from mapush.runs.pins import PINS

GOOD = "good"


class Check(NamedTuple):
    """A part of a run that its reader judges."""

    what: str
    part: str
    """Its file or directory in the run."""
    read: Callable[[Path], object]
    is_needed: bool = False
    """Whether a run with checkpoints must have it."""


class Finding(NamedTuple):
    """What was found out about one thing."""

    what: str
    says: str
    is_damaged: bool = False
    size: Optional[int] = None
    """Bytes of a checkpoint that is good."""


def verify(run: RunDirectory, checks: Sequence[Check]) -> Iterator[Finding]:
    """Judge the records, the parts and the checkpoints of a run, one by one.

    Raises:
        StorageError: A directory cannot be listed.
    """
    for directory in (run.results, run.live):
        if directory.is_dir():
            path = directory / record.FILE_NAME
            yield _checked(os.path.relpath(path, run.results), record.read, path)
    entries = run.entries()
    for check in checks:
        path = run.part(check.part)
        if path.exists() or (entries and check.is_needed):
            yield _checked(check.what, check.read, path)
    for listed in entries:
        # The run may be finished meanwhile.
        path = run.part(CHECKPOINTS) / listed.path.name
        wrong = damage(CheckpointEntry(listed.step, path))
        if wrong is None:
            yield Finding(path.name, GOOD, size=size_of(path))
        elif os.path.lexists(path):
            yield Finding(path.name, wrong, is_damaged=True)
        else:
            yield Finding(path.name, "is gone by now; the run is being trained, so look again")
    if not entries:
        yield Finding(CHECKPOINTS, "there is none")
    yield from _besides(run.part(CHECKPOINTS))


def locate(root: Path, text: str) -> RunDirectory:
    """The run that a user names, also where its run.yaml is missing or cannot be read.

    Raises:
        RequestError: There is no such run; the message lists those there are.
        StorageError: The storage does not tell.
    """
    try:
        return open_run(root, text)
    except RequestError:
        for directory in (Path(text), root / "results" / text):
            with storage_errors(directory):
                live = _live_directory_of(root, directory) if directory.is_dir() else None
                marks = (directory / record.FILE_NAME, directory / CHECKPOINTS)
                if live or (directory.is_dir() and any(mark.exists() for mark in marks)):
                    return RunDirectory(root, live or directory / ".none", directory)
        raise


def _checked(what: str, read: Callable[[Path], object], path: Path) -> Finding:
    try:
        read(path)
    except MapushError as error:
        return Finding(what, str(error), is_damaged=True)
    return Finding(what, GOOD)


def _besides(directory: Path) -> Iterator[Finding]:
    """What lies beside the checkpoints."""
    if not directory.is_dir():
        return
    unfinished = set(publish.leftovers(directory))
    for path in sorted(directory.iterdir()):
        if path in unfinished:
            yield Finding(path.name, "being written or deleted, or left by a process so killed")
        elif ASIDE in path.name:
            yield Finding(path.name, "set aside as damaged before; a person may delete it")
        elif step_of(path.name) is None and path.name != PINS:
            yield Finding(path.name, "is no checkpoint by its name")


def _live_directory_of(root: Path, results: Path) -> Optional[Path]:
    """The live directory of a run by the one of its two records that can be read."""
    with contextlib.suppress(RequestError):
        live = root / record.read(results / record.FILE_NAME).live
        return live if live.is_dir() else None
    for path in sorted((root / "log" / "MQE").glob(f"*/*/{record.FILE_NAME}")):
        with contextlib.suppress(RequestError):
            if (root / record.read(path).results).resolve() == results.resolve():
                return path.parent
    return None
