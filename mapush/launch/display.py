"""What a user who waits for jobs sees: a bar for each on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import time
from typing import Dict, Mapping, Optional

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from mapush.launch.progress import Progress

_LINE_SECONDS = 10.0  # between two lines of progress where there is no terminal
# What tells a user who waits nothing: a trainer's own progress where it has no terminal, which the
# bar shows too, and submitit's greetings.
_LEFT_OUT = re.compile(r" *[\d,]+ / [\d,]+ steps |submitit INFO ")


class Display:
    """Shows jobs by their labels; with only one job, the label is left out.

    Args:
        console: Where.
        labels: By the jobs' names.
    """

    def __init__(self, console: Console, labels: Mapping[str, str]) -> None:
        self._console = console
        self._labels = labels if len(labels) > 1 else {}
        self._shown: Dict[str, Progress] = {}
        self._next_line: Dict[str, float] = {}
        self._status: Dict[str, str] = {}
        self._bars: Optional[Bars] = None
        self._tasks: Dict[str, TaskID] = {}
        if console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=console,
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

    def said(self, name: str, line: str) -> None:
        """Print a line that a job has said, unless it tells nothing here."""
        if not _LEFT_OUT.match(line):
            self.say(name, line)

    def status(self, name: str, text: str) -> None:
        """How the scheduler says that a job stands."""
        if text == self._status.get(name):
            return
        self._status[name] = text
        if self._bars is None:
            self.say(name, text)
        elif name not in self._shown:
            self._bars.update(self._tasks[name], figures=text)

    def show(self, name: str, progress: Progress, last: bool) -> None:
        """How far a job is."""
        if progress == self._shown.get(name):
            return
        now = time.monotonic()
        if self._bars is not None:
            self._bars.update(
                self._tasks[name],
                completed=progress.update,
                total=progress.updates,
                figures=progress.figures(),
            )
        elif now >= self._next_line.get(name, 0.0) or last or progress.update == progress.updates:
            self._next_line[name] = now + _LINE_SECONDS
            steps = "" if progress.steps is None else f"{progress.steps:>13,.0f} steps"
            figures = f"{steps}  {progress.figures()}"
            self.say(name, f"update {progress.update}/{progress.updates}  {figures}")
        else:
            return
        self._shown[name] = progress
