"""Asks SLURM how jobs stand, through its own commands."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional

from mapush.errors import MapushError

_SECONDS = 30.0
# The job is over, for better or worse, and will not run again by itself.
_OVER = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
)
_FIELD = re.compile(r"(\w+)=(\S*)")
_GONE = "Invalid job id"


@dataclass(frozen=True)
class JobState:
    """How SLURM says that a job stands."""

    name: str
    """Such as PENDING, RUNNING or COMPLETED; GONE if SLURM does not know it any more."""
    reason: str
    restarts: int
    nodes: str
    start: str
    """When it started, or is thought to start; `Unknown` if SLURM does not say."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended and will not be started again by SLURM."""
        return self.name in (*_OVER, "GONE")


def is_there() -> bool:
    """Whether jobs can be sent to SLURM from this machine."""
    return shutil.which("sbatch") is not None


def job_state(slurm_id: str) -> JobState:
    """Ask for one job.

    Raises:
        MapushError: If SLURM does not answer.
    """
    answer = ask(["scontrol", "show", "job", "-o", slurm_id], allow=_GONE)
    if answer is None:
        return JobState("GONE", "", 0, "", "Unknown")
    fields = dict(_FIELD.findall(answer.splitlines()[0] if answer else ""))
    restarts = fields.get("Restarts", "0")
    return JobState(
        name=fields.get("JobState", "UNKNOWN"),
        reason=fields.get("Reason", ""),
        restarts=int(restarts) if restarts.isdecimal() else 0,
        nodes=fields.get("NodeList", ""),
        start=fields.get("StartTime", "Unknown"),
    )


def living(slurm_ids: Iterable[str]) -> List[str]:
    """Those jobs, given as `ID` or `ID_INDEX`, that are queued or running.

    Raises:
        MapushError: If SLURM does not answer.
    """
    wanted = list(slurm_ids)
    if not wanted:
        return []
    # Without --jobs, which is an error if SLURM has forgotten one of them.
    answer = ask(["squeue", "--me", "--noheader", "--array", "--format=%i"]) or ""
    there = set(answer.split())
    return [each for each in wanted if each in there]


def ask(command: List[str], allow: Optional[str] = None) -> Optional[str]:
    """What one of SLURM's commands prints; None if it fails with the words that are allowed.

    Raises:
        MapushError: If it fails otherwise or does not answer.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        raise MapushError(f"{command[0]}: not found; is SLURM's bin directory in PATH?") from None
    except subprocess.TimeoutExpired:
        raise MapushError(f"{command[0]}: no answer in {_SECONDS:.0f} s; try again") from None
    if done.returncode:
        if allow is not None and allow in done.stderr:
            return None
        raise MapushError(f"{command[0]}: {first_line(done.stderr)}")
    return done.stdout


def first_line(text: str) -> str:
    """What one of SLURM's commands complains of, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cleaned = [re.sub(r"^\w+: (error: )?", "", line) for line in lines]
    return "; ".join(cleaned)[:500] or "it failed without a message"


def fields_of(text: str) -> Dict[str, str]:
    """`Name=value` pairs of what `scontrol show` prints."""
    return dict(_FIELD.findall(text))
