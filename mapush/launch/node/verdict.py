"""What the end of a trainer means for its job: done, start it again, or give up and say why.

Pure functions: exit codes and progress in, a verdict out. How a trainer is started again is the
supervisor's matter: by a requeue on a cluster, in place elsewhere.
"""

import enum
import signal
from typing import List, NamedTuple, Sequence

from mapush.errors import EXIT_BAD_REQUEST, EXIT_COMPLETE, EXIT_FAILURE, EXIT_RUN_AGAIN

SET_UP_ENDED = 78
"""Of the child shell: a set-up line has ended it, so no trainer was started (EX_CONFIG)."""

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


class Attempt(NamedTuple):
    """One start of the trainer and what came of it."""

    exit_code: int
    """As `subprocess` gives it: the negative number of the signal that killed it."""
    step: int
    """Environment steps of the newest checkpoint afterwards, 0 if there is none."""


class Policy(NamedTuple):
    """The restart policy: how often a trainer may be started again."""

    max_failures: int = 10
    """Restarts after failures, in all. Being stopped by a signal is none."""
    max_idle: int = 5
    """Failures one after another that leave no newer checkpoint, or four times as many stops: on a
    busy partition a job may be preempted again and again before it gets anywhere."""
    failure_wait: float = 60.0
    """Seconds before the next start after the second failure without progress in a row, and five
    times as many after each further one: what stopped a trainer that had come some way, such as a
    full disk, may pass. One that has no checkpoint yet starts again at once."""
    requeue: bool = True
    """Whether an interrupted trainer is started again at all."""


DEFAULT_POLICY = Policy()


class Verdict(NamedTuple):
    """What to do, with the job's exit code if it ends here."""

    action: Action
    exit_code: int
    reason: str
    """For people: half a line, without a full stop."""
    wait: float = 0.0
    """Seconds before a restart."""


def decide(
    attempts: Sequence[Attempt], cancelled: bool = False, policy: Policy = DEFAULT_POLICY
) -> Verdict:
    """Judge the last attempt in the light of those before it.

    Args:
        attempts: All attempts since the job was submitted, at least one.
        cancelled: Whether someone asked the job itself to end.
        policy: The limits.
    """
    last = attempts[-1]
    ended = describe(last.exit_code)
    own_code = shell_code(last.exit_code)
    if last.exit_code == EXIT_COMPLETE:
        return Verdict(Action.DONE, EXIT_COMPLETE, ended)
    if last.exit_code == EXIT_BAD_REQUEST or last.exit_code in _NOT_STARTED:
        return Verdict(Action.GIVE_UP, own_code, ended)
    if last.exit_code == SET_UP_ENDED and len(attempts) == 1:
        return Verdict(Action.GIVE_UP, EXIT_BAD_REQUEST, ended)
    if cancelled:
        reason = f"cancelled, with the checkpoint of step {last.step:,}"
        return Verdict(Action.GIVE_UP, own_code, reason)
    idle = _idle_attempts(attempts)
    idle_failures = sum(not is_interruption(attempt.exit_code) for attempt in idle)
    if idle_failures >= policy.max_idle or len(idle) >= policy.max_idle * _PATIENCE:
        reason = "{}; {} attempts one after another brought no newer checkpoint"
        # 75 asks to be run again, which is just what must not happen any more.
        code = EXIT_FAILURE if own_code == EXIT_RUN_AGAIN else own_code
        return Verdict(Action.GIVE_UP, code, reason.format(ended, len(idle)))
    failures = sum(not is_interruption(attempt.exit_code) for attempt in attempts)
    if not is_interruption(last.exit_code) and failures > policy.max_failures:
        reason = "{}; all {} restarts after failures are used up"
        return Verdict(Action.GIVE_UP, own_code, reason.format(ended, policy.max_failures))
    if not policy.requeue:
        return Verdict(Action.GIVE_UP, own_code, ended + "; requeue is off")
    wait = 0.0
    if not is_interruption(last.exit_code) and last.step and idle_failures > 1:
        wait = policy.failure_wait * _WAIT_GROWTH ** (idle_failures - 2)
        ended = f"{ended}; waiting {wait:.0f} s"
    return Verdict(Action.RESTART, own_code, ended, wait)


def describe(exit_code: int) -> str:
    """An exit code of the trainer in words."""
    killer = _killer(exit_code)
    if killer:
        return f"the trainer was killed by {signal_name(killer)}"
    if exit_code in _NOT_STARTED:
        return f"the trainer could not be started (exit code {exit_code})"
    meaning = {
        EXIT_COMPLETE: "the trainer is done",
        EXIT_BAD_REQUEST: "the trainer refused the request",
        SET_UP_ENDED: "a set-up line ended its shell before the trainer was started",
        EXIT_RUN_AGAIN: "the trainer stopped early with a durable checkpoint",
    }
    return meaning.get(exit_code, f"the trainer failed with exit code {exit_code}")


def shell_code(exit_code: int) -> int:
    """The exit code as a shell would give it: 128 and the number for a signal."""
    return exit_code if exit_code >= 0 else _SHELL_SIGNAL - exit_code


def signal_name(number: int) -> str:
    """Such as SIGTERM."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _killer(exit_code: int) -> int:
    """The signal that ended the trainer, directly or below a shell or a container; 0 if none."""
    if exit_code < 0:
        return -exit_code
    number = exit_code - _SHELL_SIGNAL
    return number if 0 < number < signal.NSIG else 0


def is_interruption(exit_code: int) -> bool:
    """Whether somebody stopped the trainer, be it before it had its handlers for that."""
    return exit_code == EXIT_RUN_AGAIN or _killer(exit_code) in _STOPPING


def _idle_attempts(attempts: Sequence[Attempt]) -> List[Attempt]:
    """The last attempts that left no checkpoint newer than there was before them, newest first."""
    before = [0] + [attempt.step for attempt in attempts[:-1]]
    idle: List[Attempt] = []
    for attempt, step in zip(reversed(attempts), reversed(before)):
        if attempt.step > step:
            break
        idle.append(attempt)
    return idle
