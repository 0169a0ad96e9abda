"""Whether everything that a run is resumed, evaluated and explained from is sound.

Nothing is changed: a damaged checkpoint is set aside by the process that next trains the run.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence

from rich.console import Console

from mapush.checkpoint import publish
from mapush.checkpoint.store import CheckpointEntry, load_entry, step_of
from mapush.errors import (
    EXIT_COMPLETE,
    EXIT_FAILURE,
    CheckpointError,
    MapushError,
    RequestError,
)
from mapush.evaluation import success_rates
from mapush.files import storage_errors
from mapush.runs import record
from mapush.runs.directory import open_run
from mapush.runs.pins import PINS
from mapush.runs.run import RunDirectory
from mapush.tasks import load_task
from mapush.views import facts, tables

GOOD = "good"
CHECKPOINTS = "checkpoints"


class Finding(NamedTuple):
    """What was found out about one thing."""

    what: str
    says: str
    is_damaged: bool = False


def verify_runs(root: Path, names: Sequence[str]) -> int:
    """Check runs and print a line about each thing in them.

    Returns:
        The exit code: 1 if anything is damaged.

    Raises:
        RequestError: A run is unknown.
        StorageError: A directory cannot be listed.
    """
    out = tables.screen()
    damaged = [verify_run(run, out) for run in [locate(root, name) for name in names]]
    return EXIT_FAILURE if any(damaged) else EXIT_COMPLETE


def verify_run(run: RunDirectory, out: Console) -> bool:
    """Check one run and print what is found; whether anything is damaged."""
    out.print(str(run.results))
    findings: List[Finding] = []
    for finding in _findings(run):
        findings.append(finding)
        mark = "DAMAGED: " if finding.is_damaged else ""
        out.print(f"  {finding.what:<28}  {mark}{finding.says}")
    count = sum(finding.is_damaged for finding in findings)
    out.print(f"  {f'{count} damaged' if count else 'all good'}")
    return count > 0


def damage(entry: CheckpointEntry) -> Optional[str]:
    """What is wrong with a checkpoint; None if it loads and is what its manifest and name say."""
    try:
        load_entry(entry)
    except CheckpointError as error:
        return str(error)
    return None


def locate(root: Path, text: str) -> RunDirectory:
    """The run that a user names, also where its run.yaml is missing or cannot be read.

    Raises:
        RequestError: There is no such run; the message lists those there are.
        StorageError: The storage does not tell.
    """
    try:
        return open_run(root, text)
    except RequestError:
        for place in (Path(text), root / "results" / text):
            with storage_errors(place):
                live = _live_directory_of(root, place) if place.is_dir() else None
                marks = (place / record.FILE_NAME, place / CHECKPOINTS)
                if live or (place.is_dir() and any(mark.exists() for mark in marks)):
                    return RunDirectory(root, live or place / ".none", place)
        raise


def _findings(run: RunDirectory) -> Iterator[Finding]:
    for place in (run.results, run.live):
        if place.is_dir():
            path = place / record.FILE_NAME
            yield _checked(os.path.relpath(path, run.results), record.read, path)
    entries = facts.entries_of(run)
    task = facts.part(run, "task")
    if entries or task.exists():
        yield _checked("task/config.py", load_task, task)
    figures = facts.part(run, success_rates.FILE_NAME)
    if figures.exists():
        yield _checked(success_rates.FILE_NAME, success_rates.read_success_rates, figures)
    for listed in entries:
        # The run may move home meanwhile.
        place = facts.part(run, CHECKPOINTS) / listed.path.name
        wrong = damage(CheckpointEntry(listed.step, place))
        if wrong is None:
            yield Finding(place.name, f"{GOOD}, {facts.human_bytes(facts.size_of(place))}")
        elif os.path.lexists(place):
            yield Finding(place.name, wrong, is_damaged=True)
        else:
            yield Finding(place.name, "is gone by now; the run is being trained, so look again")
    if not entries:
        yield Finding(CHECKPOINTS, "there is none")
    yield from _besides(facts.part(run, CHECKPOINTS))


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
        elif facts.ASIDE in path.name:
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
