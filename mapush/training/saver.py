"""Saves checkpoints beside the training, one at a time, and knows what is durable."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from mapush.checkpoint.store import CheckpointStore
from mapush.errors import StorageError


class Saver:
    """Hands update boundaries to a store on a thread of its own.

    A save that the storage refused is no reason to throw training away: it is kept in `failure`
    until a later one succeeds, and the caller says how long to go on like that.

    Args:
        store: takes the checkpoints.
        durable_step: environment steps of the newest checkpoint there is.
    """

    def __init__(self, store: CheckpointStore, durable_step: int) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Optional[Future[Path]] = None
        self._pending_step = durable_step
        self.durable_step = durable_step
        self.failure: Optional[StorageError] = None

    def save(self, state: Mapping[str, Any], evaluation: Optional[Dict[str, float]] = None) -> None:
        """Begin to save a state that does not change any more; waits for the save before it."""
        self.settle()
        self._pending_step = state["training_step"]
        self._pending = self._thread.submit(self._store.save, state, evaluation)

    def settle(self) -> None:
        """Wait for the save in hand; what became of it is in `durable_step` and `failure`."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result()
        except StorageError as error:
            self.failure = error
        else:
            self.durable_step, self.failure = self._pending_step, None

    def ensure(self, state: Mapping[str, Any]) -> None:
        """Return when a state is durable, whether or not it was given before.

        Raises:
            StorageError: it cannot be saved.
        """
        self.settle()
        if self.durable_step != state["training_step"]:
            self.save(state)
            self.settle()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Stop the thread once the save in hand is through."""
        self._thread.shutdown(wait=True)
