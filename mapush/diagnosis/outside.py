"""Commands of other programs: each has a time limit, and a failure is an answer too."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence, Tuple

from mapush.diagnosis.finding import one_line

_LEAVE = 5.0  # seconds that a command has to end after it was asked to


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    command: str
    code: Optional[int]
    """None if it could not be started or did not end in time."""
    out: str = ""
    err: str = ""
    trouble: str = ""
    """Why there is no exit code."""

    @property
    def is_good(self) -> bool:
        """Whether it did what it was asked to."""
        return self.code == 0

    @property
    def complaint(self) -> str:
        """Why it is not good, in one line."""
        said = one_line(self.err) or one_line(self.out) or f"exit code {self.code}"
        return f"{self.command}: {self.trouble or said}"


def ask(
    command: Sequence[str],
    seconds: float = 20.0,
    stdin: str = "",
    environment: Optional[Mapping[str, str]] = None,
) -> Answer:
    """Run a command and wait for its end, but no longer than `seconds`.

    Args:
        command: Its name and arguments.
        seconds: After these it is ended with all that it has started.
        stdin: What it reads.
        environment: Instead of this process's.
    """
    name = os.path.basename(command[0])  # noqa: PTH119 - a name, not a path
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environment is None else dict(environment),
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else str(error.strerror)
        return Answer(name, None, trouble=reason)
    try:
        out, err = process.communicate(stdin, seconds)
    except subprocess.TimeoutExpired:
        out, err = _end(process)
        return Answer(name, None, out, err, f"no answer in {seconds:.0f} s")
    except BaseException:
        _end(process)
        raise
    return Answer(name, process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> Tuple[str, str]:
    # First the polite way: a container's client then stops its container, and srun its job.
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_LEAVE)
    return "", ""
