"""Tries on a real directory what mapush asks of a file system. Each returns what happened."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import Callable, List, Optional

from mapush.diagnosis.processes import Child, together
from mapush.files import fsync_directory, hidden_sibling, write_durably

PROCESSES = 4
ROUNDS = 100
_APART = 0.002  # seconds between two rounds
_LIMIT = 60.0
_PART = 4096


@dataclasses.dataclass(frozen=True)
class Operations:
    """The system calls, so that a broken storage can be put in their place."""

    mkdir: Callable[[Path], None] = os.mkdir
    link: Callable[[Path, Path], None] = os.link
    rename: Callable[[Path, Path], None] = os.rename
    flock: Callable[[int, int], None] = fcntl.flock
    utime: Callable[[Path], None] = os.utime


@dataclasses.dataclass(frozen=True)
class Race:
    """How processes fared that all tried to make the same thing, many times."""

    rounds: int
    nobody: int
    """Rounds in which none of them made it."""
    several: int
    """Rounds in which more than one believes to have made it."""


def race(make: Callable[[int], None], rounds: int = ROUNDS) -> Race:
    """Have several processes make the same thing at the same moment; exactly one may succeed.

    Args:
        make: Makes the thing of a round, or raises `FileExistsError`.
        rounds: How often.

    Raises:
        OSError: What making raised otherwise.
    """
    start = time.monotonic() + 0.05  # the same clock in all processes of a machine

    def runner() -> List[bool]:
        made = []
        for number in range(rounds):
            while time.monotonic() < start + number * _APART:
                pass
            try:
                make(number)
                made.append(True)
            except FileExistsError:
                made.append(False)
        return made

    winners = [sum(each) for each in zip(*together(_LIMIT, [runner] * PROCESSES))]
    return Race(rounds, winners.count(0), sum(count > 1 for count in winners))


def race_directories(place: Path, operations: Operations) -> Race:
    """Exclusive mkdir, by which a run gets its name."""
    place.mkdir()
    return race(lambda number: operations.mkdir(place / str(number)))


def race_links(place: Path, operations: Operations) -> Race:
    """Exclusive hard links, by which a process becomes the owner of a run."""
    place.mkdir()

    def make(number: int) -> None:
        own = place / f".{number}.{os.getpid()}"
        own.touch()
        operations.link(own, place / str(number))

    return race(make)


def race_files(place: Path) -> Race:
    """Exclusive creation of files, which stands in for hard links."""
    place.mkdir()

    def make(number: int) -> None:
        os.close(os.open(place / str(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    return race(make)


def watch_renames(place: Path, operations: Operations, rounds: int = 50) -> List[str]:
    """What a reader sees of directories and files that are renamed into their place.

    Returns:
        What was seen that may not be: half a directory, half a file; empty if nothing.
    """
    place.mkdir()
    file = place / "file"
    file.write_bytes(bytes(_PART))

    def write() -> List[str]:
        for number in range(rounds):
            hidden = place / f".{number}"
            hidden.mkdir()
            for part in ("first", "second"):
                (hidden / part).write_bytes(bytes(_PART))
            operations.rename(hidden, place / str(number))
            fresh = hidden_sibling(file)
            fresh.write_bytes(bytes([number + 1]) * _PART)
            operations.rename(fresh, file)
        return []

    def read() -> List[str]:
        seen = set()
        deadline = time.monotonic() + _LIMIT / 2
        for number in range(rounds):
            there: List[str] = []
            while not there and time.monotonic() < deadline:
                with contextlib.suppress(FileNotFoundError):
                    there = os.listdir(place / str(number))
                    sizes = [(place / str(number) / name).stat().st_size for name in there]
                    if sizes != [_PART, _PART]:
                        seen.add("half a directory")
                        there = there or ["nothing"]
                try:
                    data = file.read_bytes()
                except FileNotFoundError:
                    seen.add("no file")
                    continue
                if len(data) != _PART or len(set(data)) != 1:
                    seen.add("half a file")
        return sorted(seen)

    return [each for seen in together(_LIMIT, [write, read]) for each in seen]


def lock_holds(place: Path, operations: Operations) -> bool:
    """Whether a lock that one process holds is refused to another.

    Raises:
        OSError: If there are no locks here.
    """
    place.touch()

    def take() -> bool:
        with place.open("ab") as file:
            try:
                operations.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with place.open("ab") as held:
        operations.flock(held.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        refused = not Child(take).result(time.monotonic() + 10.0)
    return refused and bool(Child(take).result(time.monotonic() + 10.0))


@dataclasses.dataclass(frozen=True)
class Clock:
    """How modification times behave."""

    offset: float
    """Seconds by which the file system's clock is ahead of this machine's."""
    heartbeat: float
    """Seconds by which a heartbeat differs from a file made at the same moment."""


def read_clock(place: Path, operations: Operations) -> Clock:
    """Compare clocks, and give a heartbeat as the owner of a run does."""
    before = time.time()
    place.touch()
    after = time.time()
    made = place.stat().st_mtime
    # Coarse time stamps may lie a little before the call.
    offset = made - min(max(made, before), after)
    os.utime(place, (made - 3600.0, made - 3600.0))
    operations.utime(place)
    given = place.stat().st_mtime
    other = place.with_name(f"{place.name}-other")
    other.touch()
    return Clock(offset, abs(given - other.stat().st_mtime))


def time_checkpoints(place: Path, size: int, count: int = 8) -> float:
    """Write checkpoints durably, as training does.

    Returns:
        Seconds of the slowest.
    """
    place.mkdir()
    data = secrets.token_bytes(size)
    slowest = 0.0
    for number in range(count):
        begun = time.monotonic()
        hidden = place / f".{number}"
        hidden.mkdir()
        write_durably(hidden / "module.pt", data)
        fsync_directory(hidden)
        hidden.rename(place / str(number))
        fsync_directory(place)
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


@dataclasses.dataclass(frozen=True)
class Filling:
    """How much was really written at a go."""

    written: int
    seconds: float
    refusal: Optional[OSError] = None


def fill(place: Path, size: int, seconds: float) -> Filling:
    """Write so many bytes, since only that shows a quota; they are gone afterwards."""
    begun = time.monotonic()
    written = 0
    refusal: Optional[OSError] = None
    block = secrets.token_bytes(1 << 20)
    try:
        with place.open("xb", buffering=0) as file:
            while written < size and time.monotonic() - begun < seconds:
                written += file.write(block[: size - written])
            os.fsync(file.fileno())
    except OSError as error:
        refusal = error
    finally:
        with contextlib.suppress(OSError):
            place.unlink()
    return Filling(written, time.monotonic() - begun, refusal)
