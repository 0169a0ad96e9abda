"""What a run says while it trains: log.txt, TensorBoard, and a progress bar or plain lines."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Dict, Mapping, Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mapush.files import storage_errors
from mapush.training.events import ScalarWriter, drop_after
from mapush.training.journal import Journal

_INDENT = " " * 25
_PLAIN_SECONDS = 5.0  # between two lines where there is no terminal


def say(line: str) -> None:
    """One line on the screen, at once; a screen that is gone, or a full disk, stops nothing."""
    with contextlib.suppress(OSError):
        print(line, flush=True)  # noqa: T201


def show_any_letter() -> None:
    """Let a screen whose encoding lacks a letter show its number, and not end the training."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class RunLog:
    """Writes one run's log; a restarted run goes on in the same files.

    Args:
        log_file: log.txt, appended to.
        tensorboard: directory of the event files; None for none.
        total: environment steps to reach.
        updates: updates to reach, for the log's counts.
        since: environment steps done; later points in the event files are dropped, since they are
            about to be written again.
    """

    def __init__(
        self, log_file: Path, tensorboard: Optional[Path], total: int, updates: int, since: int = 0
    ) -> None:
        self._journal = Journal(log_file)
        if _is_torn(log_file):
            self._journal.append(b"\n")
        self._scalars: Optional[ScalarWriter] = None
        if tensorboard is not None:
            drop_after(tensorboard, since)
            self._scalars = ScalarWriter(tensorboard)
        self._total = total
        self._updates = updates
        self._next_line = 0.0
        self._console = Console(file=sys.stdout)
        self._bar: Optional[Progress] = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[speed]}"),
                TextColumn("{task.fields[success]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task(
                "training", total=total, completed=since, speed="", success=""
            )
            self._bar.start()

    def say(self, text: str) -> None:
        """One line in log.txt and on the screen."""
        self._entry("INFO", text, {})
        self.show(text)

    def show(self, text: str) -> None:
        """One line on the screen alone."""
        if self._bar is None:
            say(text)
        else:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line that should not be overlooked, in log.txt and on the screen."""
        self._entry("WARNING", text, {})
        self.show(f"WARNING: {text}")

    def update(self, epoch: int, step: int, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Log one update.

        Args:
            epoch: updates done.
            step: environment steps done.
            groups: scalars by group ("reward", "loss", "train", "speed", ...).
        """
        flat = {name: value for group in groups.values() for name, value in group.items()}
        self._entry("INFO", f"Episode: {epoch}/{self._updates}", {"steps": step, **flat})
        if self._scalars is not None:
            tags = {
                f"{group}/{name}": value
                for group, values in groups.items()
                for name, value in values.items()
            }
            self._scalars.write(tags, step)
        self._draw(step, flat)

    def evaluation(self, step: int, figures: Mapping[str, float]) -> None:
        """Log an evaluation during training."""
        rate = figures["success_rate"]
        self.say(f"evaluation at {step:,} steps: success rate {rate:.3f}")
        if self._scalars is not None:
            self._scalars.write({f"evaluation/{key}": figures[key] for key in figures}, step)

    def close(self) -> None:
        """End the bar and close the files."""
        if self._bar is not None:
            self._bar.stop()
        if self._scalars is not None:
            self._scalars.close()
        self._journal.close()

    def _entry(self, level: str, text: str, values: Mapping[str, float]) -> None:
        stamp = datetime.now().strftime("%m/%d/%y %H:%M:%S")
        lines = [f"[{stamp}] {level} {text}"]
        lines += [f"{_INDENT}{name}: {value}" for name, value in values.items()]
        self._journal.append(("\n".join(lines) + "\n").encode("utf-8"))

    def _draw(self, step: int, flat: Dict[str, float]) -> None:
        speed = f"{flat.get('steps_per_second', 0):,.0f} steps/s"
        success = f"success {flat.get('success_rate', 0):.3f}"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, speed=speed, success=success)
            return
        now = time.monotonic()
        if now >= self._next_line or step >= self._total:
            self._next_line = now + _PLAIN_SECONDS
            line = f"{step:>13,} / {self._total:,} steps  {speed}  {success}"
            self.show(line)


def _is_torn(log_file: Path) -> bool:
    """Whether a log ends in the middle of a line, as a node that went down may leave it."""
    with storage_errors(log_file), log_file.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        return file.read(1) not in (b"", b"\n")
