"""The few exceptions that become one line on stderr and an exit code."""

from __future__ import annotations

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
        print(f"mapush: {error}", file=sys.stderr)  # noqa: T201
        code = error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "mapush":
            raise
        print(  # noqa: T201
            f"mapush: the Python package {error.name!r} is not installed for {sys.executable}; "
            "use the project's own: . .venv/bin/activate (make setup makes it)",
            file=sys.stderr,
        )
        code = EXIT_BAD_REQUEST
    sys.exit(code)
