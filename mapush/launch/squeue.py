"""All jobs that SLURM has queued or running, by one question however many they are."""

from __future__ import annotations

import calendar
import time
from datetime import datetime
from typing import Dict, NamedTuple, Optional

from mapush.launch.node import slurm

_FORMAT = "%i|%T|%S|%r"
_PENDING = "PENDING"


class Entry(NamedTuple):
    """A job in the queue."""

    state: str
    """Such as PENDING or RUNNING."""
    reason: str
    """Why it is pending; empty without one."""
    start: Optional[float]
    """When it started or is to start, in seconds since the epoch; None where unknown."""

    @property
    def is_pending(self) -> bool:
        """Whether it waits, for its first start or the next one."""
        return self.state == _PENDING

    def text(self) -> str:
        """The state for people, in half a line."""
        if not self.is_pending:
            return self.state.lower()
        why = [self.reason] if self.reason else []
        if self.start is not None:
            why.append(f"to start about {datetime.fromtimestamp(self.start):%m-%d %H:%M}")
        return f"queued ({', '.join(why)})" if why else "queued"


def in_queue(seconds: float = slurm.SECONDS) -> Dict[str, Entry]:
    """This user's jobs by SLURM's id, `ID` or `ID_INDEX`; what has ended is not among them.

    Args:
        seconds: How long to wait for an answer.

    Raises:
        SlurmError: SLURM does not answer.
    """
    answer = slurm.call(
        *("squeue", "--me", "--noheader", "--array", f"--format={_FORMAT}"), seconds=seconds
    )
    found: Dict[str, Entry] = {}
    for line in answer.splitlines():
        fields = line.strip().split("|")
        # A site's wrapper may print other lines besides.
        if len(fields) == _FORMAT.count("|") + 1:
            slurm_id, state, start, reason = fields
            found[slurm_id] = Entry(state, "" if reason == "None" else reason, _moment(start))
    return found


def _moment(text: str) -> Optional[float]:
    """Seconds since the epoch of a time in UTC, in which `slurm.call` asks; None for `N/A`."""
    try:
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None
