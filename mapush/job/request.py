"""What a job is to do, and how one ended: two records that travel between processes as files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Optional, Tuple, Union

from pydantic import TypeAdapter

LOCAL = "local"
SLURM = "slurm"


@dataclasses.dataclass(frozen=True)
class JobRequest:
    """What a job is to do."""

    job_id: str
    exp: str
    arguments: Tuple[str, ...]
    """Passed to the task's train.sh as they are."""
    root: str
    """Where `results/` and `log/` are, as an absolute path."""
    code: str
    """The snapshot that the job runs, with `mapush/`, `job/` and `task/`."""
    cluster: str = LOCAL
    """What runs it: `LOCAL` or `SLURM`."""
    gpus: int = 0
    """Per trainer."""
    devices: Optional[str] = None
    """`CUDA_VISIBLE_DEVICES` where the job was submitted; None if it was not set."""
    python: str = ""
    """Of the host; empty for the one that submits."""
    container: str = ""
    """Image to train in; empty for none."""
    runtime: str = "auto"
    binds: Tuple[str, ...] = ()
    max_failures: int = 10
    max_idle: int = 5
    failure_wait: int = 60
    after: Tuple[str, ...] = ()
    """Folders of jobs of this machine that must be complete first."""
    slots: str = ""
    """Folder with a file per job of an array that may run at once on this machine."""

    @property
    def script(self) -> Path:
        """The task's train.sh."""
        return Path(self.code) / "task" / self.exp / "train.sh"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    exit_code: int
    reason: str
    """For people: half a line."""
    message: str
    """The last thing that a trainer which did not finish said; empty otherwise."""


def dump(record: Union[JobRequest, Outcome]) -> bytes:
    """A record as a file holds it."""
    return json.dumps(dataclasses.asdict(record)).encode()


def parse_request(data: bytes) -> JobRequest:
    """A request as read from a file.

    Raises:
        ValueError: If a field is missing or of the wrong type.
    """
    return TypeAdapter(JobRequest).validate_json(data)


def parse_outcome(data: bytes) -> Outcome:
    """An outcome as read from a file.

    Raises:
        ValueError: If a field is missing or of the wrong type.
    """
    return TypeAdapter(Outcome).validate_json(data)
