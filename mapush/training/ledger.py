"""What each interruption of a run cost, for run.yaml."""

from __future__ import annotations

import os
import re
import socket
from datetime import datetime
from pathlib import Path

from mapush.results.directory import RunDirectory
from mapush.results.record import Interruption, RunRecord

_STEPS = re.compile(rb"^ +steps: (\d+)$", re.MULTILINE)
_TAIL_BYTES = 65536


def interruption(signal: str, step: int, steps_lost: int, seconds_lost: float) -> Interruption:
    """An interruption now, by a signal."""
    return Interruption(
        time=datetime.now().astimezone().isoformat(timespec="seconds"),
        signal=signal,
        step=step,
        steps_lost=steps_lost,
        seconds_lost=round(seconds_lost, 3),
        host=socket.gethostname(),
    )


def killed(run: RunDirectory, found: RunRecord, step: int) -> Interruption:
    """The interruption of a process that could not say anything, as far as its files tell.

    Its log's last entry tells how far it had come; the rollout it was in is not known.
    """
    steps, seconds, ended = 0, 0.0, datetime.now()
    if run.log.exists():
        ended = datetime.fromtimestamp(run.log.stat().st_mtime)
        steps = max(_last_logged_step(run.log) - step, 0)
        saved = run.checkpoints / f"rl_model_{step}_steps"
        begun = saved.stat().st_mtime if saved.exists() else ended.timestamp()
        seconds = max(ended.timestamp() - begun, 0.0)
    return Interruption(
        time=ended.astimezone().isoformat(timespec="seconds"),
        signal="killed",
        step=step,
        steps_lost=steps,
        seconds_lost=round(seconds, 3),
        host=found.owner.host,
    )


def _last_logged_step(log: Path) -> int:
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - _TAIL_BYTES, 0))
        found = _STEPS.findall(file.read())
    return int(found[-1]) if found else 0
