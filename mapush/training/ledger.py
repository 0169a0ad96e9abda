"""What each interruption of a run cost: for run.yaml, and as a line each for log.txt.

An interruption is in run.yaml before its line is in the log, so a process that goes on can tell
which lines a kill has kept back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from mapush.checkpoint.names import directory_name
from mapush.runs.directory import RunDirectory
from mapush.runs.owner import Owner
from mapush.runs.record import Interruption, RunRecord

KILLED = "killed"
FAILED = "failed"

_GOING_ON = "going on: "
_STEPS = re.compile(rb"^ +steps: (\d+)$", re.MULTILINE)
_TAIL_BYTES = 65536


def interruption(
    owner: Owner, signal: str, moment: float, step: int, steps_lost: int, seconds_lost: float
) -> Interruption:
    """An interruption of a process that could still speak.

    Args:
        owner: That process.
        signal: What stopped it.
        moment: When, in seconds since the epoch.
        step: Environment steps that are durable.
        steps_lost: Environment steps done after these.
        seconds_lost: The time those took.
    """
    return Interruption(
        time=datetime.fromtimestamp(moment).astimezone().isoformat(timespec="milliseconds"),
        signal=signal,
        step=step,
        steps_lost=steps_lost,
        seconds_lost=round(seconds_lost, 3),
        host=owner.node,
        restart=owner.restart,
    )


def unspoken(
    run: RunDirectory,
    found: RunRecord,
    step: int,
    heartbeat: Optional[float] = None,
    signal: str = KILLED,
) -> Interruption:
    """The interruption of the process in a record, as far as its files tell.

    Its log's last entry tells how far it had come; the rollout it was in is not known.

    Args:
        run: The run.
        found: Its record.
        step: Environment steps of the checkpoint that training goes on from.
        heartbeat: The process's last one, in seconds since the epoch, if it is known.
        signal: What ended it.
    """
    lived = [heartbeat or 0.0, _changed(run.log)]
    moment = max(lived) if any(lived) else time.time()
    steps, seconds = 0, 0.0
    # One that was killed before it trained has lost nothing, whatever the log says of those before.
    if not any(note.is_pending for note in found.interruptions):
        steps = max(_last_logged_step(run.log) - step, 0)
        saved = _changed(run.checkpoints / directory_name(step))
        seconds = max(moment - max(saved, _trained_since(found)), 0.0)
    return interruption(found.owner, signal, moment, step, steps, seconds)


def trained_again(notes: Sequence[Interruption], now: float) -> Tuple[Interruption, ...]:
    """The interruptions once a process trains again, `now` in seconds since the epoch."""
    return tuple(
        # Clocks of two nodes may differ by more than a restart takes.
        dataclasses.replace(note, seconds_away=round(max(now - _moment(note.time, now), 0.0), 3))
        if note.is_pending
        else note
        for note in notes
    )


def interrupted_line(note: Interruption) -> str:
    """What log.txt says of an interruption."""
    return _plain(
        f"interrupted ({note.signal}): {note.step:,} steps done, {note.steps_lost:,} steps lost, "
        f"{note.seconds_lost:.3f} s lost, node {note.host}, restart {note.restart}, at {note.time}"
    )


def going_on_line(owner: Owner, step: int, away: Optional[float]) -> str:
    """What log.txt says when a run trains again, `away` seconds after it was interrupted."""
    parts = [f"{step:,} steps done", f"node {owner.node}", f"restart {owner.restart}"]
    if owner.slurm_job_id:
        parts.append(f"SLURM job {owner.slurm_job_id}")
    if away is not None:
        parts.append(f"{away:.3f} s away")
    return _plain(_GOING_ON + ", ".join(parts))


def unwritten(log: Path, notes: Sequence[Interruption]) -> List[str]:
    """Lines of interruptions that no process has come to write."""
    written = _tail(log).decode("utf-8", errors="replace")
    lines = [interrupted_line(note) for note in notes if note.is_pending]
    # Training has not gone on since, so what is written of them is at the log's end.
    return [line for line in lines if f" {line}\n" not in written]


def _trained_since(found: RunRecord) -> float:
    """When the process of a record began to train, in seconds since the epoch."""
    if not found.interruptions:
        return _moment(found.started, 0.0)
    last = found.interruptions[-1]
    return _moment(last.time, 0.0) + (last.seconds_away or 0.0)


def _moment(text: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return otherwise  # a record that somebody has mended by hand


def _changed(path: Path) -> float:
    """When a file was last changed, in seconds since the epoch; 0 if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def _last_logged_step(log: Path) -> int:
    """Environment steps that the log's last process has logged; 0 if it has logged none."""
    found = _STEPS.findall(_tail(log).rpartition(f" {_GOING_ON}".encode())[2])
    return int(found[-1]) if found else 0


def _tail(log: Path) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - _TAIL_BYTES, 0))
            return file.read()
    except FileNotFoundError:
        return b""


def _plain(text: str) -> str:
    """On one line, whatever a record holds."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
