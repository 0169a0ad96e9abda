"""Python code in processes of its own, with a time limit.

A dead file server blocks a process beyond any signal; what touches the storage runs here, so that
such a process can be left behind.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import time
from typing import Any, Callable, List, Optional, Sequence, TypeVar

from mapush.errors import MapushError

_Result = TypeVar("_Result")
_CHUNK = 65536


class Overdue(MapushError):
    """Something did not end in time."""


class Died(MapushError):
    """A process ended without a result."""


class Child:
    """A copy of this process that does one thing and sends back the result.

    `os.fork` and not `multiprocessing`, which waits for its children at exit, however stuck.
    """

    def __init__(self, work: Callable[[], Any], leads: bool = False) -> None:
        """Start it.

        Args:
            work: What it does.
            leads: Whether it ends with all that it starts itself.
        """
        self._leads = leads
        self._pipe, there = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            if leads:
                os.setpgid(0, 0)
            _work(work, there)
        os.close(there)
        if leads:
            # Here too, since either of the two may be first.
            with contextlib.suppress(OSError):
                os.setpgid(self._pid, self._pid)

    def result(self, deadline: float) -> Any:  # noqa: ANN401
        """What the work returned; ends the process if that is not there in time.

        Args:
            deadline: By `time.monotonic`.

        Raises:
            Overdue: If it is not there in time.
            Died: If the process ended without one.
            OSError: If the work raised one.
            MapushError: If the work raised one.
        """
        data = bytearray()
        try:
            while True:
                left = max(deadline - time.monotonic(), 0.0)
                if not select.select([self._pipe], [], [], left)[0]:
                    raise Overdue("not done in time")
                chunk = os.read(self._pipe, _CHUNK)
                if not chunk:
                    break
                data += chunk
        finally:
            self.end()
        if not data:
            raise Died("a process ended without a result")
        result, error = pickle.loads(data)
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """Let nothing run on; what cannot be ended is left behind."""
        if self._pipe < 0:
            return
        os.close(self._pipe)
        self._pipe = -1
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if self._leads else os.kill)(self._pid, signal.SIGKILL)
        for _ in range(100):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._pid, os.WNOHANG)[0] == 0:
                    time.sleep(0.01)
                    continue
            return


def bounded(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Do something in a process of its own, within a time; raises as `Child.result` does."""
    return Child(work, leads=True).result(time.monotonic() + seconds)


def together(seconds: float, works: Sequence[Callable[[], _Result]]) -> List[_Result]:
    """Do several things at once, each in a process of its own; raises as `Child.result` does."""
    deadline = time.monotonic() + seconds
    children: List[Child] = []
    try:
        for work in works:
            children.append(Child(work))
        return [child.result(deadline) for child in children]
    finally:
        for child in children:
            child.end()


def _work(work: Callable[[], Any], there: int) -> None:
    """Never returns: this process is a copy and must not go on as the one it was copied from."""
    code = 1
    try:
        error: Optional[Exception] = None
        result = None
        try:
            result = work()
        except (OSError, MapushError) as caught:
            error = caught
        with os.fdopen(there, "wb") as pipe:
            pickle.dump((result, error), pipe)
        code = 0
    finally:
        os._exit(code)
