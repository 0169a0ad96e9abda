"""Watches a job from outside: its run, its progress, its end. Letting go of it does not end it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Optional

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from mapush.errors import MapushError
from mapush.job.folder import JobFolder, Outcome
from mapush.job.progress import Progress, read_progress
from mapush.results.directory import find_by_job
from mapush.results.run import RunDirectory

_POLL_SECONDS = 0.2
_LINE_SECONDS = 10.0  # between two lines where there is no terminal
_START_SECONDS = 60.0  # from submission to the job's own process; seconds on a busy machine


def find_run(root: Path, job_id: str, patience: float) -> Optional[RunDirectory]:
    """The run of a job as soon as its trainer has taken a directory.

    Args:
        root: Where `results/` is.
        job_id: The job.
        patience: Seconds to wait for it.
    """
    deadline = time.monotonic() + patience
    while True:
        run = find_by_job(root, job_id, warn=_unsaid)
        if run or time.monotonic() >= deadline:
            return run
        time.sleep(min(_POLL_SECONDS, patience))


def wait(place: JobFolder, root: Path, job_id: str, console: Console) -> Outcome:
    """Show a job's progress until it ends.

    Args:
        place: The job's folder.
        root: Where `results/` and `log/` are.
        job_id: The job.
        console: Gets a bar if it is a terminal, and plain lines otherwise.

    Raises:
        MapushError: If the process that runs the job is gone without an outcome.
    """
    run: Optional[RunDirectory] = None
    with _Display(console) as display:
        start = time.monotonic()
        while True:
            ended = _has_ended(place, time.monotonic() - start)
            if run is None:
                run = find_by_job(root, job_id, warn=_unsaid)
                if run is not None:
                    display.say(f"results   {run.results}")
            if run is not None:
                progress = read_progress(run.log)
                if progress is not None:
                    display.show(progress, last=ended)
            outcome = place.outcome()
            if outcome is not None:
                return outcome
            if ended:
                raise MapushError(
                    f"the process that ran job {job_id} is gone; see {place.path}, and submit with "
                    f"--job-id {job_id} to go on"
                )
            time.sleep(_POLL_SECONDS)


def _has_ended(place: JobFolder, seconds: float) -> bool:
    """Whether no process runs the job any more. The outcome is written before, so read it after."""
    if not place.has_started():
        return seconds > _START_SECONDS
    return not place.is_running()


def _unsaid(_: str) -> None:
    """Other runs' unreadable records are no matter of this job."""


class _Display:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_line = 0.0
        self._shown: Optional[Progress] = None
        self._bar: Optional[Bar] = None
        if console.is_terminal:
            self._bar = Bar(
                TextColumn("training"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("training", total=None, figures="starting")

    def __enter__(self) -> _Display:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, progress: Progress, last: bool) -> None:
        if progress == self._shown:
            return
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=progress.update,
                total=progress.updates,
                figures=progress.figures(),
            )
        elif now >= self._next_line or last or progress.update == progress.updates:
            self._next_line = now + _LINE_SECONDS
            steps = "" if progress.steps is None else f"{progress.steps:>13,.0f} steps"
            self.say(f"update {progress.update}/{progress.updates}  {steps}  {progress.figures()}")
        else:
            return
        self._shown = progress
