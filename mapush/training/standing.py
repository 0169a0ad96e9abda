"""How a run stands: what run.yaml and log.txt are told of starts, interruptions and faults."""

from __future__ import annotations

import contextlib
import time
from typing import Iterator

from mapush.errors import EXIT_COMPLETE, LostRunError, MapushError
from mapush.runs import record
from mapush.runs.code import resumed_with
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.lease import Lease
from mapush.runs.record import Interruption, RunRecord
from mapush.training import interruption
from mapush.training.log import RunLog, say
from mapush.training.plan import Plan, running_code

# Complete with a live directory: killed while that was removed, its last file first.
_BEING_MOVED = (record.FINISHING, record.COMPLETE)


class Standing:
    """The record of a run that this process holds the lease of; nothing is written without it."""

    def __init__(self, run: RunDirectory, lease: Lease) -> None:
        self._run = run
        self._lease = lease

    @property
    def is_being_moved(self) -> bool:
        """Whether the run is trained to its end and on the way to its results."""
        return self._run.read().status in _BEING_MOVED

    def resume(self, plan: Plan, step: int) -> None:
        """Write down whose the run is now, and what its last process could not write itself.

        Args:
            plan: What this process will do.
            step: Environment steps of what it resumes from.
        """
        found = self._run.read()
        notes = found.interruptions
        if interruption.ended_silently(found):
            token, heartbeat = self._lease.before or ("", 0.0)
            heard = heartbeat if token == found.owner.token else None
            notes = (*notes, interruption.silent_end(self._run, found, step, heard))
        self._run.update(
            status=record.RUNNING,
            owner=self._lease.owner,
            interruptions=notes,
            more={
                **found.more,
                "settings": plan.config.as_dict(),
                "recipe": plan.config.ppo.as_dict(),
                **resumed_with(found.more, running_code(self._run.task)),
            },
        )

    def trains_again(self, step: int, log: RunLog) -> None:
        """Say that training resumes, now that it does, and how long it has been away."""
        self._lease.check()
        before = self._run.read().interruptions
        notes = interruption.trained_again(before, time.time())
        away = [new.seconds_away or 0.0 for new, old in zip(notes, before) if old.is_pending]
        log.say(interruption.resumed_line(self._lease.owner, step, max(away, default=None)))
        if away:
            self._run.update(interruptions=notes)

    def interrupted(self, note: Interruption, log: RunLog, status: str = record.PREEMPTED) -> None:
        """Write down an interruption of this process."""
        self._lease.check()
        notes = (*self._run.read().interruptions, note)
        self._run.update(status=status, interruptions=notes)
        self.say_interruptions(log)

    def broken(self, step: int, log: RunLog) -> None:
        """Write down what a fault has cost, where the storage takes that.

        Args:
            step: Environment steps that are durable.
            log: Of the run.
        """
        with contextlib.suppress(MapushError, OSError):
            found = self._run.read()
            note = interruption.silent_end(self._run, found, step, name=interruption.FAILED)
            self.interrupted(note, log, record.FAILED)

    def say_interruptions(self, log: RunLog) -> None:
        """Write the lines of interruptions that log.txt lacks, and down that it has them."""
        notes = self._run.read().interruptions
        missing = [note for note in notes if not note.in_log]
        for note in missing:
            log.say(interruption.interrupted_line(note))
        if missing and not log.is_waiting:
            self._lease.check()
            self._run.update(interruptions=interruption.all_in_log(notes))

    def finish(self) -> int:
        """Move the run to its results; the exit code."""
        finish(self._run, self._lease.check)
        say(f"complete: {self._run.results}")
        return EXIT_COMPLETE

    @contextlib.contextmanager
    def failures_recorded(self) -> Iterator[None]:
        """Write down that the run failed, where that can still be written by this process."""
        try:
            yield
        except LostRunError:
            raise
        except BaseException:
            with contextlib.suppress(MapushError):
                self._lease.check()
                # A move that was broken off is resumed; with `failed` the training would be.
                if not self.is_being_moved:
                    self._run.update(status=record.FAILED)
            with contextlib.suppress(MapushError):
                self._lease.release()
            raise


def first_step(found: RunRecord) -> int:
    """Environment steps that a run began with."""
    step = found.more.get("first_step", 0)
    return step if type(step) is int else 0
