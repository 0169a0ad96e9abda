"""Signals as events that are waited for, so that whatever they ask for is done in order."""

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import Callable, Dict, List, Sequence

STOPPING = (signal.SIGTERM, signal.SIGINT)
"""Ask a job that no scheduler runs to end. The user signals are what schedulers send before they
take a machine away, and such a job still has it: its trainer starts again."""
Child = subprocess.Popen
RELAYED = (*STOPPING, signal.SIGUSR1, signal.SIGUSR2)


class Signals:
    """Collects the signals that reach this process, from the moment it is made, for its whole life.

    Children get the default handlers back, whatever this process has inherited.
    """

    def __init__(self) -> None:
        self.seen: List[int] = []
        self._pending: List[int] = []
        self._pipe, there = os.pipe()
        for end in (self._pipe, there):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(there)
        for number in (*RELAYED, signal.SIGCHLD):
            signal.signal(number, _nothing)

    def collect(self, seconds: float) -> None:
        """Wait for a signal or a child's end, but no longer than so many seconds."""
        select.select([self._pipe], [], [], max(seconds, 0.0))
        with contextlib.suppress(BlockingIOError):
            found = [number for number in os.read(self._pipe, 4096) if number in RELAYED]
            self.seen += found
            self._pending += found

    def take(self) -> List[int]:
        """The signals that nobody has taken yet, in order."""
        found, self._pending = self._pending, []
        return found

    def sleep(self, seconds: float, until: Sequence[int] = ()) -> None:
        """Wait so many seconds, or until one of some signals has ever come; none is taken."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not set(until) & set(self.seen):
            self.collect(deadline - time.monotonic())


def start(words: List[str], environment: Dict[str, str], directory: str) -> Child:
    """Start a command.

    Raises:
        OSError: There is no such command or directory.
    """
    return subprocess.Popen(words, env=environment, cwd=directory, stdin=subprocess.DEVNULL)


def end_of(child: Child, signals: Signals, pass_on: Callable[[int, Child], None]) -> int:
    """Wait for a child's end, passing signals on meanwhile; its exit code as `Popen` gives it."""
    while True:
        code = child.poll()
        if code is not None:
            return code
        for number in signals.take():
            pass_on(number, child)
        signals.collect(1.0)


def _nothing(number: int, frame: object) -> None:
    """The wakeup pipe has the number already."""
