"""What a job's log and checkpoints tell of how far it has come."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from mapush.checkpoint.store import CheckpointStore
from mapush.files import storage_errors
from mapush.job.requeue import Verdict
from mapush.results.directory import find_by_job
from mapush.results.record import COMPLETE

_TAIL_BYTES = 8192


def newest_step(root: Path, job_id: str) -> int:
    """Environment steps of the newest checkpoint of a job's run; 0 without one."""
    run = find_by_job(root, job_id)
    entries = CheckpointStore(run.checkpoints).entries() if run else []
    return max((entry.step for entry in entries), default=0)


def is_complete(root: Path, job_id: str) -> bool:
    """Whether a job's run has reached its end and lies in its results directory."""
    run = find_by_job(root, job_id)
    return run is not None and run.read().status == COMPLETE


def log_bytes(output: Path) -> int:
    """How much a job's log holds now."""
    with storage_errors(output):
        return output.stat().st_size if output.exists() else 0


def last_words(output: Path, begin: int) -> str:
    """The line by which a trainer says why it ended, from `begin` bytes on: `mapush: ...`.

    A trainer that died of something else has its last line quoted; a silent one has none.
    """
    if not output.exists():
        return ""
    with storage_errors(output), output.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("mapush: ")]
    return (said or lines or [""])[-1].replace("mapush: ", "", 1)


def note(output: Path, start: int, verdict: Verdict) -> None:
    """Write into a job's log what the end of its trainer meant.

    Raises:
        StorageError: If it cannot be written.
    """
    stamp = datetime.now().strftime("%m/%d/%y %H:%M:%S")
    line = f"[{stamp}] job: start {start}: {verdict.reason}: {verdict.action.value}\n"
    with storage_errors(output), output.open("a", encoding="utf-8") as file:
        file.write(line)
