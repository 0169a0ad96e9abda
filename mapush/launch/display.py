"""What a user who waits for jobs sees: a bar for each on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping, Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mapush.runs import metrics

_LINE_SECONDS = 10.0  # between two lines of progress where there is no terminal
_SPEED_SECONDS = 120.0  # over which the time that remains is estimated
# submitit's greetings tell a user nothing, and metrics.jsonl tells more than the trainer's line.
_LEFT_OUT = ("submitit INFO ", metrics.PROGRESS)
_RUNNING = "running"


class Display:
    """Shows jobs by their labels; with only one job, the label is left out.

    Args:
        console: Where.
        labels: By the jobs' names.
    """

    def __init__(self, console: Console, labels: Mapping[str, str]) -> None:
        self._console = console
        self._labels = labels if len(labels) > 1 else {}
        self._next_line: Dict[str, float] = {}
        self._status: Dict[str, str] = {}
        self._figures: Dict[str, str] = {}
        self._bars: Optional[Progress] = None
        self._tasks: Dict[str, TaskID] = {}
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[figures]}", markup=False),
                TimeRemainingColumn(),
                console=console,
                expand=True,
                speed_estimate_period=_SPEED_SECONDS,
            )
            for name in labels:
                label = self._labels.get(name, "training")
                self._tasks[name] = self._bars.add_task(label, total=None, figures="starting")

    def __enter__(self) -> Display:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, name: str, line: str) -> None:
        """Print a line about a job."""
        text = f"{self._labels[name]}: {line}" if self._labels else line
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def said(self, name: str, lines: List[str]) -> None:
        """Show lines that a job has said."""
        for line in lines:
            if not line.startswith(_LEFT_OUT):
                self.say(name, line)

    def progress(self, name: str, update: Mapping[str, Any], total: int) -> None:
        """Show how far a job is.

        Args:
            name: The job's.
            update: The last one's entry in metrics.jsonl.
            total: Environment steps to reach.
        """
        done, figures = metrics.progress(update, total)
        if self._bars is not None:
            self._figures[name] = figures
            self._bars.update(
                self._tasks[name], completed=update["step"], total=total, figures=figures
            )
            return
        now = time.monotonic()
        if now >= self._next_line.get(name, 0.0) or update["step"] >= total:
            self._next_line[name] = now + _LINE_SECONDS
            self.say(name, f"{done}  {figures}")

    def status(self, name: str, text: str) -> None:
        """How the scheduler says that a job stands."""
        if text == self._status.get(name):
            return
        self._status[name] = text
        if self._bars is None:
            self.say(name, text)
        else:
            figures = self._figures.get(name, text) if text == _RUNNING else text
            self._bars.update(self._tasks[name], figures=figures)

    def end(self, name: str, text: str) -> None:
        """Let the bar say how a job ended; elsewhere that is said after all progress."""
        if self._bars is not None:
            self._bars.update(self._tasks[name], figures=text)
