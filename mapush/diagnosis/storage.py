"""Tries on the results file system what mapush relies on, and judges what happened."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
from pathlib import Path
from typing import Callable, List, Optional, TypeVar, Union

from mapush.diagnosis import operations
from mapush.diagnosis.filesystem import judge_mount, mount_of
from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, Finding, losses
from mapush.diagnosis.operations import Clock, Operations, Race
from mapush.diagnosis.processes import Died, Overdue, bounded
from mapush.diagnosis.question import Question
from mapush.diagnosis.space import TRIED_BYTES, TRIED_SECONDS, judge_filling, judge_space
from mapush.job.request import LOCAL
from mapush.results.owner import RENEW_EVERY, STALE_AFTER

SECTION = "storage"
_SECONDS = 60.0  # for one trial; a dead file server never answers
_SLOW = 2.0  # seconds for a checkpoint, from which on saving shows
_CLOCK = 5.0  # seconds by which two clocks may differ without a word
_HOLDS = ("log", "results")

_Result = TypeVar("_Result")
Trouble = Union[OSError, Overdue, Died]


@dataclasses.dataclass(frozen=True)
class StorageResult:
    """What was found, and what other checks need of it."""

    findings: List[Finding]
    slow: float
    """Seconds of the slowest checkpoint; 0 if none could be written."""


def examine_storage(
    question: Question,
    calls: Optional[Operations] = None,
    is_on_node: Optional[bool] = None,
) -> StorageResult:
    """Try everything at the root, and also where log/ or results/ lie on other file systems.

    Args:
        question: The job.
        calls: The system calls; the real ones unless given.
        is_on_node: Whether a compute node was seen to have the root; None if not tried.
    """
    calls = calls or Operations()
    root = question.place
    found: List[Finding] = []
    if root != question.root:
        found.append(_finding("root", OK, f"{question.root}: is not there yet and will be made"))
    try:
        places = bounded(_SECONDS, lambda: _places(root))
    except (OSError, Overdue, Died) as error:
        return StorageResult([*found, _unusable(root, error)], 0.0)
    if len(places) > 1:
        listed = ", ".join(map(str, places))
        cost = "at its end a run is copied instead of renamed: slower, and twice the space"
        found.append(_finding("file systems", NOTE, f"several: {listed}", cost))
    slow = 0.0
    for place in places:
        found += judge_mount(mount_of(place), place, question, is_on_node)
        tried = _try_place(place, question, calls)
        found += tried.findings
        slow = max(slow, tried.slow)
    return StorageResult(found, slow)


def _places(root: Path) -> List[Path]:
    """The root, and what in it lies on a file system of its own."""
    places = {root.stat().st_dev: root}
    for name in _HOLDS:
        with contextlib.suppress(FileNotFoundError):
            places.setdefault((root / name).stat().st_dev, root / name)
    return list(places.values())


def _try_place(place: Path, question: Question, calls: Operations) -> StorageResult:
    trial = place / f".mapush-doctor-{secrets.token_hex(4)}"
    try:
        bounded(_SECONDS, trial.mkdir)
    except (OSError, Overdue, Died) as error:
        return StorageResult([_unusable(place, error)], 0.0)
    try:
        return _try_all(place, trial, question, calls)
    finally:
        with contextlib.suppress(OSError, Overdue, Died):
            bounded(_SECONDS, lambda: shutil.rmtree(trial, ignore_errors=True))


def _try_all(place: Path, trial: Path, question: Question, calls: Operations) -> StorageResult:
    mkdir = _attempt(lambda: operations.race_directories(trial / "mkdir", calls))
    found = [_race("exclusive mkdir", mkdir, "two runs may get the same results directory")]
    found.append(_owner_files(trial, calls))
    found.append(_renames(_attempt(lambda: operations.watch_renames(trial / "rename", calls))))
    found.append(_locks(_attempt(lambda: operations.lock_holds(trial / "lock", calls)), question))
    found += _clock(_attempt(lambda: operations.read_clock(trial / "clock", calls)))
    size = question.checkpoint_bytes
    slow = _attempt(lambda: operations.time_checkpoints(trial / "sync", size))
    found.append(_sync(slow, size))
    found += _space(place, trial, question)
    return StorageResult(found, slow if isinstance(slow, float) else 0.0)


def _attempt(work: Callable[[], _Result]) -> Union[_Result, Trouble]:
    try:
        return bounded(_SECONDS, work)
    except (OSError, Overdue, Died) as error:
        return error


def _race(name: str, race: Union[Race, OSError, Overdue, Died], cost: str) -> Finding:
    if not isinstance(race, Race):
        return _failed(name, race)
    tried = f"{operations.PROCESSES} processes, {race.rounds} times"
    if race.several or race.nobody:
        what = f"{tried}: {race.several} times several made the same, {race.nobody} times nobody"
        return _finding(name, LOSS, what, cost, "another directory with --root")
    return _finding(name, OK, f"{tried}: one of them each time")


def _owner_files(trial: Path, calls: Operations) -> Finding:
    cost = "two processes may train the same run at once"
    race = _attempt(lambda: operations.race_links(trial / "link", calls))
    if isinstance(race, Race):
        return _race("exclusive hard links", race, cost)
    finding = _race(
        "exclusive files", _attempt(lambda: operations.race_files(trial / "create")), cost
    )
    if finding.level != OK:
        return finding
    what = f"none here ({_reason(race)}); exclusive files stand in: {finding.what}"
    return _finding("hard links", NOTE, what)


def _renames(seen: Union[List[str], OSError, Overdue, Died]) -> Finding:
    name = "atomic rename"
    if not isinstance(seen, list):
        return _failed(name, seen)
    if seen:
        cost = "a kill in the wrong moment leaves a checkpoint or a record that is not whole"
        what = f"a reader saw {', '.join(seen)}"
        return _finding(name, LOSS, what, cost, "another directory with --root")
    return _finding(name, OK, "directories and files appear whole")


def _locks(held: Union[bool, OSError, Overdue, Died], question: Question) -> Finding:
    name = "file locks"
    if held is True:
        return _finding(name, OK, "a lock of one process is refused to another")
    what = "two processes hold the same lock" if held is False else f"none ({_reason(held)})"
    if question.cluster == LOCAL:
        cost = "a second submit of a running job is not noticed; the run itself has its lease"
        return _finding(name, WARNING, what, cost, "mount it with locks, or another --root")
    return _finding(name, NOTE, f"{what}; on a cluster nothing relies on them")


def _clock(clock: Union[Clock, OSError, Overdue, Died]) -> List[Finding]:
    name = "modification times"
    if not isinstance(clock, Clock):
        return [_failed(name, clock)]
    if clock.heartbeat > STALE_AFTER / 2:
        what = f"a file that was touched now shows a time {clock.heartbeat:,.0f} s off"
        cost = "a living owner looks dead, and a second process may take its run"
        return [_finding(name, LOSS, what, cost, "another directory with --root")]
    found = []
    if clock.heartbeat > RENEW_EVERY:
        what = f"a file that was touched now shows a time {clock.heartbeat:,.0f} s off"
        cost = f"of the {STALE_AFTER:.0f} s after which an owner counts as dead so many are gone"
        found.append(_finding(name, WARNING, what, cost, "have the file servers' clocks set"))
    if abs(clock.offset) > _CLOCK:
        sign = "ahead of" if clock.offset > 0 else "behind"
        what = f"the file system's clock is {abs(clock.offset):,.0f} s {sign} this machine's"
        found.append(_finding(name, NOTE, f"{what}; leases go by the file system's alone"))
    return found or [_finding(name, OK, f"{abs(clock.offset):.2f} s off this machine's clock")]


def _sync(slow: Union[float, OSError, Overdue, Died], size: int) -> Finding:
    name = "durable writes"
    if isinstance(slow, (OSError, Overdue, Died)):
        return _failed(name, slow)
    what = f"a checkpoint of {size / 1e6:.1f} MB takes {slow:.3f} s at the worst"
    if slow > _SLOW:
        cost = "signals need longer than a quarter of a second to a durable checkpoint"
        return _finding(name, WARNING, what, cost, "faster storage, with --root")
    return _finding(name, OK, what)


def _space(place: Path, trial: Path, question: Question) -> List[Finding]:
    found = _attempt(lambda: judge_space(place, question))
    if not isinstance(found, list):
        return [_failed("space", found)]
    if losses(found):
        return found  # filling up what is left would only hurt others
    needed = question.space.needed * question.runs
    tried = min(needed, TRIED_BYTES)
    filling = _attempt(lambda: operations.fill(trial / "fill", tried, TRIED_SECONDS))
    if not isinstance(filling, operations.Filling):
        return [*found, _failed("quota", filling)]
    return [*found, judge_filling(place, filling, needed)]


def _failed(name: str, trouble: Trouble) -> Finding:
    cost = "what a run relies on does not work there"
    return _finding(name, LOSS, _reason(trouble), cost, "another directory with --root")


def _unusable(place: Path, trouble: Trouble) -> Finding:
    what = f"{place}: cannot be written ({_reason(trouble)})"
    mend = "change its permissions, or another directory with --root"
    return _finding("root", LOSS, what, "a run cannot begin", mend)


def _reason(trouble: Union[Trouble, bool]) -> str:
    if isinstance(trouble, OSError):
        return os.strerror(trouble.errno) if trouble.errno else str(trouble)
    return str(trouble)


def _finding(name: str, level: str, what: str, cost: str = "", mend: str = "") -> Finding:
    return Finding(SECTION, name, level, what, cost, mend)
