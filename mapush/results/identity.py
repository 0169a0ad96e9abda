"""Which process owns a run, described so that another host can tell whether it still lives."""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

_ENDED = ("Z", "X")  # states of a process that does nothing any more


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process that trains, or wants to train, a run."""

    job_id: str
    """SLURM job id; empty outside a job."""
    restart: int
    """How often the scheduler has restarted that job."""
    host: str
    pid: int
    process_start: Optional[int]
    """Clock ticks from boot to the start of the process; None where /proc does not tell."""
    namespace: str
    """Boot and pid namespace: pids can be compared only where these are equal."""
    token: str
    """Random, so that two owners are never taken for each other."""
    since: str
    """ISO time with UTC offset."""

    @classmethod
    def current(cls, job_id: Optional[str] = None, restart: Optional[int] = None) -> Owner:
        """This process; job and restart count come from SLURM's environment unless given."""
        return cls(
            job_id=os.environ.get("SLURM_JOB_ID", "") if job_id is None else job_id,
            restart=int(os.environ.get("SLURM_RESTART_COUNT", "0")) if restart is None else restart,
            host=socket.gethostname(),
            pid=os.getpid(),
            process_start=_process_start(os.getpid()),
            namespace=_namespace(),
            token=secrets.token_hex(8),
            since=datetime.now().astimezone().isoformat(timespec="seconds"),
        )

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Owner:
        """An owner as read from a file.

        Raises:
            ValueError: If a field is missing or of the wrong type.
        """
        kinds = {
            "job_id": (str,),
            "restart": (int,),
            "host": (str,),
            "pid": (int,),
            "process_start": (int, type(None)),
            "namespace": (str,),
            "token": (str,),
            "since": (str,),
        }
        for name, allowed in kinds.items():
            if not isinstance(fields.get(name, ()), allowed):
                raise ValueError(f"owner.{name} is {str(fields.get(name))[:40]!r}")
        return cls(**{name: fields[name] for name in kinds})

    def to_mapping(self) -> Dict[str, Any]:
        """Plain values, for a file."""
        return dataclasses.asdict(self)

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
        job = f"job {self.job_id}, " if self.job_id else ""
        return f"process {self.pid} on {self.host} ({job}since {self.since})"


def _process_start(pid: int) -> Optional[int]:
    try:
        return _stat(pid)[1]
    except OSError:
        return None


def _stat(pid: int) -> Tuple[str, int]:
    """State and start of a process, in clock ticks from boot.

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
