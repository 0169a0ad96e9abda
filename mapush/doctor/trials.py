"""Tries on a real directory what mapush asks of a file system, and judges what happened.

A process of its own, since a dead file server may block it beyond any signal: `python -m
mapush.doctor.trials DIRECTORY CHECKPOINT_BYTES NEEDED_BYTES` prints findings as JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

from mapush.doctor.finding import LOSS, NOTE, OK, WARNING, Finding, losses
from mapush.files import free_bytes, fsync_directory, write_durably
from mapush.runs.lease import STALE_AFTER

SECTION = "storage"
_SLOW = 2.0  # seconds for a checkpoint, from which on saving shows
_CHECKPOINTS = 8
_TRIED_BYTES = 200_000_000  # at most, to see whether a quota lets them
_TRIED_SECONDS = 20.0
_ELSEWHERE = "another directory with --root"


@dataclasses.dataclass(frozen=True)
class Calls:
    """The system calls, so that a broken storage can be put in instead."""

    mkdir: Callable[[Path], None] = os.mkdir
    link: Callable[[Path, Path], None] = os.link
    rename: Callable[[Path, Path], None] = os.rename
    utime: Callable[[Path], None] = os.utime
    write: Callable[[int, bytes], int] = os.write


def try_all(
    directory: Path, checkpoint_bytes: int, needed: int, calls: Calls = Calls()
) -> Iterator[Finding]:
    """Try everything, in a hidden directory that is gone afterwards.

    Args:
        directory: Where to try it.
        checkpoint_bytes: The size of one checkpoint.
        needed: Bytes that the runs need at once, at the most.
        calls: The system calls.
    """
    trial = directory / f".mapush-doctor-{secrets.token_hex(4)}"
    try:
        trial.mkdir()
    except OSError as error:
        what = f"{directory}: cannot be written ({os.strerror(error.errno or 0)})"
        fix = f"change its permissions, or {_ELSEWHERE}"
        yield Finding(SECTION, "root", LOSS, what, "a run cannot begin", fix)
        return
    try:
        for name, attempt in (
            ("exclusive mkdir", lambda: _directories(trial, calls)),
            ("exclusive hard links", lambda: _links(trial, calls)),
            ("modification times", lambda: _heartbeat(trial, calls)),
            ("durable writes", lambda: _checkpoints(trial, checkpoint_bytes, calls)),
            ("space", lambda: _space(directory, needed)),
            ("quota", lambda: _quota(trial, needed, calls)),
        ):
            try:
                finding = attempt()
            except OSError as error:
                reason = os.strerror(error.errno or 0)
                cost = "a run relies on it"
                finding = Finding(SECTION, name, LOSS, reason, cost, _ELSEWHERE)
            yield finding
            if name == "space" and losses([finding]):
                return  # filling up what is left would only hurt others
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _directories(trial: Path, calls: Calls) -> Finding:
    """Exclusive mkdir, by which a run gets its name."""
    cost = "two runs may get the same results directory"
    return _exclusive("exclusive mkdir", cost, lambda: calls.mkdir(trial / "directory"))


def _links(trial: Path, calls: Calls) -> Finding:
    """Exclusive hard links, by which a process becomes the owner of a run."""
    name, own = "exclusive hard links", trial / "own"
    own.touch()
    cost = "two processes may train the same run at once"
    try:
        return _exclusive(name, cost, lambda: calls.link(own, trial / "link"))
    except OSError as error:
        what = f"none here ({os.strerror(error.errno or 0)}); exclusive files stand in"
        return Finding(SECTION, name, NOTE, what)


def _exclusive(name: str, cost: str, make: Callable[[], None]) -> Finding:
    """Make the same thing twice: of one machine the kernel sees to it that one comes first."""
    make()
    try:
        make()
    except FileExistsError:
        return Finding(SECTION, name, OK, "what is there is not made again")
    what = "what is there can be made again, without an error"
    return Finding(SECTION, name, LOSS, what, cost, _ELSEWHERE)


def _heartbeat(trial: Path, calls: Calls) -> Finding:
    """Give a heartbeat as the owner of a run does, and compare it with a file made just then."""
    beat, other, old = trial / "beat", trial / "other", time.time() - 3600.0
    beat.touch()
    os.utime(beat, (old, old))
    calls.utime(beat)
    other.touch()
    apart = abs(beat.stat().st_mtime - other.stat().st_mtime)
    name, what = "modification times", f"a file touched just now shows {apart:,.0f} s off"
    if apart > STALE_AFTER / 2:
        cost = "a living owner looks dead, and another process may take its run"
        return Finding(SECTION, name, LOSS, what, cost, _ELSEWHERE)
    return Finding(SECTION, name, OK, what)


def _checkpoints(trial: Path, size: int, calls: Calls) -> Finding:
    """Write checkpoints durably, as training does."""
    data, slowest = secrets.token_bytes(size), 0.0
    for number in range(_CHECKPOINTS):
        begun = time.monotonic()
        hidden = trial / f".c{number}"
        hidden.mkdir()
        write_durably(hidden / "module.pt", data)
        fsync_directory(hidden)
        calls.rename(hidden, trial / f"c{number}")
        fsync_directory(trial)
        slowest = max(slowest, time.monotonic() - begun)
    what = f"a checkpoint of {size / 1e6:.1f} MB takes {slowest:.3f} s at worst"
    if slowest <= _SLOW:
        return Finding(SECTION, "durable writes", OK, what, seconds=slowest)
    cost, fix = "signals need that long to a durable checkpoint", "faster storage, with --root"
    return Finding(SECTION, "durable writes", WARNING, what, cost, fix, slowest)


def _space(directory: Path, needed: int) -> Finding:
    """Compare what is free with what is needed."""
    free = free_bytes(directory)
    what = f"{directory}: {_shown(free)} free, {_shown(needed)} needed at a time"
    fix = f"free some space, keep less with --keep, or {_ELSEWHERE}"
    if free < needed:
        return Finding(SECTION, "space", LOSS, what, "the run stops when the disk is full", fix)
    if free < 2 * needed:
        return Finding(SECTION, "space", NOTE, what, "others who write there can fill it", fix)
    return Finding(SECTION, "space", OK, what)


def _quota(trial: Path, needed: int, calls: Calls) -> Finding:
    """Write what is needed, since only that shows a quota."""
    path, size, written = trial / "fill", min(needed, _TRIED_BYTES), 0
    block, begun = secrets.token_bytes(1 << 20), time.monotonic()
    try:
        with path.open("xb", buffering=0) as file:
            while written < size and time.monotonic() - begun < _TRIED_SECONDS:
                written += calls.write(file.fileno(), block[: size - written])
            os.fsync(file.fileno())
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"{os.strerror(error.errno or 0)} after {_shown(written)} of {_shown(needed)}"
        fix = "free some space or ask for more quota" if full else "check the storage"
        return Finding(SECTION, "quota", LOSS, what, "the run stops when it cannot write", fix)
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    speed = written / 1e6 / max(time.monotonic() - begun, 1e-6)
    what = f"{_shown(written)} of {_shown(needed)} written at a go, {speed:,.0f} MB/s"
    if written < size:
        cost = "saving may hold training up"
        return Finding(SECTION, "quota", WARNING, what, cost, "faster storage, with --root")
    return Finding(SECTION, "quota", OK if written == needed else NOTE, what)


def _shown(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


if __name__ == "__main__":
    for each in try_all(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])):
        sys.stdout.write(json.dumps(each) + "\n")
        sys.stdout.flush()
