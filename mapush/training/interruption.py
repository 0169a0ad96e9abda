"""Signals that stop a trainer, and what each interruption of a run costs.

Without torch: a trainer enters the flag before it imports anything that takes seconds, since a
signal that comes before that kills it.

An interruption is written into run.yaml first and into log.txt then, and run.yaml says whether the
line is there, so that the next process can write one that a kill has kept back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence, Tuple, Type

if TYPE_CHECKING:
    from mapush.runs.directory import RunDirectory
    from mapush.runs.owner import Owner
    from mapush.runs.record import Interruption, RunRecord

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
KILLED = "killed"
FAILED = "failed"


class Stopped(Exception):
    """Leaves an evaluation that has been asked to stop; what it has found is discarded."""


class SignalFlag:
    """While entered, the signals that mean "stop soon" only set a flag.

    Must be entered in the main thread, which Python delivers signals to.

    Attributes:
        name: The first signal's; None while there was none.
        moment: When it came in, in seconds since the epoch.
    """

    def __init__(self) -> None:
        self.name: Optional[str] = None
        self.moment = 0.0
        self._previous: Dict[signal.Signals, Any] = {}

    def __enter__(self) -> SignalFlag:
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def is_set(self) -> bool:
        """Whether a signal has come in."""
        return self.name is not None

    def _note(self, number: int, frame: Optional[FrameType]) -> None:
        if self.name is None:
            self.moment = time.time()
            self.name = signal.Signals(number).name


def interruption(
    owner: Owner, name: str, moment: float, step: int, steps_lost: int, seconds_lost: float
) -> Interruption:
    """An interruption, not in log.txt yet.

    Args:
        owner: The process.
        name: What stopped it.
        moment: When, in seconds since the epoch.
        step: Environment steps that are durable.
        steps_lost: Environment steps done after these.
        seconds_lost: The time those took.
    """
    from mapush.runs.record import Interruption

    return Interruption(
        time=datetime.fromtimestamp(moment).astimezone().isoformat(timespec="milliseconds"),
        signal=name,
        step=step,
        steps_lost=steps_lost,
        seconds_lost=round(seconds_lost, 3),
        host=owner.node,
        restart=owner.restart,
        in_log=False,
    )


def silent_end(
    run: RunDirectory,
    found: RunRecord,
    step: int,
    heartbeat: Optional[float] = None,
    name: str = KILLED,
) -> Interruption:
    """The interruption of the process in a record, as far as its files tell.

    Its last entry in metrics.jsonl tells how far it had come; the rollout it was in is not known.

    Args:
        run: The run; later steps than `step` have not been dropped from its metrics.
        found: Its record.
        step: Environment steps of the checkpoint that training resumes from.
        heartbeat: The process's last one, in seconds since the epoch, if it is known.
        name: What ended it.
    """
    from mapush.checkpoint.names import directory_name
    from mapush.runs.metrics import last_step

    lived = [heartbeat or 0.0, _changed(run.metrics)]
    moment = max(lived) if any(lived) else time.time()
    steps, seconds = 0, 0.0
    # One that was killed before it trained has lost nothing, whatever is there of those before.
    if not any(note.is_pending for note in found.interruptions):
        steps = max(last_step(run.metrics) - step, 0)
        saved = _changed(run.checkpoints / directory_name(step))
        seconds = max(moment - max(saved, _trained_since(found)), 0.0)
    return interruption(found.owner, name, moment, step, steps, seconds)


def ended_silently(found: RunRecord) -> bool:
    """Whether the last process could not write down its interruption."""
    if found.status == "cancelled":  # written by whoever ended the job, whatever came before
        return not any(note.is_pending for note in found.interruptions)
    return found.status == "running"


def trained_again(notes: Sequence[Interruption], now: float) -> Tuple[Interruption, ...]:
    """The interruptions once a process trains again, `now` in seconds since the epoch."""
    return tuple(
        # Clocks of two nodes may differ by more than a restart takes.
        dataclasses.replace(note, seconds_away=round(max(now - _moment(note.time, now), 0.0), 3))
        if note.is_pending
        else note
        for note in notes
    )


def all_in_log(notes: Sequence[Interruption]) -> Tuple[Interruption, ...]:
    """The interruptions once their lines are written."""
    return tuple(dataclasses.replace(note, in_log=True) for note in notes)


def interrupted_line(note: Interruption) -> str:
    """What log.txt says of an interruption."""
    return _plain(
        f"interrupted ({note.signal}): {note.step:,} steps done, {note.steps_lost:,} steps lost, "
        f"{note.seconds_lost:.3f} s lost, node {note.host}, restart {note.restart}, at {note.time}"
    )


def resumed_line(owner: Owner, step: int, away: Optional[float]) -> str:
    """What log.txt says when a run trains again, `away` seconds after it was interrupted."""
    parts = [f"{step:,} steps done", f"node {owner.node}", f"restart {owner.restart}"]
    if owner.slurm_job_id:
        parts.append(f"SLURM job {owner.slurm_job_id}")
    if away is not None:
        parts.append(f"{away:.3f} s away")
    return _plain("resumed: " + ", ".join(parts))


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
        return otherwise  # a record that somebody has edited by hand


def _changed(path: Path) -> float:
    """When a file was last changed, in seconds since the epoch; 0 if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def _plain(text: str) -> str:
    """On one line, whatever a record holds."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
