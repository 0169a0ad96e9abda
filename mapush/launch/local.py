"""Jobs on this machine: submitit's local executor starts them, out of reach of the terminal.

submitit starts its controller in the caller's session, where a Ctrl-C or a closed terminal would
end the job. So a helper process, first in a session of its own, does the submitting; this module
is that helper's program too. The function that submitit runs is the job's supervisor, which handles
all signals by itself: none of submitit's handlers is left.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Optional, Sequence

from filelock import FileLock, Timeout

from mapush.errors import EXIT_FAILURE, EXIT_RUN_AGAIN, MapushError, OwnershipError
from mapush.files import storage_errors, write_durably
from mapush.launch.jobs import HELPER_LOG, LOCK, STARTING_SECONDS, JobFolder
from mapush.launch.node import trainer
from mapush.launch.node.folder import PROCESS, Outcome
from mapush.launch.node.scheduler import Here
from mapush.launch.node.signals import STOPPING, Signals
from mapush.launch.node.supervisor import supervise
from mapush.launch.request import CodeCopy, JobRequest

# submitit's local executor stops a job after this long; its own default is two minutes.
_TIMEOUT_MINUTES = 10 * 365 * 24 * 60
_LOOK_SECONDS = 0.5  # between two looks at what a job waits for


def submit(places: Sequence[JobFolder], code: CodeCopy) -> None:
    """Start jobs in the background of this machine and return.

    Args:
        places: Their folders, open.
        code: What they all run.

    Raises:
        MapushError: If they cannot be started.
        StorageError: If a folder cannot be written.
    """
    log_path = places[0].place / HELPER_LOG
    own = trainer.of_no_job(os.environ)
    with storage_errors(log_path), log_path.open("ab") as log:
        helper = subprocess.Popen(
            [sys.executable, "-m", __name__, *(place.path for place in places)],
            # From the copy, so that the job runs the code it was submitted with.
            cwd=code.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=own,
            start_new_session=True,
        )
    try:
        ended = helper.wait(timeout=STARTING_SECONDS)
    except subprocess.TimeoutExpired:
        helper.kill()
        raise MapushError(f"the job did not start within {STARTING_SECONDS:.0f} s") from None
    if ended:
        # The folder, with the log in it, does not outlive this.
        with storage_errors(log_path):
            said = log_path.read_text(encoding="utf-8", errors="replace").split("\n")
        why = next((line for line in reversed(said) if line.strip()), f"exit code {ended}")
        raise MapushError(f"the job could not be started: {why.strip()[:300]}")


def make_slots(folder: Path, count: int) -> str:
    """Make the files of which each job of an array holds one while it runs.

    Returns:
        Their folder, for `JobRequest.slots`.
    """
    with storage_errors(folder):
        for index in range(count):
            write_durably(folder / f"slot-{index}", b"")
    return str(folder)


def hand_over(folders: List[str]) -> None:
    """Submit the jobs of some folders through submitit."""
    import submitit

    for folder in folders:
        place = JobFolder(Path(folder))
        executor = submitit.AutoExecutor(folder=folder, cluster="local")
        executor.update_parameters(
            timeout_min=_TIMEOUT_MINUTES,
            gpus_per_node=place.asked().gpus or 0,
            stderr_to_stdout=True,
        )
        job = executor.submit(run_job, folder)
        # Until the supervisor takes over, submitit's controller passes signals on.
        if not place.process():
            place.write(PROCESS, job.job_id)


def run_job(folder: str) -> int:
    """Wait for a job's turn and supervise it to its end; the job's exit code.

    Raises:
        OwnershipError: If another process runs the job.
        RequestError: If the folder holds no request.
    """
    signals = Signals()
    place = JobFolder(Path(folder))
    request = place.asked()
    lock = FileLock(place.place / LOCK)
    with contextlib.ExitStack() as held:
        try:
            # Somebody who only looks has it for microseconds.
            held.enter_context(lock.acquire(timeout=1.0, poll_interval=0.05))
        except Timeout:
            raise OwnershipError(f"{place.path}: another process runs this job") from None
        place.write(PROCESS, str(os.getpid()))
        outcome = _its_turn(request, signals)
        if outcome is None and request.slots:
            outcome = _slot(Path(request.slots), signals, held)
        if outcome is not None:
            with storage_errors(place.place):
                place.write_outcome(outcome)
            return outcome.exit_code
        return supervise(place, Here(signals))


_CANCELLED = Outcome(EXIT_RUN_AGAIN, "cancelled, before its trainer was started", "", True)


def _is_stopped(signals: Signals) -> bool:
    """Wait a moment; whether somebody has asked for the job's end."""
    signals.sleep(_LOOK_SECONDS, until=STOPPING)
    return bool(set(STOPPING) & set(signals.seen))


def _its_turn(request: JobRequest, signals: Signals) -> Optional[Outcome]:
    """Wait for the jobs that this one comes after; an outcome if it must not start."""
    for folder in request.after:
        other = JobFolder(Path(folder))
        gone_since: Optional[float] = None
        while True:
            outcome = other.outcome()
            if outcome is not None and outcome.exit_code:
                why = f"job {other.job_id}, which it comes after, ended with {outcome.exit_code}"
                return Outcome(EXIT_FAILURE, why, outcome.reason)
            if outcome is not None:
                break
            gone_since = None if other.is_running() else gone_since or time.monotonic()
            if gone_since and time.monotonic() - gone_since > STARTING_SECONDS:
                why = f"job {other.job_id}, which it comes after, is gone without an end"
                return Outcome(EXIT_FAILURE, why)
            if _is_stopped(signals):
                return _CANCELLED
    return None


def _slot(slots: Path, signals: Signals, held: contextlib.ExitStack) -> Optional[Outcome]:
    """Become one of the jobs of an array that run at once, and stay it; an outcome if cancelled."""
    while True:
        for path in sorted(slots.glob("slot-*")):
            with contextlib.suppress(Timeout):
                held.enter_context(FileLock(path).acquire(timeout=0))
                return None
        if _is_stopped(signals):
            return _CANCELLED


if __name__ == "__main__":
    hand_over(sys.argv[1:])
