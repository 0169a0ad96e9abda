"""The few exceptions that become one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Callable

EXIT_COMPLETE = 0
EXIT_FAILURE = 1
EXIT_BAD_REQUEST = 2
EXIT_RUN_AGAIN = 75  # EX_TEMPFAIL: stopped early with a durable checkpoint


class MapushError(Exception):
    """What mapush cannot go on from; its text is one line that says what and how to mend it."""

    exit_code = EXIT_FAILURE


class RequestError(MapushError):
    """What was asked for is wrong: an unknown experiment, a value out of range."""

    exit_code = EXIT_BAD_REQUEST


class TaskError(RequestError):
    """A task file cannot be read or holds a value that is not allowed."""


class CheckpointError(RequestError):
    """A checkpoint is missing, damaged, hostile or made for another task."""


class StorageError(RequestError):
    """A directory cannot be written, or the disk is full."""


class OwnershipError(RequestError):
    """Another live process trains this run."""


class LostRunError(MapushError):
    """This process trained a run that another process has taken over."""


def exit_with(main: Callable[[], int]) -> None:
    """Run a command and leave the process with its exit code.

    A `MapushError` and a package that is not installed are printed as one line on stderr; anything
    else is a defect and keeps its traceback.
    """
    try:
        code = main()
    except MapushError as error:
        _complain(str(error))
        code = error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "mapush":
            raise
        _complain(
            f"the Python package {error.name!r} is not installed for {sys.executable}; "
            "use the project's own: . .venv/bin/activate (make setup makes it)"
        )
        code = EXIT_BAD_REQUEST
    _give_up_unwritten()
    sys.exit(code)


def _complain(line: str) -> None:
    # The log of a job may lie on the very disk that is full.
    with contextlib.suppress(OSError):
        print(f"mapush: {line}", file=sys.stderr, flush=True)  # noqa: T201


def _give_up_unwritten() -> None:
    """Let output that nobody takes any more change no exit code: Python would make it 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
