"""The runs of a root: all of them, those of a job, the one that a user names."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from mapush.errors import RequestError, StorageError
from mapush.files import (
    is_directory,
    list_directory,
    looked_at_again,
    quoted,
    read_file,
    status,
    storage_error,
    storage_errors,
)
from mapush.runs import record
from mapush.runs.directory import RunDirectory, run_at
from mapush.runs.record import RunRecord

# What lies where a record belongs is no record: not a fault of the moment.
_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)

_JOB_ID = re.compile(rb"(?<!slurm_)job_id:")

_log = logging.getLogger("mapush")


def runs(root: Path, warn: Callable[[str], None] = _log.warning) -> List[RunDirectory]:
    """Every run of a root, in order of start; one with an unreadable run.yaml is warned about.

    Raises:
        StorageError: If `results/` cannot be listed.
    """
    return [run for run, _ in _recorded(root, lambda _: True, warn)]


def find_by_job(
    root: Path, job_id: str, warn: Callable[[str], None] = _log.warning
) -> Optional[RunDirectory]:
    """The run that a job owns, whatever its status; the one started last if there are several.

    Raises:
        StorageError: As for `runs_of_job`.
    """
    owned = runs_of_job(root, job_id, warn)
    return owned[-1][0] if owned else None


def runs_of_job(
    root: Path, job_id: str, warn: Callable[[str], None] = _log.warning
) -> List[Tuple[RunDirectory, RunRecord]]:
    """The runs that a job owns with their records, whatever their status, in order of start.

    Where a record in `results/` is damaged, the copy in the live directory is looked for.

    Raises:
        StorageError: If `results/` cannot be listed, or a record of this user cannot be read just
            now: it may be the job's, and a job must not begin again what it can resume.
    """
    if not job_id:
        return []
    damaged: List[str] = []
    wanted = job_id.encode("utf-8", "surrogateescape")

    def may_be_owned(path: Path) -> bool:
        # Parsing a thousand records takes seconds, which a restarted job does not have.
        text = read_file(path)
        return wanted in text or _JOB_ID.search(text) is None

    found = _recorded(root, may_be_owned, damaged.append, of_this_user=True)
    for text in damaged:
        warn(text)
    if damaged:
        listed = {run.results for run, _ in found}
        found += [item for item in _recorded_live(root) if item[0].results not in listed]
    owned = [(run, known) for run, known in found if known.owner.job_id == job_id]
    return sorted(owned, key=lambda item: _moment(item[1].started))


def open_run(root: Path, text: str) -> RunDirectory:
    """The run that a user names by its results directory, its live directory or its bare name.

    The id of the job that trains it or did so last, ours or SLURM's, is a name too; the run that
    was started last counts.

    Raises:
        RequestError: If there is no such run; the message lists those there are.
        StorageError: If the storage does not tell.
    """
    for directory in (Path(text), root / "results" / text):
        if _is_there(directory / record.FILE_NAME):
            return run_at(root, directory)
    owned = _owned(root, text)
    if owned is not None:
        return owned
    known = [run.name for run in runs(root)]
    there = f"there are {', '.join(known)}" if known else f"there are none in {root / 'results'}"
    raise RequestError(
        f"{quoted(text)}: is no run (a directory with a {record.FILE_NAME}); {there}"
    )


def strangers(root: Path) -> Tuple[List[str], List[str]]:
    """Names in `results/` of directories without a run.yaml: the empty ones and the others.

    Raises:
        StorageError: If one cannot be looked into.
    """
    empty: List[str] = []
    foreign: List[str] = []
    for path in _directories(root / "results"):
        with storage_errors(path):
            if not (path / record.FILE_NAME).exists():
                (foreign if any(path.iterdir()) else empty).append(path.name)
    return empty, foreign


def _is_there(path: Path) -> bool:
    """Whether a file lies there; nothing does under a name that the system does not allow."""
    try:
        return status(path) is not None
    except ValueError:
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise storage_error(error, path) from error


def _owned(root: Path, job_id: str) -> Optional[RunDirectory]:
    """The last run of a job by its id or by SLURM's, which may come round again."""
    wanted = job_id.encode("utf-8", "surrogateescape")

    def may_be_owned(path: Path) -> bool:
        return wanted in read_file(path)

    def unsaid(_: str) -> None:
        """Records that cannot be read are named where all runs are listed."""

    found = _recorded(root, may_be_owned, unsaid) if job_id else []
    for name in ("job_id", "slurm_job_id"):
        for run, known in reversed(found):
            if getattr(known.owner, name) == job_id:
                return run
    return None


def _recorded(
    root: Path,
    wanted: Callable[[Path], bool],
    warn: Callable[[str], None],
    of_this_user: bool = False,
) -> List[Tuple[RunDirectory, RunRecord]]:
    found = []
    for results in _directories(root / "results"):
        path = results / record.FILE_NAME
        try:
            # Without a record, its reservation was killed in the middle or it is no run of ours.
            if status(path) is not None and wanted(path):
                run = run_at(root, results)
                known = run.read()
                found.append((_moment(known.started), run.name, run, known))
        except (OSError, RequestError) as error:
            fault = error if isinstance(error, OSError) else error.__cause__
            passing = isinstance(fault, OSError) and fault.errno not in _DAMAGE
            if passing and of_this_user and _is_ours(results):
                raise StorageError(
                    f"{path}: cannot be read ({error}); this job may have begun that run, so "
                    "start again when it can"
                ) from error
            warn(f"a run is left out: {error}")
    found.sort(key=lambda item: item[:2])
    return [(run, known) for _, _, run, known in found]


def _recorded_live(root: Path) -> List[Tuple[RunDirectory, RunRecord]]:
    """The runs still in their live directories by their records there, as far as readable."""
    found = []
    for path in sorted((root / "log" / "MQE").glob(f"*/*/{record.FILE_NAME}")):
        with contextlib.suppress(RequestError):
            known = record.read(path)
            _moment(known.started)
            if root / known.live == path.parent and is_directory(root / known.results):
                found.append((RunDirectory(root, path.parent, root / known.results), known))
    return found


def _is_ours(directory: Path) -> bool:
    """Whether this user has made a directory; in a shared root others may keep theirs closed."""
    try:
        return looked_at_again(directory.stat).st_uid == os.geteuid()
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _moment(started: str) -> datetime:
    try:
        return datetime.fromisoformat(started).astimezone()
    except ValueError:
        raise RequestError(f"started is {started[:40]!r}, no ISO time; fix it by hand") from None


def _directories(parent: Path) -> List[Path]:
    try:
        names = sorted(name for name in list_directory(parent) if name[:1] != ".")
        return [parent / name for name in names if is_directory(parent / name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, parent) from error
