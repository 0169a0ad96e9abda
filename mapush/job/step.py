"""What submitit runs on a cluster's node: one trainer, its signals passed on, its exit code kept.

Whether the job is requeued is decided afterwards in the batch shell (`job/batch.sh`), which also
lives on when this process is killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mapush.errors import EXIT_COMPLETE, MapushError
from mapush.job.folder import JobFolder
from mapush.job.requeue import shell_code
from mapush.job.trainer_process import (
    RESTART_COUNT,
    SignalRelay,
    run_trainer,
    trainer_environment,
)


def run_step(folder: str) -> None:
    """Run the trainer of a job's folder; leaves the process with its exit code unless that is 0.

    submitit's own handlers, which requeue by rules of their own, are replaced while it runs.
    """
    place = JobFolder(Path(folder))
    with SignalRelay() as relay:
        try:
            request = place.request()
            restart = int(os.environ.get(RESTART_COUNT) or 0)
            environment = trainer_environment(place, request, restart, gpu_devices=False)
            code = shell_code(run_trainer(request, environment, place.output, relay))
        except MapushError as error:
            print(f"mapush: {error}", file=sys.stderr, flush=True)  # noqa: T201
            code = error.exit_code
    if code != EXIT_COMPLETE:
        # Not an exception that submitit would catch: srun must see the trainer's own code.
        sys.exit(code)
