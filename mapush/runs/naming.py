"""The two directories of a new run: their names, and how they are taken.

A run trains in its live directory and ends in its results directory. Both are taken when it
starts, each by an exclusive mkdir, which is right without any lock, between hosts too.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

import filelock

from mapush.errors import RequestError
from mapush.files import fsync_directory, make_directory, quoted, storage_errors
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.owner import Owner
from mapush.runs.record import RunRecord

_PLAIN = re.compile(r"\w[\w.-]{0,99}")
# A file system's names have up to 255, of which the time, a suffix and hidden names take 40.
_BYTES = 200
_LOCK_SECONDS = 0.5

_log = logging.getLogger("mapush")


def check_plain(option: str, name: str) -> str:
    """Return a name that is safe as one part of a path.

    Raises:
        RequestError: If it is anything else.
    """
    if not _PLAIN.fullmatch(name):
        raise RequestError(
            f"{option} {quoted(name)}: is no plain folder name; use up to 100 letters, digits, "
            "'_', '-' and '.', beginning with a letter or digit"
        )
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        raise RequestError(
            f"{option} {quoted(name)}: cannot be written in the file system's encoding; "
            "set LC_ALL=C.UTF-8 or use other letters"
        ) from None
    if size > _BYTES:
        raise RequestError(
            f"{option} {quoted(name)}: has {size} bytes and at most {_BYTES} leave room for what "
            "is put around it; use a shorter name"
        )
    return name


def reserve(
    root: Path,
    exp: str,
    task: str,
    start: datetime,
    owner: Owner,
    record_fields: Optional[Mapping[str, Any]] = None,
) -> RunDirectory:
    """Take a results and a live directory that no other run has or will get.

    Args:
        root: Holds `results/` and `log/`.
        exp: The experiment.
        task: The task's name in the live path, such as `go1push_mid`.
        start: Local time of the start.
        owner: The process that starts the run.
        record_fields: Further fields of the run.yaml: `command`, `seed`, `versions`, others.

    Raises:
        RequestError: If `exp` or `task` is no plain folder name.
        StorageError: If a directory cannot be made.
    """
    names = candidates(start, exp)
    live_parent = root / "log" / "MQE" / check_plain("--task", task)
    make_directory(root / "results")
    make_directory(live_parent)
    with _tidy_names(root / "results"):
        results = _take(root / "results", names)
        live = _take(live_parent, live_candidates(start))
    # Without the lock, so that starts at once share their syncs.
    for parent in (results.parent, live_parent):
        with storage_errors(parent):
            fsync_directory(parent)
    fields = dict(record_fields or {})
    known = {name: fields.pop(name) for name in ("seed", "versions") if name in fields}
    new = RunRecord(
        exp=exp,
        task=task,
        status=record.RUNNING,
        owner=owner,
        started=start.astimezone().isoformat(timespec="milliseconds"),
        live=live.relative_to(root).as_posix(),
        results=results.relative_to(root).as_posix(),
        command=tuple(fields.pop("command", ())),
        more=fields,
        **known,
    )
    # The results' one first: it is what a restarted job is found by.
    record.write(results / record.FILE_NAME, new)
    record.write(live / record.FILE_NAME, new)
    return RunDirectory(root, live, results)


def candidates(start: datetime, exp: str) -> Iterator[str]:
    """Names for a results directory, best first, without end.

    `<MM-DD-HH>_<exp>`, then `<MM-DD-HH>_<exp>_<MM-SS>` with minute and second of the start, then
    of each second after it.

    Args:
        start: Local time of the start; its own hour and minute are used whatever its UTC offset.
        exp: The experiment, a plain folder name.

    Raises:
        RequestError: If `exp` is no plain folder name.
    """
    check_plain("--exp", exp)
    later = (f"{moment:%m-%d-%H}_{exp}_{moment:%M-%S}" for moment in _seconds_from(start))
    return itertools.chain([f"{start:%m-%d-%H}_{exp}"], later)


def live_candidates(start: datetime) -> Iterator[str]:
    """Names for a live directory, `<YYYY_MM_DD_HH_MM_SS>` of the start and each second after it."""
    return (f"{moment:%Y_%m_%d_%H_%M_%S}" for moment in _seconds_from(start))


def _seconds_from(start: datetime) -> Iterator[datetime]:
    return (start + timedelta(seconds=seconds) for seconds in itertools.count())


def _take(parent: Path, names: Iterator[str]) -> Path:
    with storage_errors(parent):
        # Names seen taken are passed over without a system call each; mkdir alone decides.
        taken = set(os.listdir(parent))
        for name in names:
            if name not in taken:
                with contextlib.suppress(FileExistsError):
                    (parent / name).mkdir()
                    return parent / name
    raise AssertionError("candidate names never end")


@contextlib.contextmanager
def _tidy_names(directory: Path) -> Iterator[None]:
    """Let starts queue up, so that names follow their order; without a working lock they do not."""
    lock = filelock.FileLock(str(directory / ".naming.lock"))
    try:
        lock.acquire(timeout=_LOCK_SECONDS, poll_interval=0.01)
    except (OSError, NotImplementedError, filelock.Timeout) as error:
        _log.debug("names are taken without a lock: %s", error)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, NotImplementedError):
            lock.release()
