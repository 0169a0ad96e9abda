"""Watches jobs from outside: what they say and how they end. Letting go does not end them."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from rich.console import Console

from mapush.errors import MapushError
from mapush.launch import notice
from mapush.launch.display import Display
from mapush.launch.jobs import STARTING_SECONDS, JobFolder
from mapush.launch.node import slurm
from mapush.launch.node.folder import RUN_LINK, Outcome
from mapush.launch.request import SLURM
from mapush.launch.squeue import in_queue
from mapush.runs import metrics, record
from mapush.runs.directory import RunDirectory, run_at

_POLL_SECONDS = 0.2
_ASK_SECONDS = 2.0  # between two questions to SLURM
_SETTLE_SECONDS = 10.0  # from a job's end, as SLURM sees it, to its outcome, as a file server does


def wait(places: Sequence[JobFolder], console: Console) -> Dict[str, Outcome]:
    """Show what jobs say and how far they are until they have all ended.

    Args:
        places: The jobs' folders.
        console: Gets bars if it is a terminal, and plain lines otherwise.

    Returns:
        How each ended, by its name.
    """
    ended: Dict[str, Outcome] = {}
    with Display(console, {place.job_id: place.asked().label for place in places}) as display:
        watches = [_Watch(place) for place in places]
        asked = -_ASK_SECONDS
        while len(ended) < len(watches):
            living = [watch for watch in watches if watch.job not in ended]
            # Asked before the outcomes are read, which are written before the jobs end.
            if time.monotonic() - asked >= _ASK_SECONDS:
                asked = time.monotonic()
                _ask([watch for watch in living if watch.is_on_slurm], display)
            for watch in living:
                outcome = watch.end()
                watch.show(display, is_last=outcome is not None)
                if outcome is not None:
                    ended[watch.job] = outcome
                    display.end(watch.job, outcome.reason)
            time.sleep(_POLL_SECONDS)
    return ended


class _Watch:
    """One job, looked at again and again."""

    def __init__(self, place: JobFolder) -> None:
        self.job = place.job_id
        self.is_on_slurm = place.asked().cluster == SLURM
        self._place = place
        self._began = time.monotonic()
        self._over: Optional[slurm.Job] = None
        self._over_since = 0.0
        self._results = ""
        self._run: Optional[RunDirectory] = None
        self._total = self._changed = self._recorded = self._read = 0

    def stand(self, queue: Dict[str, slurm.Job]) -> str:
        """How SLURM says that the job stands.

        Raises:
            SlurmError: The job is not queued any more, and SLURM does not say how it ended.
        """
        slurm_id = self._place.slurm_id()
        found = queue.get(slurm_id) or slurm.job(slurm_id)
        if self._over is None:
            self._over_since = time.monotonic()
        self._over = found if found.is_over else None
        return found.text()

    def end(self) -> Optional[Outcome]:
        """How the job ended, also without an outcome of its own; None while it has not."""
        place, now = self._place, time.monotonic()
        fault = None
        if self.is_on_slurm:
            if self._over is not None and now - self._over_since >= _SETTLE_SECONDS:
                fault = notice.over_on_slurm(place, self._over)
        elif place.has_started() or now - self._began > STARTING_SECONDS:
            fault = None if place.is_running() else notice.gone(place)
        return place.outcome() or fault

    def show(self, display: Display, is_last: bool) -> None:
        """Show what is new: where the results are, how far the run is, what the job has said."""
        with contextlib.suppress(OSError):
            results = os.readlink(self._place.file(RUN_LINK))
            if results != self._results:
                self._results = results
                display.say(self.job, f"results   {results}")
        with contextlib.suppress(OSError, MapushError):
            self._show_progress(display)
        display.said(self.job, self._new_lines(is_last))

    def _show_progress(self, display: Display) -> None:
        """Show the last update that the run has recorded, if it is another than before.

        Raises:
            OSError: There is no run yet, or the storage does not tell.
            MapushError: Its record cannot be read.
        """
        results = Path(self._results)
        changed = (results / record.FILE_NAME).stat().st_mtime_ns
        if self._run is None or changed != self._changed:
            self._run = run_at(results.parents[1], results)
            self._total, self._changed = self._run.read().total_steps or 0, changed
        path = self._run.metrics
        recorded = path.stat().st_mtime_ns
        if recorded != self._recorded:
            self._recorded = recorded
            update = metrics.newest(path)
            if update is not None:
                display.progress(self.job, update, self._total)

    def _new_lines(self, is_last: bool) -> List[str]:
        """What the job has said since the last look, whole lines only."""
        data = b""
        with contextlib.suppress(OSError), self._place.output.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        if not is_last:
            data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        return data.decode("utf-8", errors="replace").splitlines()


def _ask(watches: Sequence[_Watch], display: Display) -> None:
    """Ask SLURM about jobs: one question for all, and one for each that is not queued any more."""
    try:
        queue = in_queue() if watches else {}
    except slurm.SlurmError as error:
        for watch in watches:
            display.status(watch.job, str(error))
        return
    for watch in watches:
        try:
            text = watch.stand(queue)
        except slurm.SlurmError as error:
            text = str(error)
        display.status(watch.job, text)
