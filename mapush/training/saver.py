"""Saves checkpoints beside the training, one at a time, and measures what that holds up."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from mapush.checkpoint.store import CheckpointStore


class Saver:
    """Hands update boundaries to a store on a thread of its own.

    The state given must not change any more. A save that failed raises at the next call, so no
    fault of the storage goes unseen for longer than one checkpoint.
    """

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Optional[Future[Path]] = None
        self.stalls: List[float] = []
        self.saved_step: Optional[int] = None
        self._pending_step: Optional[int] = None

    def save(self, state: Mapping[str, Any], evaluation: Optional[Dict[str, float]] = None) -> None:
        """Begin to save; waits for the save before it.

        Raises:
            StorageError: the save before this one failed.
        """
        begun = time.perf_counter()
        self.wait()
        self._pending_step = state["training_step"]
        self._pending = self._thread.submit(self._store.save, state, evaluation)
        self.stalls.append(time.perf_counter() - begun)

    def wait(self) -> None:
        """Return when everything given is durable.

        Raises:
            StorageError: it could not be saved.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
            self.saved_step = self._pending_step

    def close(self) -> None:
        """Stop the thread once the save in hand is through."""
        self._thread.shutdown(wait=True)
