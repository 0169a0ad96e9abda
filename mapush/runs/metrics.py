"""metrics.jsonl: the machine's record of a training, one line per update and per evaluation.

A line is a JSON object: `kind` ("update" or "evaluation"), `step` (environment steps done),
`update` (updates done), `time` (seconds since the epoch) and groups of figures by name. Steps rise
from line to line: a resumed run writes what it does again in the place of what it dropped.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from mapush.files import storage_errors

FILE_NAME = "metrics.jsonl"
UPDATE = "update"
EVALUATION = "evaluation"

PROGRESS = "training: "
"""How a trainer's line of its progress begins, which whoever reads this file need not show."""

_TAIL_BYTES = 65_536  # hold many lines


def line(
    kind: str, step: int, update: int, time: float, groups: Mapping[str, Mapping[str, float]]
) -> bytes:
    """One entry.

    Args:
        kind: UPDATE or EVALUATION.
        step: Environment steps done.
        update: Updates done.
        time: Seconds since the epoch.
        groups: Figures by group ("train", "reward", "loss", ...) and name.
    """
    fields: Dict[str, Any] = {"kind": kind, "step": step, "update": update, "time": round(time, 3)}
    for group, figures in groups.items():
        # JSON has no number for what is not finite.
        fields[group] = {name: x if math.isfinite(x) else None for name, x in figures.items()}
    return (json.dumps(fields) + "\n").encode("ascii")


def entries(path: Path) -> Iterator[Dict[str, Any]]:
    """The entries in order; what a crash has damaged is passed over, and no file has none.

    Raises:
        StorageError: It cannot be read.
    """
    for _, found in _parsed(path):
        if found is not None:
            yield found


def newest(path: Path) -> Optional[Dict[str, Any]]:
    """The last entry of an update, from the file's end alone; None if there is none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
            data = file.read()
    except FileNotFoundError:
        return None
    for text in reversed(data.splitlines()):
        found = _parse(text)
        if found is not None and found["kind"] == UPDATE:
            return found
    return None


def last_step(path: Path) -> int:
    """Environment steps of the last update that is recorded; 0 if none is.

    Raises:
        StorageError: It cannot be read.
    """
    with storage_errors(path):
        found = newest(path)
    return 0 if found is None else found["step"]


def progress(entry: Mapping[str, Any], total: int) -> Tuple[str, str]:
    """What is said of an update to people: how far it is of `total` steps, and its figures."""
    speed, rate = (
        _number(entry, group, name)
        for group, name in (("speed", "steps_per_second"), ("train", "success_rate"))
    )
    figures = f"{speed:,.0f} steps/s  success {rate:.3f}"
    return f"{entry['step']:>13,} / {total:,} steps", figures


def drop_after(path: Path, step: int, is_evaluated: bool = True) -> None:
    """Cut off the entries after `step`, which a resumed run writes again, and half a line.

    Args:
        path: The file; it need not exist.
        step: Environment steps done.
        is_evaluated: Whether an evaluation of that very step stays.

    Raises:
        StorageError: The storage refuses.
    """
    keep = 0
    for end, found in _parsed(path):
        if found is not None and _is_later(found, step, is_evaluated):
            break
        keep = end
    with storage_errors(path):
        if path.exists() and path.stat().st_size > keep:
            with path.open("r+b") as file:
                file.truncate(keep)
                os.fsync(file.fileno())


def _is_later(found: Mapping[str, Any], step: int, is_evaluated: bool) -> bool:
    if found["step"] == step and found["kind"] == EVALUATION:
        return not is_evaluated
    return found["step"] > step


def _parsed(path: Path) -> Iterator[Tuple[int, Optional[Dict[str, Any]]]]:
    """Each whole line as the offset of its end and its entry, None where it is damaged."""
    with storage_errors(path):
        if not path.exists():
            return
        end = 0
        with path.open("rb") as file:
            for text in file:
                if not text.endswith(b"\n"):
                    return
                end += len(text)
                yield end, _parse(text)


def _parse(text: bytes) -> Optional[Dict[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_entry = isinstance(found, dict) and type(found.get("step")) is int and "kind" in found
    return found if is_entry else None


def _number(entry: Mapping[str, Any], group: str, name: str) -> float:
    found = entry.get(group)
    value = found.get(name) if isinstance(found, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else 0.0
