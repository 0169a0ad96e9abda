"""The starts and ends of one job's trainers, a line each, through all requeues.

The line of a start is written by `job/batch.sh` on a cluster and by `mapush.job.host` on one
machine. A start without an end was killed together with what watched it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, List, Optional

from mapush.files import storage_error, storage_errors
from mapush.job.requeue import Attempt

FILE_NAME = "attempts.jsonl"


@dataclasses.dataclass(frozen=True)
class Ledger:
    """What is known of a job's attempts since it was last submitted."""

    starts: int
    """How often a trainer was started, over all submissions."""
    ended: List[Attempt]
    log_bytes: int
    """Size of the job's log when the last trainer was started."""
    node: str
    """Where that was; empty if no trainer was."""


def read(path: Path) -> Ledger:
    """Read the ledger; lines that a kill or a full disk has cut off are passed over.

    Raises:
        StorageError: If the storage does not tell.
    """
    starts, ended, log_bytes, node = 0, [], 0, ""
    for line in _lines(path):
        if line.get("event") == "submit":
            ended = []
        elif line.get("event") == "start":
            starts += 1
            log_bytes, node = _integer(line, "log_bytes"), str(line.get("node", ""))[:100]
        elif line.get("event") == "end":
            ended.append(Attempt(_integer(line, "code"), _integer(line, "step")))
    return Ledger(starts, ended, log_bytes, node)


def append_submission(path: Path) -> None:
    """Begin to count anew: the job is sent off, for the first time or again."""
    _append(path, {"event": "submit"})


def append_start(path: Path, node: str, log_bytes: int) -> None:
    """A trainer is about to be started."""
    _append(path, {"event": "start", "node": node, "log_bytes": log_bytes})


def append_end(path: Path, attempt: Attempt) -> None:
    """A trainer has ended.

    Raises:
        StorageError: If it cannot be written down.
    """
    _append(path, {"event": "end", "code": attempt.exit_code, "step": attempt.step})


def _append(path: Path, line: Dict[str, Any]) -> None:
    with storage_errors(path), path.open("ab") as file:
        # The line before may have been cut off by a full disk.
        file.write(f"\n{json.dumps(line)}\n".encode())


def _lines(path: Path) -> List[Dict[str, Any]]:
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, path) from error
    found = []
    for line in text.splitlines():
        parsed = _parsed(line)
        if isinstance(parsed, dict):
            found.append(parsed)
    return found


def _parsed(line: str) -> Optional[Any]:  # noqa: ANN401
    try:
        return json.loads(line) if line.strip() else None
    except (ValueError, RecursionError):
        return None


def _integer(line: Dict[str, Any], name: str) -> int:
    value = line.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
