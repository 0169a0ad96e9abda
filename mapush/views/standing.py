"""How runs and their jobs stand: by their files, and by SLURM where those do not tell the end."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Dict, NamedTuple, Optional

from mapush.errors import EXIT_BAD_REQUEST, EXIT_COMPLETE
from mapush.files import storage_errors
from mapush.launch.jobs import JobFolder, submissions
from mapush.launch.node import slurm
from mapush.launch.node.slurm import Job
from mapush.launch.squeue import in_queue
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import trainer_of
from mapush.runs.owner import Owner
from mapush.runs.record import RunRecord

QUEUED = "queued"
STARTING = "starting"  # on a node, and its trainer has not taken a run yet
CANCELLED = "cancelled"
REFUSED = "refused"  # the request was wrong
GONE = "gone"  # ended without an outcome: cancelled in the queue, or its node went down
UNKNOWN = "unknown"  # SLURM does not answer, or the job is another user's
OVER = (record.COMPLETE, record.FAILED, CANCELLED, REFUSED, GONE)

_SECONDS = 10.0  # that SLURM has to answer where somebody only looks


class Standing(NamedTuple):
    """How a run or a job stands."""

    status: str
    """One of `mapush.runs.record.STATUSES` or of those above, or SLURM's, such as suspended."""
    why: str = ""
    """SLURM's reason for a queued job, how a job ended; for people, in half a line."""


class Queue:
    """SLURM's queue, asked once and only if somebody wants to know."""

    def __init__(self) -> None:
        self._entries: Optional[Dict[str, Job]] = None
        self.error = ""
        """Why SLURM does not tell; empty while it does or nobody has asked."""

    def standing(self, slurm_id: str, folder: Path) -> Standing:
        """How SLURM has a job.

        Args:
            slurm_id: `ID` or `ID_INDEX`.
            folder: What the job has made; it tells the user.

        Raises:
            OSError: The storage does not tell.
        """
        if folder.stat().st_uid != os.geteuid():
            return Standing(UNKNOWN, "another user's job")
        if self._entries is None:
            self._entries = {}
            try:
                self._entries = in_queue(_SECONDS)
            except slurm.SlurmError as error:
                self.error = str(error)
        if self.error:
            return Standing(UNKNOWN)
        entry = self._entries.get(slurm_id)
        if entry is None:
            return Standing(GONE, f"SLURM has no job {slurm_id} now, and nothing says how it ended")
        if entry.is_pending:
            return Standing(QUEUED, entry.reason)
        is_new = entry.state in ("RUNNING", "CONFIGURING")
        return Standing(STARTING if is_new else entry.state.lower())


def of_job(job: JobFolder, queue: Queue) -> Standing:
    """How a job stands, its run aside.

    Raises:
        StorageError: The storage does not tell.
    """
    with storage_errors(job.place):
        return _of_job(job, queue)


def of_run(run: RunDirectory, found: RunRecord, queue: Queue) -> Standing:
    """How a run stands: as its record says unless its job tells more.

    Raises:
        StorageError: The storage does not tell.
    """
    status = found.status
    is_open = status in (record.RUNNING, record.FINISHING)
    if status == record.COMPLETE or (is_open and trainer_of(run) is not None):
        return Standing(status)
    if is_open:
        status = f"{status} (dead?)"
    try:
        job = _of_its_job(run, found.owner, queue)
    except OSError:  # another user's folder, say: the record tells all the same
        job = Standing(UNKNOWN)
    is_told = job.status not in (*OVER, UNKNOWN)
    has_failed = is_open and job.status in (record.FAILED, REFUSED)
    if is_told or has_failed or job.status == CANCELLED:
        return job
    return Standing(status, job.why)


def slurm_id_of(run: RunDirectory, owner: Owner) -> str:
    """What `scancel` takes for the job of a run: also when it was submitted again since."""
    now = ""
    if owner.job_id:
        with contextlib.suppress(OSError):
            now = JobFolder(submissions(run.root) / owner.job_id).slurm_id()
    return now or owner.slurm_job_id


def _of_job(job: JobFolder, queue: Queue) -> Standing:
    outcome = job.outcome()
    if outcome is not None:
        why = f"{outcome.reason}: {outcome.message}" if outcome.message else outcome.reason
        return Standing(_end(outcome.exit_code, outcome.cancelled), why)
    slurm_id = job.slurm_id()
    if slurm_id:
        known = queue.standing(slurm_id, job.place)
        if known.status == GONE and not job.ledger().starts:
            return _never_started(slurm_id)
        return known
    if job.is_running():
        is_waiting = not job.ledger().starts
        return Standing(QUEUED, "waits for its turn") if is_waiting else Standing(STARTING)
    if job.is_starting():
        return Standing(STARTING)
    return Standing(GONE, "its process is gone without an end")


def _never_started(slurm_id: str) -> Standing:
    """A job that has left the queue; for some minutes SLURM still tells how."""
    with contextlib.suppress(slurm.SlurmError):
        if slurm.job(slurm_id).state == CANCELLED.upper():
            return Standing(CANCELLED, "cancelled while it was queued")
    return Standing(GONE, f"SLURM has no job {slurm_id}, and it never started: cancelled?")


def _of_its_job(run: RunDirectory, owner: Owner, queue: Queue) -> Standing:
    job = JobFolder(submissions(run.root) / owner.job_id)
    if owner.job_id and job.place.is_dir():
        return _of_job(job, queue)
    if owner.slurm_job_id:
        return queue.standing(owner.slurm_job_id, run.results)
    return Standing(UNKNOWN)


def _end(exit_code: int, is_cancelled: bool) -> str:
    if is_cancelled:
        return CANCELLED
    if exit_code == EXIT_COMPLETE:
        return record.COMPLETE
    return REFUSED if exit_code == EXIT_BAD_REQUEST else record.FAILED
