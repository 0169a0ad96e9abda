"""How far a trainer is, read from the end of its log.txt."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

_TAIL_BYTES = 65536
# A line is written whole, but what is read may end in the middle of it: hence the line's end.
_UPDATE = re.compile(r"^\[[^\]\n]*\] INFO Episode: (\d+)/(\d+)\n((?: +\w+: \S+\n)*)", re.MULTILINE)
_VALUE = re.compile(r"^ +(\w+): (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Progress:
    """What the last update in a log says; a figure that it does not hold is None."""

    update: int
    updates: int
    """To reach."""
    steps: Optional[float]
    steps_per_second: Optional[float]
    success_rate: Optional[float]

    def figures(self) -> str:
        """Speed and success rate for people, as far as they are known."""
        parts = []
        if self.steps_per_second is not None:
            parts.append(f"{self.steps_per_second:,.0f} steps/s")
        if self.success_rate is not None:
            parts.append(f"success {self.success_rate:.3f}")
        return "  ".join(parts)


def read_progress(log: Path) -> Optional[Progress]:
    """The last update in a log.txt; None while there is none.

    The run may move home between looking and reading, so a log that cannot be read says nothing.
    """
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return None
    return parse_progress(text)


def parse_progress(text: str) -> Optional[Progress]:
    """The last update in a piece of a log."""
    entries = list(_UPDATE.finditer(text))
    if not entries:
        return None
    last = entries[-1]
    values = dict(_VALUE.findall(last[3]))
    return Progress(
        update=int(last[1]),
        updates=int(last[2]),
        steps=_number(values.get("steps")),
        steps_per_second=_number(values.get("steps_per_second")),
        success_rate=_number(values.get("success_rate")),
    )


def _number(text: Optional[str]) -> Optional[float]:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
