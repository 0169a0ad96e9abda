"""A file of whole entries, appended to, which waits where the disk refuses one."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path
from typing import Deque

from mapush.files import storage_errors

_MOST_WAITING = 16_000_000  # bytes kept in memory for a disk that may take them again


class AppendFile:
    """Appends whole entries to a file, each by one write to the operating system.

    An entry that the storage refuses is cut off again, kept, and written before the next one.

    Args:
        path: the file; what is in it stays.

    Attributes:
        lost: entries given up because too many were waiting.
    """

    def __init__(self, path: Path) -> None:
        with storage_errors(path):
            self._file = path.open("ab", buffering=0)
        self._waiting: Deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self.lost = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the storage has refused what was last given."""
        return bool(self._waiting)

    def append(self, entry: bytes) -> None:
        """Write an entry, after those that are waiting; never raises for the storage's sake."""
        with self._lock:  # the thread that saves checkpoints has warnings of its own
            self._waiting.append(entry)
            self._waiting_bytes += len(entry)
            while self._waiting and self._written(self._waiting[0]):
                self._waiting_bytes -= len(self._waiting.popleft())
            while self._waiting_bytes > _MOST_WAITING:
                self._waiting_bytes -= len(self._waiting.popleft())
                self.lost += 1

    def close(self) -> None:
        """Close the file; what is still waiting is lost."""
        self._file.close()

    def _written(self, entry: bytes) -> bool:
        try:
            end = os.fstat(self._file.fileno()).st_size
            if os.write(self._file.fileno(), entry) == len(entry):
                return True
            os.ftruncate(self._file.fileno(), end)
        except OSError:
            # The checkpoints on the same storage say what is wrong with it, in the run's output.
            return False
        return False
