"""The few exceptions that become one line on stderr and an exit code."""

import contextlib
import difflib
import itertools
import os
import sys
import traceback
from types import FrameType
from typing import Callable, Iterable, Optional

EXIT_COMPLETE = 0
EXIT_FAILURE = 1
EXIT_BAD_REQUEST = 2
EXIT_RUN_AGAIN = 75  # EX_TEMPFAIL: stopped early with a durable checkpoint

_PACKAGE = __name__.partition(".")[0]


class MapushError(Exception):
    """What ends a command; its text is one line that says what is wrong and the fix."""

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


def nearest(word: str, known: Iterable[str]) -> Optional[str]:
    """The known name that a misspelt one most likely means; `-` and `_` are the same letter."""
    plain = {_plain(each): each for each in reversed(list(known))}
    close = difflib.get_close_matches(_plain(word[:100]), plain, n=1)
    return plain[close[0]] if close else None


def there_are(word: str, known: Iterable[str]) -> str:
    """For a message about an unknown name: the one that is likely meant, and all there are."""
    names = list(known)
    close = nearest(word, names)
    return f"{f'did you mean {close}? ' if close else ''}there are: {', '.join(names) or 'none'}"


def _plain(word: str) -> str:
    return word.lstrip("-").replace("_", "-").lower()


def exit_with(main: Callable[[], int]) -> None:
    """Run a command and leave the process with its exit code.

    A `MapushError` and a package of others that cannot be imported are printed as one line on
    stderr; anything else is a defect and keeps its traceback.
    """
    try:
        code = main()
    except MapushError as error:
        _complain(str(error))
        code = error.exit_code
    except (ImportError, OSError) as error:
        package = _not_imported(error)
        if package is None:
            raise
        _complain(_why_not_imported(package, error))
        code = EXIT_BAD_REQUEST
    _give_up_unwritten()
    sys.exit(code)


def _not_imported(error: Exception) -> Optional[str]:
    """The package that an error has kept from being imported; None if there is none or it is ours.

    Raisers of `ImportError` need not name a package, and `ctypes` raises a plain `OSError` for a
    shared library that is missing.
    """
    name = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ImportError) and name:
        return None if name == _PACKAGE else name
    if isinstance(error, OSError) and error.errno is not None:
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = (_PACKAGE, "__main__")
    beyond = list(itertools.takewhile(lambda each: _module(each) not in ours, reversed(frames)))
    # The outermost module that was being executed is what mapush has asked for.
    imported = [_module(frame) for frame in beyond if frame.f_code.co_name == "<module>"]
    if imported:
        return imported[-1]
    return _module(beyond[0]) if beyond and isinstance(error, ImportError) else None


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _why_not_imported(package: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"the Python package {package!r} is not installed for {sys.executable}; "
            "use the project's own: . .venv/bin/activate (make setup makes it)"
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"the Python package {package!r} cannot be imported by {sys.executable} ({reason:.300}); "
        "install what is missing, or make the project's own environment again: make clean setup"
    )


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
