"""Hands jobs to submitit's local executor, out of reach of the terminal that submits them.

submitit starts its controller in the caller's session, where a Ctrl-C or a closed terminal would
end the job. So a helper process, first in a session of its own, does the submitting; this module
is that helper's program too.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import List, Sequence

from mapush.errors import MapushError
from mapush.files import storage_errors, write_durably
from mapush.job.folder import JobFolder
from mapush.job.host import run_job
from mapush.job.request import JobRequest
from mapush.job.trainer_process import script_environment

# submitit's local executor stops a job after this long; its own default is two minutes.
_TIMEOUT_MINUTES = 10 * 365 * 24 * 60
_HELPER_SECONDS = 60.0


def submit(places: Sequence[JobFolder], requests: Sequence[JobRequest]) -> None:
    """Start jobs in the background of this machine and return.

    Args:
        places: Their folders.
        requests: What they are to do, all from one snapshot.

    Raises:
        MapushError: If they cannot be started.
        OwnershipError: If one is running already.
        StorageError: If a folder cannot be written.
    """
    for place, request in zip(places, requests):
        place.open(request)
    log_path = places[0].submission_log
    with storage_errors(log_path), log_path.open("ab") as log:
        helper = subprocess.Popen(
            [sys.executable, "-m", __name__, *(str(place.path) for place in places)],
            # From the snapshot, so that the job runs the code it was sent off with.
            cwd=requests[0].code,
            env={**os.environ, "PYTHONPATH": script_environment(requests[0])["PYTHONPATH"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        code = helper.wait(timeout=_HELPER_SECONDS)
    except subprocess.TimeoutExpired:
        helper.kill()
        raise MapushError(f"the job did not start within {_HELPER_SECONDS:.0f} s") from None
    if code:
        raise MapushError(f"the job could not be started; see {log_path}")


def command(request: JobRequest) -> str:
    """What a job runs, as a line for a shell."""
    enter = Path(request.code) / "job" / "enter.sh"
    words = ["bash", str(enter), "bash", str(request.script), *request.arguments]
    return " ".join(shlex.quote(word) for word in words)


def make_slots(folder: Path, count: int) -> str:
    """Make the files of which each job of an array holds one while it runs.

    Returns:
        Their folder, for `JobRequest.slots`.
    """
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
            gpus_per_node=place.request().gpus,
            stderr_to_stdout=True,
        )
        job = executor.submit(run_job, folder)
        # Until the job's own process takes over, its controller passes signals on.
        if not place.process():
            place.write_process(job.job_id)


if __name__ == "__main__":
    hand_over(sys.argv[1:])
