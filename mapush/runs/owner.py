"""Which process owns a run, described so that another host can tell whether it still lives."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import socket
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from mapush.errors import RequestError
from mapush.files import read_fields

JOB_ID = "MAPUSH_JOB_ID"
RESTART_COUNT = "MAPUSH_RESTART_COUNT"
SLURM_ID = "MAPUSH_SLURM_ID"
RUN_LINK = "MAPUSH_RUN_LINK"
COMMIT = "MAPUSH_COMMIT"
# The SLURM job, by its SLURM_JOB_ID, that a launcher has set the names above for.
_JOB_OF = "MAPUSH_JOB_OF"

_ENDED = ("Z", "X")  # states of a process that does nothing any more
_CLOCKS_DIFFER = 60.0  # seconds that the clocks of a cluster may be apart


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process that trains, or wants to train, a run."""

    job_id: str
    """Given by a launcher, else SLURM's; empty outside a job."""
    restart: int
    """How often that job has been started before."""
    host: str
    """By the operating system's name: pids can be compared only where it is equal."""
    pid: int
    process_start: Optional[int]
    """Clock ticks from boot to the start of the process; None where /proc does not tell."""
    namespace: str
    """Boot and pid namespace: pids can be compared only where these are equal."""
    token: str
    """Random, so that two owners are never taken for each other."""
    since: str
    """ISO time with UTC offset."""
    slurm_job_id: str = ""
    """As `squeue` shows it, such as 4711 or, in an array, 4711_3; empty outside SLURM."""
    node: str = ""
    """What SLURM calls the machine, where the host's name may be another; never empty."""
    job_start: Optional[float] = dataclasses.field(default=None, compare=False)
    """When SLURM has started the job, in seconds since the epoch; known of this process alone, and
    only in a job that no launcher has given an id."""

    def __post_init__(self) -> None:
        if not self.node:
            object.__setattr__(self, "node", self.host)

    @classmethod
    def current(cls, job_id: Optional[str] = None, restart: Optional[int] = None) -> Owner:
        """This process; job and restart count come from the environment unless given.

        There the launcher's go before SLURM's, as `job_environment` has them.

        Raises:
            RequestError: If a restart count in the environment is no number.
        """
        host = socket.gethostname()
        given = job_environment()
        return cls(
            job_id=_job_id(given) if job_id is None else job_id,
            restart=_restart(given) if restart is None else restart,
            host=host,
            pid=os.getpid(),
            process_start=_process_start(os.getpid()),
            namespace=_namespace(),
            token=secrets.token_hex(8),
            since=datetime.now().astimezone().isoformat(timespec="seconds"),
            slurm_job_id=given.get(SLURM_ID) or os.environ.get("SLURM_JOB_ID", ""),
            node=os.environ.get("SLURMD_NODENAME") or host,
            job_start=_job_start(given),
        )

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Owner:
        """An owner as read from a file, which an earlier version may have written.

        Raises:
            ValueError: If a field is missing or of the wrong type.
        """
        fields = {**fields, "job_start": None}
        return read_fields(cls, fields)

    def to_mapping(self) -> Dict[str, Any]:
        """Plain values, for a file."""
        fields = dataclasses.asdict(self)
        del fields["job_start"]
        return fields

    def is_earlier_start_of(self, later: Owner) -> bool:
        """Whether the scheduler has started this one's job again since, as the later one.

        A restart count tells, unless it was inherited from another job. SLURM's time of the start
        tells too where the job is SLURM's own.
        """
        if not self.job_id or self.job_id != later.job_id:
            return False
        return self.restart < later.restart or self._began_before(later.job_start)

    def _began_before(self, job_start: Optional[float]) -> bool:
        try:
            since = datetime.fromisoformat(self.since).timestamp()
        except (ValueError, OverflowError, OSError):
            return False
        return job_start is not None and since < job_start - _CLOCKS_DIFFER

    def has_ended(self) -> bool:
        """Whether this machine knows that the process is gone; False also where it cannot tell."""
        if self.process_start is None or self.namespace != _namespace():
            return False
        if self.host != socket.gethostname():
            return False
        try:
            state, start = _stat(self.pid)
        except FileNotFoundError:
            return not _is_there(self.pid)
        except OSError:
            return False
        return state in _ENDED or start != self.process_start

    def __str__(self) -> str:
        node = "" if self.node == self.host else f", node {self.node}"
        job = f"job {self.job_id}, " if self.job_id else ""
        if self.slurm_job_id not in ("", self.job_id):
            job += f"SLURM job {self.slurm_job_id}, "
        return f"process {self.pid} on {self.host}{node} ({job}since {self.since})"


def job_environment() -> Mapping[str, str]:
    """What a launcher has put into the environment of this job: the names above that are set.

    A job that is submitted from within another inherits that one's environment, and must not take
    itself for it. So nothing counts that was set for another SLURM job than this.
    """
    of = os.environ.get(_JOB_OF)
    if of and of != os.environ.get("SLURM_JOB_ID"):
        return {}
    names = (JOB_ID, RESTART_COUNT, SLURM_ID, RUN_LINK, COMMIT)
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def count_in_environment(name: str) -> int:
    """A count that a scheduler or launcher has put into the environment; 0 where there is none.

    Raises:
        RequestError: If it is no whole number.
    """
    text = os.environ.get(name) or "0"
    if not re.fullmatch("[0-9]{1,9}", text):
        raise RequestError(f"{name}={text[:40]!r} in the environment: is no count; unset it")
    return int(text)


def _job_id(given: Mapping[str, str]) -> str:
    return given.get(JOB_ID) or os.environ.get("SLURM_JOB_ID", "")


def _restart(given: Mapping[str, str]) -> int:
    # A launcher's job that starts for the first time may inherit SLURM's count from its parent.
    return count_in_environment(RESTART_COUNT if RESTART_COUNT in given else "SLURM_RESTART_COUNT")


def _job_start(given: Mapping[str, str]) -> Optional[float]:
    text = os.environ.get("SLURM_JOB_START_TIME", "")
    return float(text) if JOB_ID not in given and re.fullmatch("[0-9]{1,12}", text) else None


def _process_start(pid: int) -> Optional[int]:
    try:
        return _stat(pid)[1]
    except OSError:
        return None


def _stat(pid: int) -> Tuple[str, int]:
    """State and start of a process, in clock ticks from boot.

    Not by psutil: its `create_time` adds the boot time, which moves when the clock is set, so one
    process could be taken for two; and it calls a process that /proc hides gone.

    Raises:
        OSError: If /proc does not tell; FileNotFoundError also where it hides other users'.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError as error:  # it has ended between open and read
        raise FileNotFoundError(*error.args) from None
    # The command name before the last parenthesis may hold spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _namespace() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
