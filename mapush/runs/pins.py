"""Checkpoints that a process uses which does not train their run: pins with a heartbeat.

Two delete checkpoints: the process that trains the run, by its retention, and `mapush.runs prune`
where none does. Others need them meanwhile: an evaluation of a whole run, a training that began
from one of them. Each of these holds a file `<checkpoints>/.in-use/<token>` that says which.

Who needs a checkpoint makes the pin first and looks for the checkpoint then. Who deletes one hides
it first and looks for pins then, and puts it back if there is one. So of the two at least one
sees the other, without any lock, on whatever host. A pin counts while its process gives
heartbeats, through the open file, which the final move of a run takes along.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, FrozenSet, Iterable, List, Optional, Type

from mapush.files import storage_errors
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import RENEW_EVERY, STALE_AFTER, file_system_time
from mapush.runs.owner import Owner

PINS = ".in-use"

_MAX_BYTES = 1_000_000

_log = logging.getLogger("mapush")


@dataclasses.dataclass(frozen=True)
class Pinned:
    """What a live process keeps from being deleted."""

    owner: Optional[Owner]
    """None where the pin is damaged or just being written."""
    purpose: str
    steps: Optional[FrozenSet[int]]
    """Steps of the checkpoints; None for all of them."""

    def holds(self, step: int) -> bool:
        """Whether the checkpoint of this step is meant."""
        return self.steps is None or step in self.steps

    def __str__(self) -> str:
        return f"{self.purpose} by {self.owner or 'an unknown process'}"


class Pin:
    """Keeps checkpoints of a run from being deleted, until it is closed or its process ends.

    Every checkpoint at first; `narrow` lets go of some.

    Args:
        checkpoints: The directory of the run's checkpoints.
        owner: This process.
        purpose: What they are needed for, in a word or two.

    Raises:
        StorageError: If the storage refuses.
    """

    def __init__(self, checkpoints: Path, owner: Owner, purpose: str) -> None:
        self._directory = checkpoints / PINS
        self._name = owner.token
        self._fields = {"owner": owner.to_mapping(), "purpose": purpose}
        self._steps: Optional[List[int]] = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        with storage_errors(self._directory):
            _remove_dead(self._directory)
            self._file = self._make(self._directory)
        self._thread = threading.Thread(target=self._beat, name="pin", daemon=True)
        self._thread.start()

    def narrow(self, steps: Iterable[int]) -> None:
        """Keep these only.

        Raises:
            StorageError: If the storage refuses; what was kept before still is.
        """
        with self._lock, storage_errors(self._directory / self._name):
            self._steps = sorted(steps)
            self._write(self._file)

    def close(self) -> None:
        """Let go of everything."""
        self._closed.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            (self._present() / self._name).unlink()
            self._present().rmdir()
        os.close(self._file)

    def __enter__(self) -> Pin:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def _present(self) -> Path:
        """The directory of the pin where it is by now, since the run may have been finished."""
        with contextlib.suppress(OSError):
            directory = Path(os.readlink(f"/proc/self/fd/{self._file}")).parent
            if directory.name == PINS:
                return directory
        return self._directory

    def _make(self, directory: Path) -> int:
        while True:
            directory.mkdir(exist_ok=True)
            # Another process that closes its pin removes a directory it finds empty.
            with contextlib.suppress(FileNotFoundError):
                file = os.open(directory / self._name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
                self._write(file)
                return file

    def _write(self, file: int) -> None:
        # In place, since the heartbeat needs the same file; half a text keeps everything.
        data = json.dumps({**self._fields, "steps": self._steps}).encode()
        os.ftruncate(file, 0)
        os.pwrite(file, data, 0)

    def _beat(self) -> None:
        while not self._closed.wait(RENEW_EVERY):
            try:
                with self._lock:
                    if os.fstat(self._file).st_nlink:
                        os.utime(self._file)
                    else:  # taken for dead while this process was stopped
                        file = self._make(self._present())
                        os.close(self._file)
                        self._file = file
            except OSError as error:
                _log.warning("%s: a heartbeat failed: %s", self._directory, error)


def living_pins(
    checkpoints: Path,
    now: Callable[[Path], float] = file_system_time,
    stale_after: float = STALE_AFTER,
) -> List[Pinned]:
    """What live processes keep in a checkpoint directory.

    Args:
        checkpoints: The directory of a run's checkpoints.
        now: Gives the present time, in seconds, of the file system a directory lies on.
        stale_after: Seconds without a heartbeat after which a process counts as dead.

    Raises:
        StorageError: If the storage does not tell; nothing may be deleted then.
    """
    directory = checkpoints / PINS
    found = []
    with storage_errors(directory):
        for path in _files(directory):
            # One that is gone by now has been closed.
            with contextlib.suppress(FileNotFoundError):
                pin = _read(path)
                if not _is_dead(path, pin, now, stale_after):
                    found.append(pin)
    return found


def in_use(run: RunDirectory) -> Callable[[int], bool]:
    """For a checkpoint store: whether some live process needs the checkpoint of a step."""
    return lambda step: any(pin.holds(step) for pin in living_pins(run.checkpoints))


def _files(directory: Path) -> List[Path]:
    try:
        return [directory / name for name in os.listdir(directory) if name[:1] != "."]
    except FileNotFoundError:
        return []


def _read(path: Path) -> Pinned:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES)
    try:
        fields: Any = json.loads(data)
        owner = Owner.from_mapping(fields["owner"])
        steps = fields["steps"]
        return Pinned(
            owner, str(fields["purpose"]), None if steps is None else frozenset(map(int, steps))
        )
    except (RecursionError, ValueError, TypeError, LookupError, AttributeError):
        return Pinned(None, "use", None)


def _is_dead(path: Path, pin: Pinned, now: Callable[[Path], float], stale_after: float) -> bool:
    if pin.owner is not None and pin.owner.has_ended():
        return True
    heartbeat = path.stat().st_mtime
    return abs(now(path.parent) - heartbeat) > stale_after


def _remove_dead(directory: Path) -> None:
    for path in _files(directory):
        with contextlib.suppress(FileNotFoundError):
            if _is_dead(path, _read(path), file_system_time, STALE_AFTER):
                path.unlink()
