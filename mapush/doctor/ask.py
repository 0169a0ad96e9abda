"""Runs other programs: each has a time limit, and a failure is an answer too.

Python 3.6 and the standard library only: a compute node's own Python runs it.
"""

import contextlib
import os
import signal
import subprocess
from typing import List, Mapping, NamedTuple, Optional, Sequence

_LEAVE = 5.0  # seconds that a program has to end after it was asked to


class Answer(NamedTuple):
    """How a program ended."""

    name: str
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
        return f"{self.name}: {self.trouble or said}"


def ask(
    words: Sequence[str],
    seconds: float = 20.0,
    environment: Optional[Mapping[str, str]] = None,
    directory: Optional[str] = None,
) -> Answer:
    """Run a program and wait for its end.

    Args:
        words: Its name and arguments.
        seconds: After these it is ended with all that it has started.
        environment: Instead of this process's.
        directory: Its working directory.
    """
    name = os.path.basename(words[0])  # noqa: PTH119 - a name, not a path
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environment is None else dict(environment),
            cwd=directory,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return Answer(name, None, trouble="not found" if missing else str(error.strerror))
    trouble = ""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        trouble = f"no answer in {seconds:.0f} s"
        out, err = _end(process)
    except BaseException:
        _end(process)
        raise
    return Answer(name, None if trouble else process.returncode, out, err, trouble)


def one_line(text: str, length: int = 300) -> str:
    """What a program or a file says, fit to be printed."""
    words = "".join(each if each.isprintable() else " " for each in text).split()
    return " ".join(words)[:length]


def _end(process: "subprocess.Popen[str]") -> List[str]:
    # First the polite way: a container's client then stops its container, and srun its job.
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return list(process.communicate(timeout=_LEAVE))
    return ["", ""]
