"""Jobs on this machine: submitit's local executor starts them, out of reach of the terminal.

submitit starts its controller in the caller's session, where a Ctrl-C or a closed terminal would
end the job. So a helper process, first in a session of its own, does the submitting; this module
is that helper's program too. The function that submitit runs becomes the job's supervisor, so none
of submitit's signal handling is left by then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, Iterator, List, Optional, Sequence

from mapush.errors import EXIT_FAILURE, EXIT_RUN_AGAIN, MapushError, OwnershipError
from mapush.files import storage_errors, write_durably
from mapush.launch.jobs import HELPER_LOG, LOCK, JobFolder
from mapush.launch.node import slurm, trainer
from mapush.launch.node.folder import Outcome
from mapush.launch.node.signals import RELAYED, STOPPING
from mapush.launch.request import JobRequest

# submitit's local executor stops a job after this long; its own default is two minutes.
_TIMEOUT_MINUTES = 10 * 365 * 24 * 60
_HELPER_SECONDS = 60.0
_LOOK_SECONDS = 0.5  # between two looks at what a job waits for
_VANISHED_SECONDS = 60.0  # a job that was submitted has a process of its own by then
_LOCK_TRIES, _LOCK_PAUSE = 20, 0.05


def submit(places: Sequence[JobFolder], requests: Sequence[JobRequest]) -> None:
    """Start jobs in the background of this machine and return.

    Args:
        places: Their folders.
        requests: What they are to do, all from one copy of the code.

    Raises:
        MapushError: If they cannot be started.
        OwnershipError: If one is running already.
        StorageError: If a folder cannot be written.
    """
    for place, request in zip(places, requests):
        place.open(request)
    log_path = places[0].place / HELPER_LOG
    own = slurm.clean(trainer.without_own(os.environ))
    with storage_errors(log_path), log_path.open("ab") as log:
        helper = subprocess.Popen(
            [sys.executable, "-m", __name__, *(place.path for place in places)],
            # From the copy, so that the job runs the code it was submitted with.
            cwd=requests[0].code.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=own,
            start_new_session=True,
        )
    try:
        code = helper.wait(timeout=_HELPER_SECONDS)
    except subprocess.TimeoutExpired:
        helper.kill()
        raise MapushError(f"the job did not start within {_HELPER_SECONDS:.0f} s") from None
    if code:
        # The folder, with the log in it, does not outlive this.
        with storage_errors(log_path):
            said = log_path.read_text(encoding="utf-8", errors="replace").split("\n")
        why = next((line for line in reversed(said) if line.strip()), f"exit code {code}")
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
            place.write_process(job.job_id)


def run_job(folder: str) -> None:
    """Wait for a job's turn and become its supervisor.

    Raises:
        OwnershipError: If another process runs the job.
        RequestError: If the folder holds no request.
    """
    place = JobFolder(Path(folder))
    request = place.asked()
    with _stoppable() as stopped, contextlib.ExitStack() as held:
        lock = held.enter_context(_lock(place))
        place.write_process(str(os.getpid()))
        outcome = _its_turn(request, stopped)
        slot: Optional[IO[bytes]] = None
        while outcome is None and request.slots and slot is None:
            slot = _free_slot(request.slots, held)
            if stopped:
                outcome = _CANCELLED
            elif slot is None:
                time.sleep(_LOOK_SECONDS)
        if outcome is not None:
            with storage_errors(place.place):
                place.write_outcome(outcome)
            return
        # What comes from here on reaches the supervisor, once it listens.
        signal.pthread_sigmask(signal.SIG_BLOCK, RELAYED)
        for file in filter(None, (lock, slot)):
            os.set_inheritable(file.fileno(), True)  # held until the supervisor is gone
        start = Path(request.code.path) / "mapush" / "launch" / "node" / "start.py"
        words = [sys.executable, "-I", "-S", "-B", str(start), "supervise", "--here", folder]
        os.execve(words[0], words, dict(os.environ))


_CANCELLED = Outcome(EXIT_RUN_AGAIN, "cancelled, before its trainer was started", "", True)


@contextlib.contextmanager
def _stoppable() -> Iterator[List[int]]:
    """Collect the signals that ask for the job's end, instead of submitit's handlers."""
    found: List[int] = []

    def note(number: int, frame: Optional[FrameType]) -> None:
        if number in STOPPING:
            found.append(number)

    before = {number: signal.signal(number, note) for number in RELAYED}
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _lock(place: JobFolder) -> Iterator[IO[bytes]]:
    """Be the process that runs a job; others see it by `is_running` until it is gone."""
    with storage_errors(place.place):
        file = (place.place / LOCK).open("ab")
    with file:
        for _ in range(_LOCK_TRIES):
            # The kernel takes it back at any kind of death.
            with storage_errors(place.place), contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_LOCK_PAUSE)  # somebody who only looks has it for microseconds
        else:
            raise OwnershipError(f"{place.path}: another process runs this job")
        yield file


def _its_turn(request: JobRequest, stopped: List[int]) -> Optional[Outcome]:
    """Wait for the jobs that this one comes after; an outcome if it must not start."""
    for folder in request.after:
        other = JobFolder(Path(folder))
        gone_since: Optional[float] = None
        while True:
            outcome = other.outcome()
            if stopped:
                return _CANCELLED
            if outcome is not None and outcome.exit_code:
                why = f"job {other.job_id}, which it comes after, ended with {outcome.exit_code}"
                return Outcome(EXIT_FAILURE, why, outcome.reason)
            if outcome is not None:
                break
            gone_since = None if other.is_running() else gone_since or time.monotonic()
            if gone_since and time.monotonic() - gone_since > _VANISHED_SECONDS:
                why = f"job {other.job_id}, which it comes after, is gone without an end"
                return Outcome(EXIT_FAILURE, why)
            time.sleep(_LOOK_SECONDS)
    return None


def _free_slot(slots: str, held: contextlib.ExitStack) -> Optional[IO[bytes]]:
    """Become one of the jobs of an array that run at once, if there is room now."""
    for path in sorted(Path(slots).glob("slot-*")):
        with storage_errors(path):
            file = path.open("rb")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            return held.enter_context(file)
    return None


if __name__ == "__main__":
    hand_over(sys.argv[1:])
