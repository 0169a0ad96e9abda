"""The real training command, in a process of its own: its speed, its memory, its time's parts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from benchmarks import old_commit
from benchmarks.contender import Contender, failure
from mapush.runs import metrics

PARTS = ("simulate", "act", "update", "save", "evaluate")
SUCCESS = 0.80
"""The success rate that the time to it is measured for."""
_POLL = 1.0  # s; often would take time from what is measured


@dataclass(frozen=True)
class Training:
    """What a training recorded.

    Attributes:
        updates: of every update, `steps` done, `steps_per_second`, `stall_ms` and `seconds_<part>`.
            Saving and evaluating count with the update after them.
        evaluations: of every evaluation, steps done and success rate.
        wall: seconds from the start of the process to its end.
        memory: most memory it has used, GB.
    """

    updates: List[Dict[str, float]]
    evaluations: List[Tuple[int, float]]
    wall: float = 0.0
    memory: float = 0.0

    @property
    def steps(self) -> float:
        """Environment steps after the first update."""
        return self.updates[-1]["steps"] - self.updates[0]["steps"]

    @property
    def seconds(self) -> float:
        """Time they took."""
        return sum(self._laps()[1:])

    @property
    def speed(self) -> float:
        """Environment steps/s after the first update, checkpoints included."""
        return self.steps / self.seconds

    def spent(self, part: str) -> float:
        """Seconds of them spent on one of PARTS."""
        return sum(update[f"seconds_{part}"] for update in self.updates[1:])

    def steps_to(self, rate: float) -> Optional[int]:
        """Environment steps after which an evaluation first found `rate`; None if none did."""
        return next((step for step, found in self.evaluations if found >= rate), None)

    def seconds_to(self, rate: float) -> Optional[float]:
        """Seconds of training until an evaluation found `rate`, evaluating not counted.

        Counted from the first environment step; None if no evaluation did.
        """
        reached = self.steps_to(rate)
        if reached is None:
            return None
        return sum(
            lap - update["seconds_evaluate"]
            for lap, update in zip(self._laps(), self.updates)
            if update["steps"] <= reached
        )

    def _laps(self) -> List[float]:
        before = [0.0, *(update["steps"] for update in self.updates)]
        return [
            (update["steps"] - since) / update["steps_per_second"]
            for since, update in zip(before, self.updates)
        ]


def train(
    contender: Contender,
    exp: str,
    options: List[str],
    is_enough: Optional[Callable[[Training], bool]] = None,
) -> Training:
    """Train with checkpoints on disk.

    Args:
        contender: who.
        exp: the task.
        options: further options of `mapush.train`.
        is_enough: asked now and then of what is recorded so far; True stops the training.

    Raises:
        RequestError: the training failed.
    """
    with tempfile.TemporaryDirectory(prefix="mapush-throughput-") as folder:
        root, stopped = Path(folder), False
        with (root / "stderr").open("w+", encoding="utf-8") as stderr:
            begun = time.perf_counter()
            process = subprocess.Popen(
                contender.train(exp, root, *options),
                cwd=contender.tree,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
            try:
                while is_enough is not None and not stopped and _lives(process.pid):
                    time.sleep(_POLL)
                    with contextlib.suppress(FileNotFoundError):  # the run is moved at its end
                        stopped = is_enough(_read(root))
                    if stopped:
                        process.send_signal(signal.SIGTERM)
                # Says how much memory this process alone has used.
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                process.wait()
                raise
            wall = time.perf_counter() - begun
            process.returncode = status
            if status and not stopped:
                stderr.seek(0)
                raise failure(contender, "mapush.train", stderr.read())
        found = _read(root)
    return Training(found.updates, found.evaluations, wall, usage.ru_maxrss / 1e6)


def _lives(pid: int) -> bool:
    """Whether a child runs, without taking its exit status from `os.wait4`."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _read(root: Path) -> Training:
    """What the one run under `root` has recorded, while it trains and after."""
    for path in root.rglob(metrics.FILE_NAME):
        recorded = list(metrics.entries(path))
        return Training(
            [
                {"steps": each["step"], **each["speed"], **each["checkpoint"]}
                for each in recorded
                if each["kind"] == metrics.UPDATE
            ],
            [
                (each["step"], each["evaluation"]["success_rate"])
                for each in recorded
                if each["kind"] == metrics.EVALUATION
            ],
        )
    for path in root.rglob(old_commit.LOG):
        return Training(*old_commit.read_log(path))
    return Training([], [])
