"""What a run says while it trains: log.txt, metrics.jsonl, TensorBoard, and its progress."""

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
from mapush.runs import metrics
from mapush.runs.directory import RunDirectory
from mapush.training.append import AppendFile
from mapush.training.tensorboard import ScalarWriter, drop_after

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
    """Writes one run's log; a restarted run appends to the same files.

    Points in metrics.jsonl and in the event files that come after `since` are dropped, since they
    are about to be written again.

    Args:
        run: The run; its log.txt, metrics.jsonl and tensorboard/ are written.
        use_tensorboard: Whether the last of these is.
        total: Environment steps to reach.
        updates: Updates to reach, for the log's counts.
        since: Environment steps done.
        is_evaluated: Whether the evaluation due at `since`, if any, was done before.
    """

    def __init__(
        self,
        run: RunDirectory,
        use_tensorboard: bool,
        total: int,
        updates: int,
        since: int = 0,
        is_evaluated: bool = True,
    ) -> None:
        metrics.drop_after(run.metrics, since, is_evaluated)
        self._text = AppendFile(run.log)
        if _is_torn(run.log):
            self._text.append(b"\n")
        self._metrics = AppendFile(run.metrics)
        self._scalars: Optional[ScalarWriter] = None
        if use_tensorboard:
            drop_after(run.tensorboard, since)
            self._scalars = ScalarWriter(run.tensorboard)
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
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("training", total=total, completed=since, figures="")
            self._bar.start()

    @property
    def is_waiting(self) -> bool:
        """Whether the storage has refused the last line of log.txt."""
        return self._text.is_waiting

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

    def update(self, update: int, step: int, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Log one update.

        Args:
            update: Updates done.
            step: Environment steps done.
            groups: Figures by group ("reward", "loss", "train", "speed", ...) and name.
        """
        flat = {name: value for group in groups.values() for name, value in group.items()}
        self._entry("INFO", f"Episode: {update}/{self._updates}", {"steps": step, **flat})
        self._point(metrics.UPDATE, update, step, groups)
        self._draw(step, groups)

    def evaluation(self, update: int, step: int, figures: Mapping[str, float]) -> None:
        """Log an evaluation during training."""
        self.say(f"evaluation at {step:,} steps: success rate {figures['success_rate']:.3f}")
        self._point(metrics.EVALUATION, update, step, {"evaluation": figures})

    def close(self) -> None:
        """End the bar and close the files."""
        if self._bar is not None:
            self._bar.stop()
        if self._scalars is not None:
            self._scalars.close()
        self._metrics.close()
        self._text.close()

    def _entry(self, level: str, text: str, values: Mapping[str, float]) -> None:
        stamp = datetime.now().strftime("%m/%d/%y %H:%M:%S")
        lines = [f"[{stamp}] {level} {text}"]
        lines += [f"{_INDENT}{name}: {value}" for name, value in values.items()]
        self._text.append(("\n".join(lines) + "\n").encode("utf-8"))

    def _point(
        self, kind: str, update: int, step: int, groups: Mapping[str, Mapping[str, float]]
    ) -> None:
        self._metrics.append(metrics.line(kind, step, update, time.time(), groups))
        if self._scalars is not None:
            tags: Dict[str, float] = {
                f"{group}/{name}": value
                for group, values in groups.items()
                for name, value in values.items()
            }
            self._scalars.write(tags, step)

    def _draw(self, step: int, groups: Mapping[str, Mapping[str, float]]) -> None:
        done, figures = metrics.progress({"step": step, **groups}, self._total)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, figures=figures)
            return
        now = time.monotonic()
        if now >= self._next_line or step >= self._total:
            self._next_line = now + _PLAIN_SECONDS
            self.show(f"{metrics.PROGRESS}{done}  {figures}")


def _is_torn(log_file: Path) -> bool:
    """Whether a log ends in the middle of a line, as a node that went down may leave it."""
    with storage_errors(log_file), log_file.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        return file.read(1) not in (b"", b"\n")
