"""Pieces of one computation on several threads."""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Callable, Deque, Iterator, Optional, Sequence

import torch

# Beyond so many, threads wait for the interpreter's lock more than they compute.
MOST_THREADS = 8


class Team:
    """The calling thread and some more, which run pieces of work side by side.

    Torch's own threads are no use here: how they split a sum depends on how many there are, and
    small operations are not worth their waking.

    Args:
        threads: how many there are, with the caller's; no more than `MOST_THREADS` are used.
    """

    def __init__(self, threads: int) -> None:
        self._helpers = min(threads, MOST_THREADS) - 1
        self._pool: Optional[ThreadPoolExecutor] = None
        if self._helpers > 0:
            # How many threads torch uses is a matter of each thread.
            self._pool = ThreadPoolExecutor(
                self._helpers, "learner", initializer=partial(torch.set_num_threads, 1)
            )

    def run(self, pieces: Sequence[Callable[[], None]]) -> None:
        """Run all of the pieces, begun in their order; an exception of one is raised."""
        queue = deque(pieces)
        helpers = min(self._helpers, len(pieces) - 1)
        if self._pool is None or helpers < 1:
            _work(queue)
            return
        futures = [self._pool.submit(_work, queue) for _ in range(helpers)]
        try:
            _work(queue)
        finally:
            for future in futures:
                # One that has not begun has nothing left to do.
                if not future.cancel():
                    future.result()


@torch.no_grad()
def _work(queue: Deque[Callable[[], None]]) -> None:
    while True:
        try:
            piece = queue.popleft()
        except IndexError:
            return
        piece()


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one thread in the calling thread, whatever was set for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
