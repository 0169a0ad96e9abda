"""What a supervisor sees of its job's run: how far it is, and whether it is complete.

Looks at names and at two lines of run.yaml, which `mapush.runs.record` writes on lines of their
own: the node's Python has no YAML.
"""

import contextlib
import os
import re
from typing import List, Optional, Tuple

from mapush.checkpoint.names import step_of
from mapush.launch.node.folder import RUN_LINK, Folder, replace

_RECORD = "run.yaml"
_COMPLETE = "complete"
# What a trainer leaves that was stopped, killed, or refused by its storage.
_UNFINISHED = ("running", "preempted", "failed")
_CANCELLED = "cancelled"
_STATUS = re.compile(rb"^status: ['\"]?(\w+)['\"]?$", re.MULTILINE)
_LIVE = re.compile(rb"^live: ['\"]?([^'\"\n]+)['\"]?$", re.MULTILINE)


class Run:
    """The run of a job, as it lies on the disk now.

    Args:
        root: Holds `results/` and `log/`.
        folder: The job's.
    """

    def __init__(self, root: str, folder: Folder) -> None:
        self._root = root
        self._results = _results_of(root, folder)

    @property
    def step(self) -> int:
        """Environment steps of the newest checkpoint; 0 without one."""
        return max((step for place in self._places() for step in _steps(place)), default=0)

    @property
    def is_complete(self) -> bool:
        """Whether it has reached its end and lies in its results directory."""
        return self._status() == _COMPLETE

    def mark_cancelled(self) -> None:
        """Say in run.yaml that someone has ended the job, unless the run is complete.

        Raises:
            OSError: It cannot be written.
        """
        if self._status() not in _UNFINISHED:
            return
        for place in self._places():
            path = os.path.join(place, _RECORD)
            with contextlib.suppress(FileNotFoundError):
                data = _read(path)
                replace(path, _STATUS.sub(b"status: " + _CANCELLED.encode(), data, count=1))

    def _status(self) -> str:
        match = _STATUS.search(self._record())
        return match[1].decode("ascii", "replace") if match else ""

    def _record(self) -> bytes:
        if self._results is None:
            return b""
        with contextlib.suppress(OSError):
            return _read(os.path.join(self._results, _RECORD))
        return b""

    def _places(self) -> List[str]:
        """The results directory, and the live one as long as there is one."""
        if self._results is None:
            return []
        match = _LIVE.search(self._record())
        live = os.path.join(self._root, os.fsdecode(match[1])) if match else None
        return [self._results, *([live] if live and os.path.isdir(live) else [])]


def _results_of(root: str, folder: Folder) -> Optional[str]:
    """The run's results directory: where the trainer's link leads, else by the job's id."""
    link = folder.file(RUN_LINK)
    if os.path.isdir(link):
        return os.path.realpath(link)
    # A full disk may have kept the link from being made.
    wanted = re.compile(
        rb"^  job_id: ['\"]?" + re.escape(os.fsencode(folder.job_id)) + rb"['\"]?$", re.M
    )
    found: List[Tuple[float, str]] = []
    parent = os.path.join(root, "results")
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            path = os.path.join(parent, name, _RECORD)
            with contextlib.suppress(OSError):
                if wanted.search(_read(path)):
                    found.append((os.stat(path).st_mtime, os.path.join(parent, name)))
    return max(found)[1] if found else None


def _steps(place: str) -> List[int]:
    try:
        names = os.listdir(os.path.join(place, "checkpoints"))
    except OSError:
        return []
    return [step for step in map(step_of, names) if step is not None]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1000000)
