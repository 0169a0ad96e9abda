"""What SLURM has in its queue, by one question however many jobs there are."""

from __future__ import annotations

from datetime import datetime
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

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
            found[slurm_id] = Entry(
                state, "" if reason == "None" else reason, slurm.moment_of(start)
            )
    return found


def living(slurm_ids: Iterable[str]) -> List[str]:
    """Those jobs, given as `ID` or `ID_INDEX`, that are queued or running.

    Raises:
        SlurmError: SLURM does not answer.
    """
    wanted = list(slurm_ids)
    if not wanted:
        return []
    # Without --jobs, which is an error if SLURM has forgotten one of them.
    there = set(slurm.call("squeue", "--me", "--noheader", "--array", "--format=%i").split())
    return [each for each in wanted if each in there]


def find_by_script(folder: str, known: Sequence[str] = ()) -> Optional[str]:
    """The id of a job, or of an array, whose batch script lies in a folder; None if there is none.

    Args:
        folder: The folder.
        known: Ids that are not meant: SLURM shows a job that has ended for some minutes.

    Raises:
        SlurmError: SLURM does not answer.
    """
    answer = slurm.call("squeue", "--me", "--noheader", "--states=all", "--format=%F|%o")
    for line in answer.splitlines():
        number, _, script = line.strip().partition("|")
        is_there = script.startswith(folder.rstrip("/") + "/")
        if is_there and number.isdigit() and number not in known:
            return number
    return None
