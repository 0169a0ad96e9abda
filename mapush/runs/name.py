"""From the time of a start and an experiment to directory names. Pure: nothing is looked up."""

from __future__ import annotations

import itertools
import os
import re
from datetime import datetime, timedelta
from typing import Iterator

from mapush.errors import RequestError
from mapush.files import quoted

_PLAIN = re.compile(r"\w[\w.-]{0,99}")
# A file system's names have up to 255, of which the time, a suffix and hidden names take 40.
_BYTES = 200


def check_plain(option: str, name: str) -> str:
    """Return a name that is safe as one part of a path.

    Raises:
        RequestError: If it is anything else.
    """
    if not _PLAIN.fullmatch(name):
        raise RequestError(
            f"{option} {quoted(name)}: is no plain folder name; use up to 100 letters, digits, "
            "'_', '-' and '.', beginning with a letter or digit"
        )
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        raise RequestError(
            f"{option} {quoted(name)}: cannot be written in the file system's encoding; "
            "set LC_ALL=C.UTF-8 or use other letters"
        ) from None
    if size > _BYTES:
        raise RequestError(
            f"{option} {quoted(name)}: has {size} bytes and at most {_BYTES} leave room for what "
            "is put around it; use a shorter name"
        )
    return name


def candidates(start: datetime, exp: str) -> Iterator[str]:
    """Names for a results directory, best first, without end.

    `<MM-DD-HH>_<exp>`, then `<MM-DD-HH>_<exp>_<MM-SS>` with minute and second of the start, then
    of each second after it.

    Args:
        start: Local time of the start; its own hour and minute are used whatever its UTC offset.
        exp: The experiment, a plain folder name.

    Raises:
        RequestError: If `exp` is no plain folder name.
    """
    check_plain("--exp", exp)
    return itertools.chain([f"{start:%m-%d-%H}_{exp}"], _with_seconds(start, exp))


def live_candidates(start: datetime) -> Iterator[str]:
    """Names for a live directory, `<YYYY_MM_DD_HH_MM_SS>` of the start and each second after it."""
    return (f"{moment:%Y_%m_%d_%H_%M_%S}" for moment in _seconds_from(start))


def _with_seconds(start: datetime, exp: str) -> Iterator[str]:
    return (f"{moment:%m-%d-%H}_{exp}_{moment:%M-%S}" for moment in _seconds_from(start))


def _seconds_from(start: datetime) -> Iterator[datetime]:
    return (start + timedelta(seconds=seconds) for seconds in itertools.count())
