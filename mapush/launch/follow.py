"""Watches jobs from outside: their runs, progress and ends. Letting go does not end them."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from rich.console import Console

from mapush.errors import EXIT_FAILURE, MapushError
from mapush.launch.display import Display
from mapush.launch.jobs import STARTING_SECONDS, JobFolder
from mapush.launch.node import slurm
from mapush.launch.node.folder import Outcome
from mapush.launch.notice import resume_command
from mapush.launch.progress import read_progress
from mapush.launch.request import SLURM, JobRequest
from mapush.results.directory import find_by_job
from mapush.results.run import RunDirectory

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 2.0  # between two questions that cost a scheduler or a file server something
_SETTLE_SECONDS = 10.0  # from a job's end, as SLURM sees it, to its outcome, as a file server does


def find_run(root: Path, job_id: str, patience: float) -> Optional[RunDirectory]:
    """The run of a job as soon as its trainer has taken a directory.

    Args:
        root: Where `results/` is.
        job_id: The job.
        patience: Seconds to wait for it.
    """
    deadline = time.monotonic() + patience
    while True:
        run = find_by_job(root, job_id, warn=_unsaid)
        if run or time.monotonic() >= deadline:
            return run
        time.sleep(min(_POLL_SECONDS, patience))


def wait(places: Sequence[JobFolder], root: Path, console: Console) -> Dict[str, Outcome]:
    """Show the progress of jobs until they have all ended.

    Args:
        places: The jobs' folders.
        root: Where `results/` and `log/` are.
        console: Gets bars if it is a terminal, and plain lines otherwise.

    Returns:
        How each ended, by its name.
    """
    ended: Dict[str, Outcome] = {}
    with Display(console, {place.job_id: place.asked().label for place in places}) as display:
        watches = [_Watch(place, root, display) for place in places]
        while True:
            for watch in watches:
                if watch.place.job_id not in ended:
                    outcome = watch.look()
                    if outcome is not None:
                        ended[watch.place.job_id] = outcome
            if len(ended) == len(watches):
                return ended
            time.sleep(_POLL_SECONDS)


class _Watch:
    """One job, looked at again and again."""

    def __init__(self, place: JobFolder, root: Path, display: Display) -> None:
        self.place = place
        self._root = root
        self._display = display
        self._request = place.asked()
        self._run: Optional[RunDirectory] = None
        self._began = time.monotonic()
        self._looked = self._searched = -_LOOK_SECONDS
        self._over_since: Optional[float] = None
        self._read = 0

    def look(self) -> Optional[Outcome]:
        """Show what is new; how the job ended, once it has."""
        job = self.place.job_id
        # Asked before the outcome is read, which is written before the end.
        fault = self._fault()
        outcome = self.place.outcome()
        is_last = outcome is not None or fault is not None
        for line in self._new_lines(is_last):
            self._display.said(job, line)
        if self._run is None and (is_last or self._may_have_run()):
            self._run = find_by_job(self._root, job, warn=_unsaid)
            if self._run is not None:
                self._display.say(job, f"results   {self._run.results}")
        if self._run is not None:
            progress = read_progress(self._run.log)
            if progress is not None:
                self._display.show(job, progress, last=is_last)
        return outcome or fault

    def _may_have_run(self) -> bool:
        """Whether to look through all runs, which takes a while where there are many."""
        now = time.monotonic()
        if not self.place.run_link.is_symlink() and now - self._searched < _LOOK_SECONDS:
            return False
        self._searched = now
        return True

    def _fault(self) -> Optional[Outcome]:
        """What ended the job without an outcome; None while nothing has."""
        if self._request.cluster != SLURM:
            return _local_fault(self.place, time.monotonic() - self._began)
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return None
        self._looked = now
        try:
            state = slurm.job(self.place.slurm_id())
        except MapushError as error:
            self._display.status(self.place.job_id, str(error))
            return None
        self._display.status(self.place.job_id, _status(state))
        if not state.is_over:
            self._over_since = None
            return None
        self._over_since = self._over_since or now
        if now - self._over_since < _SETTLE_SECONDS:
            return None
        return _slurm_fault(self.place, self._request, state)

    def _new_lines(self, is_last: bool) -> List[str]:
        """What the job has said since the last look, whole lines only."""
        try:
            with self.place.output.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return []
        if not is_last:
            data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        return data.decode("utf-8", errors="replace").splitlines()


def _local_fault(place: JobFolder, seconds: float) -> Optional[Outcome]:
    is_gone = not place.is_running() if place.has_started() else seconds > STARTING_SECONDS
    if not is_gone or place.outcome() is not None:
        return None
    again = f"see {place.path}; to resume: {resume_command(place)}"
    return Outcome(EXIT_FAILURE, f"the process that ran job {place.job_id} is gone", again)


def _slurm_fault(place: JobFolder, request: JobRequest, state: slurm.Job) -> Outcome:
    known = f"SLURM job {place.slurm_id()} has ended ({state.state}"
    known += f", {state.reason})" if state.reason else ")"
    nodes = f" on {state.nodes}" if state.nodes else ""
    if state.reason == "DependencyNeverSatisfied":
        why = "the job that it comes after did not complete"
    elif state.state == "CANCELLED":
        why = f"it was cancelled; to resume: {resume_command(place)}"
    elif not place.ledger().starts:
        why = f"it said nothing{nodes}; does that node see {request.root}, where its log is?"
    else:
        why = f"see {place.output}; to resume: {resume_command(place)}"
    return Outcome(EXIT_FAILURE, known, why)


def _status(state: slurm.Job) -> str:
    if state.state == "PENDING":
        why = state.reason
        if state.start is not None:
            why += f", to start about {datetime.fromtimestamp(state.start):%m-%d %H:%M}"
        return f"queued ({why.strip(', ')})" if why else "queued"
    return state.state.lower()


def _unsaid(_: str) -> None:
    """Other runs' unreadable records are no matter of this job."""
