"""The folder of one job: what was asked for, what is said on the way, what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import re
import time
import uuid
from pathlib import Path
from typing import Iterator, Optional, Tuple

from mapush.errors import OwnershipError, RequestError
from mapush.files import make_directory, storage_errors, write_atomically

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LOCK_TRIES = 20
_LOCK_PAUSE = 0.05  # seconds


@dataclasses.dataclass(frozen=True)
class JobRequest:
    """What a job is to do."""

    job_id: str
    script: str
    """The task's train.sh, as an absolute path."""
    arguments: Tuple[str, ...]
    """Passed to the script as they are."""
    root: str
    """Where `results/` and `log/` are, as an absolute path."""
    gpus: int = 0
    devices: Optional[str] = None
    """`CUDA_VISIBLE_DEVICES` where the job was submitted; None if it was not set."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    exit_code: int
    reason: str
    """For people: half a line."""
    message: str
    """The last thing that a trainer which did not finish said; empty otherwise."""


def new_job_id() -> str:
    """An id that no other job has; a process id comes round again."""
    return f"local-{uuid.uuid4().hex}"


@dataclasses.dataclass(frozen=True)
class JobFolder:
    """`<root>/log/submit/<job id>/`, which is submitit's folder too."""

    path: Path

    @classmethod
    def of(cls, root: Path, job_id: str) -> JobFolder:
        """The folder of a job, which need not exist.

        Raises:
            RequestError: If the id cannot be a folder's name.
        """
        if not _JOB_ID.fullmatch(job_id):
            raise RequestError(
                f"--job-id {job_id!r}: only letters, digits, '_', '.' and '-' make a job id, "
                "at most 100 and no '.' or '-' first"
            )
        return cls(root.absolute() / "log" / "submit" / job_id)

    @property
    def output(self) -> Path:
        """What the trainer prints, through all restarts."""
        return self.path / "job.log"

    @property
    def submission_log(self) -> Path:
        """What went wrong before the job ran."""
        return self.path / "submission.log"

    @property
    def _request(self) -> Path:
        return self.path / "request.json"

    @property
    def _outcome(self) -> Path:
        return self.path / "outcome.json"

    @property
    def _process(self) -> Path:
        return self.path / "pid"

    @property
    def _lock(self) -> Path:
        return self.path / "host.lock"

    def open(self, request: JobRequest) -> None:
        """Write down what is asked for, before the job starts.

        Raises:
            OwnershipError: If the job is running.
            StorageError: If the folder cannot be written.
        """
        make_directory(self.path)
        if self.is_running():
            raise OwnershipError(
                f"--job-id {request.job_id}: is running; wait for its end or cancel it first"
            )
        with storage_errors(self._outcome):
            for path in (self._outcome, self._process, self._lock):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
        write_atomically(self._request, json.dumps(dataclasses.asdict(request)).encode())

    def request(self) -> JobRequest:
        """What was asked for.

        Raises:
            RequestError: If the job was never submitted or its file is damaged.
        """
        try:
            fields = json.loads(self._request.read_bytes())
            fields["arguments"] = tuple(fields["arguments"])
            return JobRequest(**fields)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RequestError(f"{self._request}: cannot be read ({error}); submit again") from None

    def write_process(self, pid: str) -> None:
        """Say which process to signal."""
        write_atomically(self._process, pid.encode())

    def process(self) -> str:
        """The process to signal; empty before there is one."""
        try:
            return self._process.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return ""

    def write_outcome(self, outcome: Outcome) -> None:
        """Say how the job ended.

        Raises:
            StorageError: If it cannot be written.
        """
        write_atomically(self._outcome, json.dumps(dataclasses.asdict(outcome)).encode())

    def outcome(self) -> Optional[Outcome]:
        """How the job ended; None while it has not."""
        try:
            return Outcome(**json.loads(self._outcome.read_bytes()))
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be the process that runs this job; others see it by `is_running` until it is gone.

        Raises:
            OwnershipError: If another process runs it.
        """
        with storage_errors(self._lock):
            lock = self._lock.open("ab")
        with lock:
            for _ in range(_LOCK_TRIES):
                # The kernel takes it back at any kind of death; children do not inherit it.
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(_LOCK_PAUSE)  # somebody who only looks has it for microseconds
            else:
                raise OwnershipError(f"{self.path}: another process runs this job")
            yield

    def has_started(self) -> bool:
        """Whether a process has ever run this job."""
        return self._lock.exists()

    def is_running(self) -> bool:
        """Whether a process runs this job now."""
        try:
            with self._lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False
