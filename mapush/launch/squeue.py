"""What SLURM has in its queue, by one question however many jobs there are."""

from __future__ import annotations

from typing import Dict, List

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


def find_by_script(folder: str) -> List[str]:
    """The ids of jobs, or of arrays, whose batch script lies in a folder.

    SLURM shows a job that has ended for some minutes.

    Raises:
        SlurmError: SLURM does not answer.
    """
    answer = slurm.call("squeue", "--me", "--noheader", "--states=all", "--format=%F|%o")
    lines = [line.strip().partition("|") for line in answer.splitlines()]
    begin = folder.rstrip("/") + "/"
    return [number for number, _, path in lines if path.startswith(begin) and number.isdigit()]
