"""The trainer as a child process: start it, pass signals on, read its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Dict, List, Optional, Type

from mapush.errors import RequestError
from mapush.files import storage_errors
from mapush.job.folder import JobFolder
from mapush.job.request import JobRequest

JOB_ID = "MAPUSH_JOB_ID"
RESTART_COUNT = "MAPUSH_RESTART_COUNT"

RELAYED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class SignalRelay:
    """Passes every signal that reaches this process on to the trainer, once.

    A context manager for the main thread; the handlers from before come back at its end. Signals
    that come while no trainer runs reach the next one.
    """

    def __init__(self) -> None:
        self.received: List[int] = []
        """All signals so far, in order."""
        self._pending: List[int] = []
        self._trainer: Optional[subprocess.Popen[bytes]] = None
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> SignalRelay:
        for number in RELAYED:
            self._before[number] = signal.signal(number, self._relay)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self, trainer: subprocess.Popen[bytes]) -> None:
        """Send signals to this process from now on."""
        self._trainer = trainer
        self._send()

    def detach(self) -> None:
        """The trainer has ended."""
        self._trainer = None

    def _relay(self, number: int, frame: Optional[FrameType]) -> None:
        self.received.append(number)
        self._pending.append(number)
        self._send()

    def _send(self) -> None:
        # A handler can interrupt this loop, so a signal leaves the list before it is sent.
        while self._trainer is not None and self._pending:
            number = self._pending.pop(0)
            with contextlib.suppress(ProcessLookupError):
                self._trainer.send_signal(number)


def script_environment(request: JobRequest) -> Dict[str, str]:
    """What `job/enter.sh` and `job/batch.sh` go by, the same for every member of an array."""
    return {
        "MAPUSH_CODE": request.code,
        "MAPUSH_ROOT": request.root,
        "MAPUSH_GPUS": str(request.gpus),
        "MAPUSH_CONTAINER": request.container,
        "MAPUSH_RUNTIME": request.runtime,
        "MAPUSH_BINDS": "\n".join(request.binds),
        "PYTHON": request.python or sys.executable,
        "PYTHONPATH": request.code,
        "PYTHONUNBUFFERED": "1",
    }


def trainer_environment(
    place: JobFolder, request: JobRequest, restart: int, gpu_devices: bool = True
) -> Dict[str, str]:
    """The environment of a trainer.

    Args:
        place: The job's folder.
        request: What it asks for.
        restart: How often the job's trainer was started before.
        gpu_devices: Whether to say here which GPUs there are; on a cluster the scheduler does.
    """
    environment = {**os.environ, **script_environment(request)}
    environment.update(
        {
            JOB_ID: request.job_id,
            "MAPUSH_JOB_FOLDER": str(place.path),
            "MAPUSH_RUN_LINK": str(place.run_link),
            RESTART_COUNT: str(restart),
        }
    )
    if not gpu_devices:
        return environment
    if request.gpus and request.devices is None:
        environment.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        environment["CUDA_VISIBLE_DEVICES"] = (request.devices or "") if request.gpus else ""
    return environment


def run_trainer(
    request: JobRequest, environment: Dict[str, str], output: Path, relay: SignalRelay
) -> int:
    """Run the task's train.sh, bare or in the job's container, to its end.

    Args:
        request: What the job asks for; its arguments win over those in the script.
        environment: See `trainer_environment`.
        output: Takes what the trainer prints, at its end.
        relay: Passes signals on while the trainer runs.

    Returns:
        The exit code; for a trainer killed by a signal its negative number.

    Raises:
        RequestError: If there is no bash, or no snapshot to run.
        StorageError: If `output` cannot be written.
    """
    enter = Path(request.code) / "job" / "enter.sh"
    if not enter.is_file():
        raise RequestError(f"{enter}: is not there on {socket.gethostname()}; submit again")
    with storage_errors(output), output.open("ab") as log:
        try:
            trainer = subprocess.Popen(
                ["bash", str(enter), "bash", str(request.script), *request.arguments],
                cwd=request.code,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        except FileNotFoundError:
            raise RequestError("bash: not found, and train.sh needs it; install bash") from None
    relay.attach(trainer)
    try:
        return trainer.wait()
    finally:
        relay.detach()
