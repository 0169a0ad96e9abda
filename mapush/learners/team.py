"""Pieces of one computation on several threads."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from queue import SimpleQueue
from typing import Callable, Deque, Iterator, List, Optional, Sequence, Tuple

import torch

# Beyond so many, threads wait for the interpreter's lock more than they compute.
MOST_THREADS = 8

_Piece = Callable[[], None]
# Pieces that nobody has begun, and what became of those that are done: nothing, or an exception.
_Job = Tuple[Deque[_Piece], "SimpleQueue[Optional[BaseException]]"]


class Team:
    """The calling thread and some more, which run pieces of work side by side.

    Torch's own threads are no use here: how they split a sum depends on how many there are, and
    small operations are not worth their waking.

    Args:
        threads: how many there are, with the caller's; no more than `MOST_THREADS` are used.
    """

    def __init__(self, threads: int) -> None:
        self._inboxes: List[SimpleQueue[Optional[_Job]]] = []
        for _ in range(min(threads, MOST_THREADS) - 1):
            inbox: SimpleQueue[Optional[_Job]] = SimpleQueue()
            threading.Thread(target=_help, args=(inbox,), name="learner", daemon=True).start()
            self._inboxes.append(inbox)
        weakref.finalize(self, _dismiss, self._inboxes)

    def run(self, pieces: Sequence[_Piece]) -> None:
        """Run all of the pieces, begun in their order; an exception of one is raised."""
        job: _Job = deque(pieces), SimpleQueue()
        for inbox in self._inboxes[: len(pieces) - 1]:
            inbox.put(job)
        _work(job)
        # Not for the helpers: one that has not woken has nothing left to do.
        errors = [job[1].get() for _ in pieces]
        for error in errors:
            if error is not None:
                raise error


def _help(inbox: SimpleQueue[Optional[_Job]]) -> None:
    torch.set_num_threads(1)  # this thread's own, which begins when first asked for
    torch.get_num_threads()
    while True:
        job = inbox.get()
        if job is None:
            return
        _work(job)
        del job  # or its tensors stay until the next


@torch.no_grad()
def _work(job: _Job) -> None:
    pieces, done = job
    while True:
        try:
            piece = pieces.popleft()
        except IndexError:
            return
        error: Optional[BaseException] = None
        try:
            piece()
        except BaseException as caught:  # noqa: BLE001 - raised where all are awaited
            error = caught
        done.put(error)


def _dismiss(inboxes: Sequence[SimpleQueue[Optional[_Job]]]) -> None:
    for inbox in inboxes:
        inbox.put(None)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one thread in the calling thread, whatever was set for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
