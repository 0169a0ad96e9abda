"""What the interruptions of a run have cost, one line each and in all."""

from __future__ import annotations

from datetime import datetime
from typing import Optional, Sequence

from rich.console import Console

from mapush.runs.record import Interruption
from mapush.views import facts, tables

_HEADINGS = (
    "time",
    "signal",
    "checkpoint at",
    "steps lost",
    "seconds lost",
    "seconds away",
    "node",
    "restart",
)


def show_interruptions(out: Console, notes: Sequence[Interruption]) -> None:
    """Print the ledger of a run with its totals."""
    if not notes:
        out.print("\nnever interrupted")
        return
    out.print(f"\n{len(notes)} interruption{'s' if len(notes) > 1 else ''}")
    rows = [
        (
            facts.plain(each.time),
            facts.plain(each.signal),
            f"{each.step:,}",
            f"{each.steps_lost:,}",
            f"{each.seconds_lost:.1f}",
            "-" if each.seconds_away is None else f"{each.seconds_away:.1f}",
            facts.plain(each.host),
            "-" if each.restart is None else f"{each.restart}",
        )
        for each in notes
    ]
    steps = sum(each.steps_lost for each in notes)
    seconds = sum(each.seconds_lost for each in notes)
    away = f"{total_seconds_away(notes):.1f}"
    rows.append(("in all", "", "", f"{steps:,}", f"{seconds:.1f}", away, "", ""))
    tables.show_table(out, _HEADINGS, rows, right=(*_HEADINGS[2:6], "restart"))


def total_seconds_away(notes: Sequence[Interruption]) -> float:
    """Seconds that a run was away in all.

    One that was interrupted again before it trained is away once, not twice.
    """
    total, reached = 0.0, None
    for note in notes:
        if note.seconds_away is None:
            continue
        begin = _moment(note.time)
        if begin is None or reached is None:
            total += note.seconds_away
        else:
            total += max(begin + note.seconds_away - max(begin, reached), 0.0)
        if begin is not None:
            reached = max(reached or 0.0, begin + note.seconds_away)
    return total


def _moment(text: str) -> Optional[float]:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
