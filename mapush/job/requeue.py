"""What the end of a trainer means for its job: done, start it again, or give up and say why.

Pure functions: an exit code and what came before in, a verdict out. How a trainer is started again
is another matter: on this machine by the process that started it, on a cluster by the scheduler.
"""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass
from typing import List, Sequence

from mapush.errors import EXIT_BAD_REQUEST, EXIT_COMPLETE, EXIT_FAILURE, EXIT_RUN_AGAIN

# What a shell says of a command that it cannot execute or find.
_NOT_STARTED = (126, 127)
_WAIT_GROWTH = 5.0
# What schedulers and people stop a trainer with; its start-up takes seconds in which that kills it.
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_PATIENCE = 4  # times as many interruptions as failures in a row may bring no newer checkpoint
_SHELL_SIGNAL = 128  # a shell's exit code for a signal is this much more than its number


class Action(enum.Enum):
    """What to do with a job whose trainer has ended."""

    DONE = "done"
    RESTART = "restart"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class Attempt:
    """One start of the trainer and what came of it."""

    exit_code: int
    """As `subprocess` gives it: the negative number of the signal that killed it."""
    step: int
    """Environment steps of the newest checkpoint afterwards, 0 if there is none."""


@dataclass(frozen=True)
class Policy:
    """How often a trainer may be started again."""

    failures: int = 10
    """Restarts after failures, in all. Being stopped by a signal is none."""
    idle: int = 5
    """Failures one after another that leave no newer checkpoint, or four times as many stops: on a
    busy partition a job may be preempted again and again before it gets anywhere."""
    failure_wait: float = 60.0
    """Seconds before the next start after the second failure without progress in a row, and five
    times as many after each further one: what stopped a trainer that had come some way, such as a
    full disk, may pass. One that has no checkpoint yet starts again at once."""


@dataclass(frozen=True)
class Verdict:
    """What to do, with the job's exit code if it ends here."""

    action: Action
    exit_code: int
    reason: str
    """For people: half a line, without a full stop."""
    wait: float = 0.0
    """Seconds before a restart."""


def decide(
    attempts: Sequence[Attempt],
    start_step: int = 0,
    stop_requested: bool = False,
    policy: Policy = Policy(),
) -> Verdict:
    """Judge the last attempt in the light of those before it.

    Args:
        attempts: All attempts so far, at least one.
        start_step: Environment steps of the newest checkpoint before the first attempt.
        stop_requested: Whether someone asked the job itself to end.
        policy: The limits.
    """
    last = attempts[-1]
    ended = describe(last.exit_code)
    own_code = shell_code(last.exit_code)
    if last.exit_code == EXIT_COMPLETE:
        return Verdict(Action.DONE, EXIT_COMPLETE, ended)
    if last.exit_code == EXIT_BAD_REQUEST or last.exit_code in _NOT_STARTED:
        return Verdict(Action.GIVE_UP, own_code, ended)
    if stop_requested:
        reason = f"stopped as asked, with the checkpoint of step {last.step:,}"
        return Verdict(Action.GIVE_UP, own_code, reason)
    idle = _idle_attempts(attempts, start_step)
    idle_failures = sum(not _is_interruption(attempt) for attempt in idle)
    if idle_failures >= policy.idle or len(idle) >= policy.idle * _PATIENCE:
        reason = f"{ended}; {len(idle)} attempts one after another brought no newer checkpoint"
        # 75 asks to be run again, which is just what must not happen any more.
        code = EXIT_FAILURE if own_code == EXIT_RUN_AGAIN else own_code
        return Verdict(Action.GIVE_UP, code, reason)
    failures = sum(not _is_interruption(attempt) for attempt in attempts)
    if not _is_interruption(last) and failures > policy.failures:
        reason = f"{ended}; all {policy.failures} restarts after failures are used up"
        return Verdict(Action.GIVE_UP, own_code, reason)
    wait = 0.0
    if not _is_interruption(last) and last.step and idle_failures > 1:
        wait = policy.failure_wait * _WAIT_GROWTH ** (idle_failures - 2)
        ended = f"{ended}; waiting {wait:.0f} s"
    return Verdict(Action.RESTART, own_code, ended, wait)


def describe(exit_code: int) -> str:
    """An exit code of the trainer in words."""
    killer = _killer(exit_code)
    if killer:
        return f"the trainer was killed by {_signal_name(killer)}"
    if exit_code in _NOT_STARTED:
        return f"the trainer could not be started (exit code {exit_code})"
    meaning = {
        EXIT_COMPLETE: "the trainer is done",
        EXIT_BAD_REQUEST: "the trainer refused the request",
        EXIT_RUN_AGAIN: "the trainer stopped early with a durable checkpoint",
    }
    return meaning.get(exit_code, f"the trainer failed with exit code {exit_code}")


def shell_code(exit_code: int) -> int:
    """The exit code as a shell would give it: 128 and the number for a signal."""
    return exit_code if exit_code >= 0 else _SHELL_SIGNAL - exit_code


def _killer(exit_code: int) -> int:
    """The signal that ended the trainer, directly or below a shell or a container; 0 if none."""
    if exit_code < 0:
        return -exit_code
    number = exit_code - _SHELL_SIGNAL
    return number if 0 < number < signal.NSIG else 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _is_interruption(attempt: Attempt) -> bool:
    """Whether somebody stopped the trainer, be it before it had its handlers for that."""
    return attempt.exit_code == EXIT_RUN_AGAIN or _killer(attempt.exit_code) in _STOPPING


def _idle_attempts(attempts: Sequence[Attempt], start_step: int) -> List[Attempt]:
    """The last attempts that left no checkpoint newer than there was before them, newest first."""
    before = [start_step, *(attempt.step for attempt in attempts[:-1])]
    idle: List[Attempt] = []
    for attempt, step in zip(reversed(attempts), reversed(before)):
        if attempt.step > step:
            break
        idle.append(attempt)
    return idle
