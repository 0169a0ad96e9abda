"""The trainer as a child process: start it, pass signals on, read its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Dict, List, Optional, Sequence, Type

from mapush.errors import RequestError
from mapush.files import storage_errors

JOB_ID = "MAPUSH_JOB_ID"

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


def trainer_environment(job_id: str, gpus: int, devices: Optional[str]) -> Dict[str, str]:
    """The environment of a trainer.

    Args:
        job_id: By it a restarted trainer finds its run.
        gpus: How many GPUs it may use.
        devices: `CUDA_VISIBLE_DEVICES` where the job was submitted; None if it was not set.
    """
    environment = {**os.environ, JOB_ID: job_id, "PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
    if gpus and devices is None:
        environment.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        environment["CUDA_VISIBLE_DEVICES"] = (devices or "") if gpus else ""
    return environment


def run_trainer(
    script: Path,
    arguments: Sequence[str],
    environment: Dict[str, str],
    output: Path,
    relay: SignalRelay,
) -> int:
    """Run `bash <script> <arguments>` to its end.

    Args:
        script: A task's train.sh.
        arguments: Options of the trainer, which win over those in the script.
        environment: See `trainer_environment`.
        output: Takes what the trainer prints, at its end.
        relay: Passes signals on while the trainer runs.

    Returns:
        The exit code; for a trainer killed by a signal its negative number.

    Raises:
        RequestError: If there is no bash.
        StorageError: If `output` cannot be written.
    """
    with storage_errors(output), output.open("ab") as log:
        try:
            trainer = subprocess.Popen(
                ["bash", str(script), *arguments],
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
