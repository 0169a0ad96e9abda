"""Brings one job to its end on this machine: run the trainer, judge its end, run it again.

This is what the submission starts in the background. It holds the job's folder for as long as it
lives, and leaves the outcome there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import time
from pathlib import Path
from typing import Iterator, List, Optional

from mapush.errors import EXIT_FAILURE, EXIT_RUN_AGAIN, MapushError
from mapush.files import storage_errors
from mapush.job import attempts
from mapush.job.folder import JobFolder
from mapush.job.journal import last_words, log_bytes, newest_step, note
from mapush.job.request import JobRequest, Outcome
from mapush.job.requeue import Action, Attempt, Policy, decide
from mapush.job.trainer_process import SignalRelay, run_trainer, trainer_environment

# These ask the job to end. The user signals are what schedulers send before they take a machine
# away, and a job on one machine still has it: its trainer starts again.
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.5  # between two looks at what a job waits for
_VANISHED_SECONDS = 60.0  # a job that was submitted has a process of its own by then


def run_job(folder: str) -> int:
    """Bring the job of a folder to its end and return its exit code.

    Raises:
        OwnershipError: If another process runs the job.
        RequestError: If the folder holds no request.
    """
    place = JobFolder(Path(folder))
    request = place.request()
    # The signals are caught first: what comes before the trainer starts must not be lost.
    with SignalRelay() as relay, place.hold():
        place.write_process(str(os.getpid()))
        try:
            outcome = _its_turn(request, relay)
            if outcome is None:
                with _slot(request, relay) as is_free:
                    outcome = _until_settled(place, request, relay) if is_free else _CANCELLED
        except MapushError as error:
            outcome = Outcome(error.exit_code, "the job failed", str(error))
        place.write_outcome(outcome)
    return outcome.exit_code


_CANCELLED = Outcome(EXIT_RUN_AGAIN, "stopped as asked, before its trainer was started", "")


def _until_settled(place: JobFolder, request: JobRequest, relay: SignalRelay) -> Outcome:
    root = Path(request.root)
    policy = Policy(request.max_failures, request.max_idle, request.failure_wait)
    start_step = newest_step(root, request.job_id)
    ended: List[Attempt] = []
    while True:
        begin = log_bytes(place.output)
        restart = attempts.read(place.attempts).starts
        attempts.append_start(place.attempts, socket.gethostname(), begin)
        environment = trainer_environment(place, request, restart)
        code = run_trainer(request, environment, place.output, relay)
        ended.append(Attempt(code, newest_step(root, request.job_id)))
        attempts.append_end(place.attempts, ended[-1])
        verdict = decide(ended, start_step, _is_stopped(relay), policy)
        message = "" if verdict.action is Action.DONE else last_words(place.output, begin)
        note(place.output, len(ended), verdict)
        if verdict.action is not Action.RESTART:
            return Outcome(verdict.exit_code, verdict.reason, message)
        resume = time.monotonic() + verdict.wait
        while time.monotonic() < resume:
            if _is_stopped(relay):
                return Outcome(verdict.exit_code, "stopped as asked, between two starts", message)
            time.sleep(min(_LOOK_SECONDS, verdict.wait))


def _is_stopped(relay: SignalRelay) -> bool:
    return any(number in _STOPPING for number in relay.received)


def _its_turn(request: JobRequest, relay: SignalRelay) -> Optional[Outcome]:
    """Wait for the jobs that this one comes after; an outcome if it must not start."""
    for folder in request.after:
        other = JobFolder(Path(folder))
        gone_since: Optional[float] = None
        while True:
            outcome = other.outcome()
            if _is_stopped(relay):
                return _CANCELLED
            if outcome is not None and outcome.exit_code:
                why = f"job {other.job_id}, which it comes after, ended with {outcome.exit_code}"
                return Outcome(EXIT_FAILURE, why, outcome.reason)
            if outcome is not None:
                break
            gone_since = None if other.is_running() else gone_since or time.monotonic()
            if gone_since and time.monotonic() - gone_since > _VANISHED_SECONDS:
                why = f"job {other.job_id}, which it comes after, is gone without an end"
                return Outcome(EXIT_FAILURE, why, "")
            time.sleep(_LOOK_SECONDS)
    return None


@contextlib.contextmanager
def _slot(request: JobRequest, relay: SignalRelay) -> Iterator[bool]:
    """Be one of the jobs of an array that run at once; False if stopped while waiting."""
    if not request.slots:
        yield True
        return
    while not _is_stopped(relay):
        for path in sorted(Path(request.slots).glob("slot-*")):
            with storage_errors(path), path.open("rb") as slot:
                try:
                    fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield True
                return
        time.sleep(_LOOK_SECONDS)
    yield False
