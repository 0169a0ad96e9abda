"""Signals become a flag that is looked at between two pieces of work.

Without torch: a trainer enters the flag before it imports anything that takes seconds, since a
signal that comes before that kills it.
"""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import Any, Dict, Optional, Type

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


class Interrupted(Exception):
    """Raised between two pieces of work after a signal has come in.

    Args:
        name: The signal's.
        moment: When it came in, in seconds since the epoch.
    """

    def __init__(self, name: str, moment: float) -> None:
        super().__init__(f"interrupted by {name}")
        self.signal = name
        self.moment = moment


class SignalFlag:
    """While entered, the signals that mean "stop soon" only set a flag.

    Must be entered in the main thread, which Python delivers signals to.
    """

    def __init__(self) -> None:
        self.name: Optional[str] = None
        self._moment = 0.0
        self._previous: Dict[signal.Signals, Any] = {}

    def __enter__(self) -> SignalFlag:
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Leave the work in hand if a signal has come in.

        Raises:
            Interrupted: it has; the first one is named.
        """
        if self.name is not None:
            raise Interrupted(self.name, self._moment)

    def _note(self, number: int, frame: Optional[FrameType]) -> None:
        if self.name is None:
            self._moment = time.time()
            self.name = signal.Signals(number).name
