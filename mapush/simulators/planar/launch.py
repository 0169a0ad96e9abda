"""Launches a kernel over all environments: on a GPU at once, on a CPU on every core.

An environment's result depends on no other one, so neither does it on how they are shared out.
"""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, List, Optional, Sequence

import torch
import warp as wp

from mapush.cores import usable_cores

SMALLEST = 32  # environments that are worth a thread of their own
SHARES = 4  # for every thread, so that a slow share does not keep the others waiting


class Launcher:
    """A kernel whose last parameter is the first environment of a launch.

    Args:
        kernel: what is launched.
        num_envs: how many rows.
        parameters: its others, in order.
        device: Warp's name of where.
        threads: on a CPU; 0 for one for each core.
    """

    def __init__(
        self,
        kernel: Any,  # noqa: ANN401 - a Warp kernel
        num_envs: int,
        parameters: Sequence[Any],
        device: str,
        threads: int = 0,
    ) -> None:
        self._is_cuda = device != "cpu"
        threads = 1 if self._is_cuda else threads or usable_cores()
        parts = 1 if threads == 1 else min(SHARES * threads, max(num_envs // SMALLEST, 1))
        edges = [part * num_envs // parts for part in range(parts + 1)]
        self._launches: List[Any] = [
            wp.launch(
                kernel,
                dim=end - begin,
                inputs=[*parameters, begin],
                device=device,
                record_cmd=True,
            )
            for begin, end in zip(edges, edges[1:])
        ]
        self._threads = min(threads, parts)
        self._pool: Optional[ThreadPoolExecutor] = None

    def set(self, place: int, value: Any) -> None:  # noqa: ANN401 - as Warp takes it
        """Change a plain parameter."""
        for launch in self._launches:
            launch.set_param_at_index(place, value)

    def run(self) -> None:
        """Launch, and on a CPU wait for the end."""
        if self._is_cuda:
            stream = wp.stream_from_torch(torch.cuda.current_stream())
            for launch in self._launches:
                launch.launch(stream)
        elif self._threads == 1:
            for launch in self._launches:
                launch.launch()
        else:
            self._share_out()

    def _share_out(self) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads - 1, "mapush-planar")
        # A list's pop is atomic, so each launch goes to one thread.
        waiting = self._launches[::-1]
        helpers = [self._pool.submit(_work, waiting) for _ in range(self._threads - 1)]
        _work(waiting)
        for helper in helpers:
            helper.result()

    def close(self) -> None:
        """End its threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _work(waiting: List[Any]) -> None:
    while True:
        try:
            launch = waiting.pop()
        except IndexError:
            return
        launch.launch()
