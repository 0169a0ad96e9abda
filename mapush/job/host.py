"""Brings one job to its end on this machine: run the trainer, judge its end, run it again.

This is what the submission starts in the background. It holds the job's folder for as long as it
lives, and leaves the outcome there.
"""

from __future__ import annotations

import os
import signal
from datetime import datetime
from pathlib import Path
from typing import List

from mapush.checkpoint.store import CheckpointStore
from mapush.errors import MapushError
from mapush.files import storage_errors
from mapush.job.folder import JobFolder, JobRequest, Outcome
from mapush.job.requeue import Action, Attempt, Verdict, decide
from mapush.job.trainer_process import SignalRelay, run_trainer, trainer_environment
from mapush.results.directory import find_by_job

# These ask the job to end. The user signals are what schedulers send before they take a machine
# away, and a job on one machine still has it: its trainer starts again.
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_TAIL_BYTES = 8192


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
            outcome = _until_settled(place, request, relay)
        except MapushError as error:
            outcome = Outcome(error.exit_code, "the job failed", str(error))
        place.write_outcome(outcome)
    return outcome.exit_code


def newest_step(root: Path, job_id: str) -> int:
    """Environment steps of the newest checkpoint of a job's run; 0 without one."""
    run = find_by_job(root, job_id)
    entries = CheckpointStore(run.checkpoints).entries() if run else []
    return max((entry.step for entry in entries), default=0)


def _until_settled(place: JobFolder, request: JobRequest, relay: SignalRelay) -> Outcome:
    root = Path(request.root)
    environment = trainer_environment(request.job_id, request.gpus, request.devices)
    start_step = newest_step(root, request.job_id)
    attempts: List[Attempt] = []
    while True:
        begin = place.output.stat().st_size if place.output.exists() else 0
        code = run_trainer(
            Path(request.script), request.arguments, environment, place.output, relay
        )
        attempts.append(Attempt(code, newest_step(root, request.job_id)))
        stop_requested = any(number in _STOPPING for number in relay.received)
        verdict = decide(attempts, start_step, stop_requested)
        message = "" if verdict.action is Action.DONE else last_words(place.output, begin)
        _note(place.output, len(attempts), verdict)
        if verdict.action is not Action.RESTART:
            return Outcome(verdict.exit_code, verdict.reason, message)


def last_words(output: Path, begin: int) -> str:
    """The line by which a trainer says why it ended, from `begin` bytes on: `mapush: ...`.

    A trainer that died of something else has its last line quoted; a silent one has none.
    """
    with storage_errors(output), output.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("mapush: ")]
    return (said or lines or [""])[-1].replace("mapush: ", "", 1)


def _note(output: Path, attempt: int, verdict: Verdict) -> None:
    stamp = datetime.now().strftime("%m/%d/%y %H:%M:%S")
    line = f"[{stamp}] job: start {attempt}: {verdict.reason}: {verdict.action.value}\n"
    with storage_errors(output), output.open("a", encoding="utf-8") as file:
        file.write(line)
