"""The folders of jobs: what was asked for, what is said on the way, what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import re
import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Iterator, List, Optional

from mapush.errors import OwnershipError, RequestError, StorageError
from mapush.files import make_directory, storage_errors, write_atomically
from mapush.job import attempts
from mapush.job.request import JobRequest, Outcome, dump, parse_outcome, parse_request

STARTING_SECONDS = 60.0
"""Within these a job that was sent off has a process of its own, also on a busy machine."""

_JOB_ID = re.compile(r"\w[\w.-]{0,199}")
_SLURM_ID = re.compile(r"\d+(_\d+)?")
_LOCK_TRIES = 20
_LOCK_PAUSE = 0.05  # seconds


def submissions(root: Path) -> Path:
    """Where the folders of a root's jobs are."""
    return root.absolute() / "log" / "submit"


def job_names(start: datetime, exp: str) -> Iterator[str]:
    """Names for a job, `<MM-DD-HH-MM-SS>_<exp>` of its submission and each second after it."""
    seconds = 0
    while True:
        yield f"{start + timedelta(seconds=seconds):%m-%d-%H-%M-%S}_{exp}"
        seconds += 1


def take_folders(root: Path, exp: str, start: datetime, members: int = 1) -> List[JobFolder]:
    """Make the folders of a new job, or of the members of a new array, that no other job has.

    Args:
        root: Holds `log/`.
        exp: The experiment; for an array what stands for its several ones.
        start: Local time of the submission.
        members: More than 1 for an array, whose folders have its name and the member's index.

    Raises:
        StorageError: If they cannot be made.
    """
    parent = submissions(root)
    make_directory(parent)
    for name in job_names(start, exp):
        names = [name] if members == 1 else [name, *(f"{name}_{i}" for i in range(members))]
        made: List[Path] = []
        with storage_errors(parent):
            try:
                for each in names:
                    (parent / each).mkdir()
                    made.append(parent / each)
            except FileExistsError:
                for path in made:
                    path.rmdir()
                continue
        return [JobFolder(path) for path in (made if members == 1 else made[1:])]
    raise AssertionError("names never end")


def known_jobs(root: Path) -> List[JobFolder]:
    """Every job of a root that was sent off, in the order of their names.

    Raises:
        StorageError: If they cannot be listed.
    """
    parent = submissions(root)
    with storage_errors(parent):
        found = sorted(parent.glob("*/request.json")) if parent.is_dir() else []
    return [JobFolder(path.parent) for path in found]


def find_job(root: Path, text: str) -> JobFolder:
    """The job that a user names by its own name or by SLURM's id.

    Raises:
        RequestError: If there is none.
    """
    if _JOB_ID.fullmatch(text) and (submissions(root) / text).is_dir():
        return JobFolder.of(root, text)
    for place in reversed(known_jobs(root)):
        if place.slurm_id() == text:
            return place
    raise RequestError(f"job {text[:120]!r}: there is none in {submissions(root)}")


@dataclasses.dataclass(frozen=True)
class JobFolder:
    """`<root>/log/submit/<job id>/`."""

    path: Path

    @classmethod
    def of(cls, root: Path, job_id: str) -> JobFolder:
        """The folder of a job, which need not exist.

        Raises:
            RequestError: If the id cannot be a folder's name.
        """
        if not _JOB_ID.fullmatch(job_id):
            raise RequestError(
                f"job {job_id[:120]!r}: only letters, digits, '_', '.' and '-' make a job's name, "
                "at most 200 and no '.' or '-' first"
            )
        return cls(submissions(root) / job_id)

    @property
    def job_id(self) -> str:
        """The name by which the job's trainers find their run."""
        return self.path.name

    @property
    def output(self) -> Path:
        """What the trainer prints, through all restarts."""
        return self.path / "job.log"

    @property
    def submission_log(self) -> Path:
        """What went wrong before the job ran."""
        return self.path / "submission.log"

    @property
    def attempts(self) -> Path:
        """The starts and ends of its trainers; see `mapush.job.attempts`."""
        return self.path / attempts.FILE_NAME

    @property
    def run_link(self) -> Path:
        """A link to the results directory, made by the trainer when it has taken one."""
        return self.path / "run"

    @property
    def _slurm(self) -> Path:
        return self.path / "slurm"

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
                f"job {request.job_id}: is running; wait for its end or cancel it first"
            )
        with storage_errors(self._outcome):
            for path in (self._outcome, self._process, self._lock, self._slurm):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
        attempts.append_submission(self.attempts)
        write_atomically(self._request, dump(request))

    @contextlib.contextmanager
    def kept_unless_sent(self) -> Iterator[None]:
        """Bring back what `open` replaces if the block fails: the job is as it was, and has its id.

        How often its trainers may fail is counted anew all the same.
        """
        paths = (self._request, self._slurm, self._outcome, self._process, self._lock)
        with storage_errors(self.path):
            kept = {path: path.read_bytes() for path in paths if path.exists()}
        try:
            yield
        except BaseException:
            for path, data in kept.items():
                with contextlib.suppress(StorageError):
                    write_atomically(path, data)
            raise

    def request(self) -> JobRequest:
        """What was asked for.

        Raises:
            RequestError: If the job was never submitted or its file is damaged.
        """
        try:
            return parse_request(self._request.read_bytes())
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{self._request}: cannot be read ({_short(error)}); submit again"
            ) from None

    def write_slurm_id(self, slurm_id: str) -> None:
        """Say under which id SLURM knows the job."""
        write_atomically(self._slurm, slurm_id.encode())

    def slurm_id(self) -> str:
        """SLURM's id; empty if SLURM does not run the job."""
        try:
            text = self._slurm.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return ""
        return text if _SLURM_ID.fullmatch(text) else ""

    def clear_outcome(self) -> None:
        """A trainer is started again."""
        with storage_errors(self._outcome), contextlib.suppress(FileNotFoundError):
            self._outcome.unlink()

    def remove(self) -> None:
        """Forget a job that could not be sent off."""
        shutil.rmtree(self.path, ignore_errors=True)

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
        write_atomically(self._outcome, dump(outcome))

    def outcome(self) -> Optional[Outcome]:
        """How the job ended; None while it has not."""
        try:
            return parse_outcome(self._outcome.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RequestError(f"{self._outcome}: cannot be read ({_short(error)})") from None

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

    def is_starting(self) -> bool:
        """Whether the job was sent off just now and no process has had time to take it up."""
        if self.has_started():
            return False
        try:
            return time.time() - self._request.stat().st_mtime < STARTING_SECONDS
        except FileNotFoundError:
            return False

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


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
