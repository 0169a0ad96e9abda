"""What SLURM has in its queue, by one question however many jobs there are."""

from __future__ import annotations

from typing import Dict, Optional, Sequence

from mapush.launch.node import slurm

_FORMAT = "%i|%T|%S|%r"


def in_queue(seconds: float = slurm.SECONDS) -> Dict[str, slurm.Job]:
    """This user's jobs by SLURM's id, `ID` or `ID_INDEX`; what has ended is not among them.

    Args:
        seconds: How long to wait for an answer.

    Raises:
        SlurmError: SLURM does not answer.
    """
    answer = slurm.call(
        *("squeue", "--me", "--noheader", "--array", f"--format={_FORMAT}"), seconds=seconds
    )
    found: Dict[str, slurm.Job] = {}
    for line in answer.splitlines():
        fields = line.strip().split("|")
        # A site's wrapper may print other lines besides.
        if len(fields) == _FORMAT.count("|") + 1:
            slurm_id, state, start, reason = fields
            begin = slurm.moment_of(start)
            found[slurm_id] = slurm.Job(slurm_id, state, slurm.shown(reason), begin)
    return found


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
