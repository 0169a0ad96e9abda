"""Who may write a run: one process at a time, on whatever host.

Each owner holds a lease file `<live>/.lease/<generation>`, made exclusively and numbered upwards.
A takeover makes the next number and removes the older file, so the file server itself decides and
neither locks nor pids need to work between hosts. An owner that was stopped meanwhile finds its
lease gone before it next writes. The heartbeat is the lease's modification time, compared with
that of a file touched just now, so only the file server's own clock counts.

An owner is dead if its process is known on this machine to be gone, if its heartbeat is older than
`stale_after`, or if the scheduler has restarted its job since.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from mapush.errors import LostRunError, OwnershipError, RequestError, StorageError
from mapush.files import (
    fsync_directory,
    hidden_sibling,
    is_directory,
    is_transient,
    list_directory,
    looked_at_again,
    read_file,
    storage_error,
    storage_errors,
    write_atomically,
    write_durably,
)
from mapush.runs.directory import RunDirectory
from mapush.runs.owner import Owner

LEASES = ".lease"
"""Directory of the lease files in a live directory."""

STALE_AFTER = 60.0
"""Seconds without a heartbeat after which an owner counts as dead."""

RENEW_EVERY = 5.0
"""Seconds between heartbeats."""

HEARTBEAT_PATIENCE = 0.2
"""Seconds for which a heartbeat is tried; the next one comes soon, and a signal may be waiting."""

_MAX_BYTES = 100_000

_log = logging.getLogger("mapush")


class Lease:
    """The right of this process to write a run, until it is released or lost.

    Attributes:
        owner: This process.
        generation: Counts the owners that the run has had.
        before: The token of the owner before and its last heartbeat, in seconds of the file
            system's clock; None where there was none or its lease is damaged.
    """

    def __init__(
        self,
        run: RunDirectory,
        owner: Owner,
        generation: int,
        before: Optional[Tuple[str, float]] = None,
    ) -> None:
        self.owner = owner
        self.generation = generation
        self.before = before
        self._run = run
        self._lease = _path(run, generation)
        self._renewed = _clocks()
        self._is_failing = False

    def check(self, patience: Optional[float] = None) -> None:
        """Make sure that nobody has taken the run over; for right before a write.

        Args:
            patience: Seconds to look again while the storage does not tell, as for
                `looked_at_again`.

        Raises:
            LostRunError: If another process owns the run now, or its lease is gone.
            StorageError: If the storage does not tell; nothing may be written then either.
        """
        try:
            newest = self._seen(patience)
            if newest != self.generation:
                # Once is not enough to end a training.
                newest = self._seen(patience)
        except OSError as error:
            raise storage_error(error, self._lease) from error
        if newest != self.generation:
            raise LostRunError(
                f"{self._run.name}: has been taken over by "
                f"{holder(self._run) or 'another process'}; this process writes nothing more and "
                "nothing is to be done"
            )
        self._renewed = _clocks()

    def _seen(self, patience: Optional[float]) -> int:
        """The newest generation that there is; 0 if this one's lease is gone."""
        try:
            # Touching asks the file server, where a listing alone may come from this host's cache.
            looked_at_again(lambda: os.utime(self._lease), patience)
            return max([self.generation, *_generations(self._run, patience)])
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def renew(self, every: Optional[float] = None) -> None:
        """Give a heartbeat if the last one is old; cheap enough for a loop.

        Args:
            every: How old it may be, in seconds; `RENEW_EVERY` unless given.

        Raises:
            LostRunError: If another process owns the run now.
        """
        # The first clock stands still while a machine is suspended, the second can be set.
        spent = (time.monotonic() - self._renewed[0], abs(time.time() - self._renewed[1]))
        if max(spent) < (RENEW_EVERY if every is None else every):
            return
        try:
            self.check(0 if self._is_failing else HEARTBEAT_PATIENCE)
            self._is_failing = False
        except StorageError as error:
            # Training harms nobody; what protects the run is the check before the next write.
            if not self._is_failing:
                _log.warning("a heartbeat failed: %s", error)
            self._is_failing, self._renewed = True, _clocks()

    def release(self) -> None:
        """Let the next owner start at once; harmless if the run is lost or finished."""
        # The file stays, marked, since its number must never be given out again.
        with contextlib.suppress(LostRunError):
            self.check()
            write_atomically(self._lease, _dumps(self.owner, released=True))


@dataclasses.dataclass(frozen=True)
class Living:
    """A process that holds something and has given a fresh heartbeat."""

    owner: Optional[Owner]
    """None where its file is damaged."""
    age: float
    """Seconds since the heartbeat."""

    def __str__(self) -> str:
        who = self.owner or "an unknown process"
        return f"{who}, last heard of {max(self.age, 0):.0f} s ago"


def acquire(
    run: RunDirectory,
    owner: Owner,
    now: Optional[Callable[[Path], float]] = None,
    stale_after: float = STALE_AFTER,
) -> Lease:
    """Become the one process that may write a run.

    Args:
        run: The run.
        owner: This process.
        now: Gives the present time, in seconds, of the file system that a directory lies on;
            `file_system_time` unless given.
        stale_after: Seconds without a heartbeat after which the present owner counts as dead.

    Raises:
        OwnershipError: If a live process owns it; the message names it.
        RequestError: If the run has no live directory to train in.
        StorageError: If the storage refuses.
    """
    directory = run.live / LEASES
    with storage_errors(directory):
        if not is_directory(run.live):
            raise RequestError(f"{run.name}: has no live directory {run.live}; start a new run")
        directory.mkdir(exist_ok=True)
        while True:
            newest = _newest(run)
            present = _living(run, newest, now or file_system_time, stale_after)
            other = None if present is None else present.owner
            if present and not (other and other.is_earlier_start_of(owner)):
                raise OwnershipError(
                    f"{run.name}: is being trained by {present}; wait for it to end, or stop it "
                    "and start again"
                )
            before = _last_heartbeat(_path(run, newest))
            lease = _path(run, newest + 1)
            try:
                _create(lease, owner)
            except FileExistsError:
                continue
            # A lease number is free again once its holder was superseded, so a slow process may
            # come late; only the highest number owns the run.
            if _newest(run) == newest + 1:
                break
            lease.unlink()
        for generation in _generations(run):
            if generation <= newest:
                with contextlib.suppress(FileNotFoundError):
                    _path(run, generation).unlink()
        fsync_directory(directory)
    return Lease(run, owner, newest + 1, before)


def holder(run: RunDirectory) -> Optional[Owner]:
    """Who holds the newest lease and has not released it; it may be dead."""
    try:
        newest = _newest(run)
        content = _read(_path(run, newest))
    except OSError:
        return None
    return None if content.get("released") else _owner(content)


def living(
    run: RunDirectory,
    now: Optional[Callable[[Path], float]] = None,
    stale_after: float = STALE_AFTER,
) -> Optional[Living]:
    """The process that trains a run, as far as can be told from here; None if none does.

    Args:
        run: The run.
        now: As for `acquire`; `file_system_time` makes a file for a moment.
        stale_after: As for `acquire`.

    Raises:
        StorageError: If the storage does not tell.
    """
    directory = run.live / LEASES
    with storage_errors(directory):
        while True:
            try:
                newest = _newest(run)
                found = _living(run, newest, now or file_system_time, stale_after)
                # A takeover in between leaves a lease that is gone, and another process.
                if found is not None or _newest(run) == newest:
                    return found
            except (FileNotFoundError, NotADirectoryError):
                return None


def trainer_of(run: RunDirectory) -> Optional[Living]:
    """As `living`, by this host's clock: the file system's is asked by making a file.

    Raises:
        StorageError: If the storage does not tell.
    """
    return living(run, now=local_time)


def local_time(directory: Path) -> float:
    """This host's clock, for whoever only looks at a directory."""
    return time.time()


def file_system_time(directory: Path) -> float:
    """The present time by the clock of the file system that a directory lies on, in seconds.

    Raises:
        OSError: If no file can be made there.
    """
    probe = hidden_sibling(directory / "clock")

    def touch() -> float:
        probe.touch()
        return probe.stat().st_mtime

    try:
        return looked_at_again(touch)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _living(
    run: RunDirectory, generation: int, now: Callable[[Path], float], stale_after: float
) -> Optional[Living]:
    """The holder of a lease, unless that is none, released, gone or without a fresh heartbeat."""
    lease = _path(run, generation)
    content = _read(lease)
    other = _owner(content)
    if not generation or content.get("released") or (other is not None and other.has_ended()):
        return None
    try:
        heartbeat = looked_at_again(lease.stat).st_mtime
    except FileNotFoundError:
        return None
    # A heartbeat from the future was given before the clock went back; a live owner ends that
    # within seconds, so it is as stale as an old one.
    age = now(run.live / LEASES) - heartbeat
    return Living(other, age) if abs(age) <= stale_after else None


def _last_heartbeat(lease: Path) -> Optional[Tuple[str, float]]:
    owner = _owner(_read(lease))
    try:
        return None if owner is None else (owner.token, looked_at_again(lease.stat).st_mtime)
    except FileNotFoundError:
        return None


def _clocks() -> Tuple[float, float]:
    return time.monotonic(), time.time()


def _path(run: RunDirectory, generation: int) -> Path:
    return run.live / LEASES / f"{generation:06d}"


def _generations(run: RunDirectory, patience: Optional[float] = None) -> List[int]:
    names = list_directory(run.live / LEASES, patience)
    return [int(name) for name in names if name.isdecimal()]


def _newest(run: RunDirectory) -> int:
    return max(_generations(run), default=0)


def _create(lease: Path, owner: Owner) -> None:
    """Make a lease that has its content from the first moment, if no such lease exists."""
    temporary, data = hidden_sibling(lease), _dumps(owner, released=False)
    write_durably(temporary, data)
    try:
        looked_at_again(lambda: os.link(temporary, lease))
    except FileExistsError:
        # The server may have made the link and its answer been lost.
        if _read(lease).get("token") != owner.token:
            raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        # A file system without hard links: exclusive all the same, but not whole at once.
        write_durably(lease, data)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _dumps(owner: Owner, released: bool) -> bytes:
    return (json.dumps({**owner.to_mapping(), "released": released}) + "\n").encode()


def _read(lease: Path) -> Dict[str, Any]:
    """The content of a lease; empty if it is damaged, so that its heartbeat alone counts.

    Raises:
        OSError: If it cannot be read for a reason that may pass, so it may be whole.
    """
    try:
        content = json.loads(read_file(lease, _MAX_BYTES))
    except (OSError, RecursionError, ValueError) as error:
        if is_transient(error):
            raise
        return {}
    return content if isinstance(content, dict) else {}


def _owner(content: Dict[str, Any]) -> Optional[Owner]:
    try:
        return Owner.from_mapping(content)
    except ValueError:
        return None
