"""Hands a job to submitit's local executor, out of reach of the terminal that submits it.

submitit starts its controller in the caller's session, where a Ctrl-C or a closed terminal would
end the job. So a helper process, first in a session of its own, does the submitting; this module
is that helper's program too.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mapush.errors import MapushError
from mapush.files import storage_errors
from mapush.job.folder import JobFolder, JobRequest
from mapush.job.host import run_job

# submitit's local executor stops a job after this long; its own default is two minutes.
_TIMEOUT_MINUTES = 10 * 365 * 24 * 60
_HELPER_SECONDS = 60.0


def submit(place: JobFolder, request: JobRequest) -> None:
    """Start a job in the background of this machine and return.

    Raises:
        MapushError: If it cannot be started.
        OwnershipError: If it is running already.
        StorageError: If its folder cannot be written.
    """
    place.open(request)
    with storage_errors(place.submission_log), place.submission_log.open("ab") as log:
        helper = subprocess.Popen(
            [sys.executable, "-m", __name__, str(place.path)],
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
        raise MapushError(f"the job could not be started; see {place.submission_log}")


def hand_over(folder: str) -> None:
    """Submit the job of a folder through submitit."""
    import submitit

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
    hand_over(sys.argv[1])
