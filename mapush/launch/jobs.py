"""The jobs of a root: their folders, made and found."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Iterator, List, Optional

from pydantic import ValidationError

from mapush.errors import MapushError, OwnershipError, RequestError
from mapush.files import make_directory, storage_errors, write_atomically
from mapush.launch import earlier
from mapush.launch.node.folder import (
    ATTEMPTS,
    LOG,
    OUTCOME,
    PROCESS,
    REQUEST,
    RUN_LINK,
    SLURM_ID,
    Folder,
)
from mapush.launch.request import JobRequest
from mapush.launch.squeue import in_queue

FILE_NAMES = (REQUEST, earlier.FILE_NAME)
"""What a job's request may stand in, the newest form first."""

STARTING_SECONDS = 60.0
"""Within these a job that was submitted has a process of its own, also on a busy machine."""

LOCK = "host.lock"
HELPER_LOG = "submission.log"
"""What the process says that starts jobs of this machine."""

_REPLACED = (REQUEST, SLURM_ID, OUTCOME, PROCESS, LOCK, ATTEMPTS, HELPER_LOG)
_MAX_BYTES = 1_000_000  # of a request
_JOB_ID = re.compile(r"\w[\w.-]{0,199}")
_SLURM_ID = re.compile(r"\d+(_\d+)?")


class MaybeQueued(MapushError):
    """A job is queued, or SLURM does not say that it is not; its folder has to stay."""


def submissions(root: Path) -> Path:
    """Where the folders of a root's jobs are."""
    return root.absolute() / "log" / "submit"


def job_names(start: datetime, exp: str, members: int) -> Iterator[List[str]]:
    """Names for a job, `<MM-DD-HH-MM-SS>_<exp>` of its submission and each second after it.

    For an array of several members its own name comes first, then theirs.
    """
    for seconds in itertools.count():
        name = f"{start + timedelta(seconds=seconds):%m-%d-%H-%M-%S}_{exp}"
        yield [name] if members == 1 else [name, *(f"{name}_{i}" for i in range(members))]


class JobFolder(Folder):
    """`<root>/log/submit/<job id>/`, as whoever submits and watches the job sees it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.place = path
        self.output = path / LOG
        """What is said of and by the job, through all restarts."""
        self.run_link = path / RUN_LINK
        """A link to the results directory, made by the trainer when it has taken one."""

    def open(self, request: JobRequest) -> None:
        """Write down what is asked for, before the job starts.

        Raises:
            OwnershipError: If the job is running.
            StorageError: If the folder cannot be written.
        """
        make_directory(self.place)
        if self.is_running():
            raise OwnershipError(
                f"job {request.job_id}: is running; wait for its end or cancel it first"
            )
        with storage_errors(self.place):
            for name in (OUTCOME, PROCESS, LOCK, SLURM_ID):
                with contextlib.suppress(FileNotFoundError):
                    (self.place / name).unlink()
            self.note("submit")
        self.write_request(request)

    def write_request(self, request: JobRequest) -> None:
        """Write down what is asked for; see `write`."""
        self.write(REQUEST, request.model_dump_json(indent=1))

    def write(self, name: str, text: str) -> None:
        """Replace one of its files as a whole.

        Raises:
            StorageError: If the storage refuses.
        """
        write_atomically(self.place / name, text.encode())

    @contextlib.contextmanager
    def kept_unless_sent(self) -> Iterator[None]:
        """Bring everything back that `open` replaces if the block fails: no trace is left.

        Not after `MaybeQueued` or an interrupt: the job that reads the folder may have been sent.
        """
        with storage_errors(self.place):
            before = set(self.place.iterdir())
            kept = {p: (p.read_bytes(), p.stat()) for p in before if p.name in _REPLACED}
        try:
            yield
        except MaybeQueued:
            raise
        except Exception:
            for path, (data, status) in kept.items():
                write_atomically(path, data)
                # Jobs are listed by the time of their request.
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            for path in self.place.iterdir():
                if path not in before:
                    path.unlink()
            raise

    def asked(self) -> JobRequest:
        """What was asked for.

        Raises:
            RequestError: If the job was never submitted or its file is damaged.
        """
        path = request_file(self.place) or self.place / REQUEST
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES)
            if path.name == earlier.FILE_NAME:
                return JobRequest.model_validate(earlier.fields_of(path, data))
            return JobRequest.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(each) for each in first["loc"])
            reason = f"{where}: {first['msg']}" if where else str(first["msg"])
        except OSError as error:
            reason = " ".join(str(error).split())
        raise RequestError(f"{path}: cannot be read ({reason[:200]}); submit again")

    def slurm_id(self) -> str:
        """SLURM's id; empty if SLURM does not run the job."""
        text = self._text(SLURM_ID)
        return text if _SLURM_ID.fullmatch(text) else ""

    def process(self) -> str:
        """The process to signal; empty before there is one."""
        return self._text(PROCESS)

    def has_started(self) -> bool:
        """Whether a process of this machine has ever run this job."""
        return (self.place / LOCK).exists()

    def is_starting(self) -> bool:
        """Whether the job was submitted just now and no process has had time to take it up."""
        if self.has_started():
            return False
        try:
            return time.time() - (self.place / REQUEST).stat().st_mtime < STARTING_SECONDS
        except FileNotFoundError:
            return False

    def is_running(self) -> bool:
        """Whether a process of this machine runs this job now."""
        try:
            with (self.place / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def is_living(self) -> bool:
        """Whether the job is queued or running, on a cluster or here.

        Raises:
            SlurmError: If SLURM does not answer.
        """
        slurm_id = self.slurm_id()
        if slurm_id:
            return slurm_id in in_queue()
        return self.is_running() or self.is_starting()

    def _text(self, name: str) -> str:
        try:
            return (self.place / name).read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return ""


def request_file(folder: Path) -> Optional[Path]:
    """Where a job's request stands; None if there is none."""
    return next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)


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
    for names in job_names(start, exp, members):
        made: List[Path] = []
        with storage_errors(parent), contextlib.suppress(FileExistsError):
            try:
                for each in names:
                    (parent / each).mkdir()
                    made.append(parent / each)
                return [JobFolder(path) for path in made[-members:]]
            except OSError:
                for path in made:
                    path.rmdir()
                raise
    raise AssertionError("names never end")


def known_jobs(root: Path) -> List[JobFolder]:
    """Every job of a root that was submitted, in the order of their submission.

    Raises:
        StorageError: If they cannot be listed.
    """
    parent = submissions(root)
    with storage_errors(parent):
        found = {path.parent for name in FILE_NAMES for path in parent.glob(f"*/{name}")}
    # A name has no year.
    in_order = sorted(found, key=lambda folder: (_submitted(folder), folder))
    return [JobFolder(folder) for folder in in_order]


def find_job(root: Path, text: str) -> JobFolder:
    """The job that a user names by its own name or by SLURM's id; of several the last.

    Raises:
        RequestError: If there is none.
    """
    if _JOB_ID.fullmatch(text) and request_file(submissions(root) / text):
        return JobFolder(submissions(root) / text)
    for place in reversed(known_jobs(root)):
        if place.slurm_id() == text:
            return place
    raise RequestError(f"job {text[:120]!r}: there is none in {submissions(root)}")


def _submitted(folder: Path) -> float:
    try:
        return (request_file(folder) or folder).stat().st_mtime
    except OSError:
        return 0.0
