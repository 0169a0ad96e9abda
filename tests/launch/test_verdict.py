"""What the end of a trainer means for its job, by the ends before it and the policy."""

from __future__ import annotations

import dataclasses
from typing import List, Tuple

import pytest

from mapush.launch.node.verdict import (
    SET_UP_ENDED,
    Action,
    Attempt,
    Policy,
    decide,
    describe,
    is_interruption,
    shell_code,
    signal_name,
)

DONE, RESTART, GIVE_UP = Action.DONE, Action.RESTART, Action.GIVE_UP
POLICY = Policy(max_failures=4, max_idle=3, failure_wait=10.0)
Ends = List[Tuple[int, int]]


def judged(ends: Ends, cancelled: bool = False, **limits: float) -> Tuple[Action, int]:
    verdict = decide([Attempt(*end) for end in ends], cancelled, POLICY._replace(**limits))
    assert verdict.reason
    assert "\n" not in verdict.reason
    return verdict.action, verdict.exit_code


@pytest.mark.parametrize(
    ("exit_code", "action", "job_code"),
    [
        (0, DONE, 0),
        (75, RESTART, 75),
        (2, GIVE_UP, 2),
        (1, RESTART, 1),
        (3, RESTART, 3),
        (-9, RESTART, 137),
        (137, RESTART, 137),
        (-15, RESTART, 143),
        (126, GIVE_UP, 126),
        (127, GIVE_UP, 127),
        # A set-up line that ends its shell does so at every start.
        (SET_UP_ENDED, GIVE_UP, 2),
    ],
)
def test_the_first_end_of_a_trainer_is_judged_by_its_exit_code(
    exit_code: int, action: Action, job_code: int
) -> None:
    assert judged([(exit_code, 100)]) == (action, job_code)


@pytest.mark.parametrize(
    ("exit_code", "action", "job_code"),
    [
        (0, DONE, 0),
        (75, GIVE_UP, 75),
        (1, GIVE_UP, 1),
        (-15, GIVE_UP, 143),
        (137, GIVE_UP, 137),
        (2, GIVE_UP, 2),
        (127, GIVE_UP, 127),
    ],
)
def test_a_job_that_was_cancelled_is_not_started_again(
    exit_code: int, action: Action, job_code: int
) -> None:
    assert judged([(exit_code, 100)], cancelled=True) == (action, job_code)


def test_a_cancelled_job_says_what_it_has() -> None:
    assert "the checkpoint of step 1,200" in decide([Attempt(75, 1200)], cancelled=True).reason


@pytest.mark.parametrize(
    ("exit_code", "action"), [(0, DONE), (75, GIVE_UP), (-9, GIVE_UP), (1, GIVE_UP), (2, GIVE_UP)]
)
def test_with_requeue_off_nothing_is_started_again(exit_code: int, action: Action) -> None:
    assert judged([(exit_code, 100)], requeue=False)[0] is action
    reason = decide([Attempt(exit_code, 100)], policy=POLICY._replace(requeue=False)).reason
    assert ("requeue is off" in reason) == (exit_code in (75, -9, 1))


@pytest.mark.parametrize(
    ("ends", "action", "job_code"),
    [
        # Stops with progress never use anything up.
        ([(75, step) for step in range(1, 50)], RESTART, 75),
        # Failures with progress use up the budget of four restarts.
        ([(1, 1), (1, 2), (-9, 3), (1, 4)], RESTART, 1),
        ([(1, 1), (1, 2), (-9, 3), (1, 4), (-9, 5)], GIVE_UP, 137),
        # A stop after the budget was just used up is no failure.
        ([(1, 1), (1, 2), (1, 3), (1, 4), (75, 5)], RESTART, 75),
        ([(1, 1), (75, 2), (75, 3), (1, 4)], RESTART, 1),
        # Without progress three failures are enough, or twelve stops of whatever kind.
        ([(1, 0), (1, 0)], RESTART, 1),
        ([(1, 0), (1, 0), (1, 0)], GIVE_UP, 1),
        ([(75, 500), (1, 500), (75, 500), (1, 500), (75, 500)], RESTART, 75),
        ([(75, 500), (1, 500), (75, 500), (1, 500), (75, 500), (1, 500)], GIVE_UP, 1),
        ([(75, 500)] * 12, RESTART, 75),
        ([(75, 500)] * 13, GIVE_UP, 1),
        ([(75, 0)] * 11, RESTART, 75),
        ([(75, 0)] * 12, GIVE_UP, 1),
        ([(143, 0), (138, 0), (140, 0), (-15, 0)] * 2, RESTART, 143),
        ([(143, 0), (138, 0), (140, 0), (-15, 0)] * 3, GIVE_UP, 143),
        # Losing checkpoints is no progress either.
        ([(75, 500), (1, 400), (1, 300), (1, 200)], GIVE_UP, 1),
        # One newer checkpoint starts the count anew.
        ([(1, 0), (1, 0), (75, 7), (1, 7), (75, 7)], RESTART, 75),
        # What is done is done.
        ([(1, 0), (1, 0), (0, 0)], DONE, 0),
        # Set-up lines that have worked before may work again.
        ([(75, 500), (SET_UP_ENDED, 500)], RESTART, SET_UP_ENDED),
    ],
)
def test_a_job_that_dies_again_and_again_is_given_up(
    ends: Ends, action: Action, job_code: int
) -> None:
    assert judged(ends) == (action, job_code)


@pytest.mark.parametrize(
    ("limits", "ends", "words"),
    [
        ({"max_failures": 0}, [(1, 5)], "all 0 restarts after failures are used up"),
        ({"max_failures": 1}, [(1, 5), (-9, 6)], "all 1 restarts after failures are used up"),
        ({"max_idle": 1}, [(1, 0)], "1 attempts one after another brought no newer checkpoint"),
        ({"max_idle": 2}, [(1, 0), (1, 0)], "2 attempts one after another"),
        ({"max_idle": 1}, [(75, 0)] * 4, "4 attempts one after another"),
    ],
)
def test_each_limit_is_the_policys_and_is_named(limits: dict, ends: Ends, words: str) -> None:
    assert judged(ends, **limits)[0] is GIVE_UP
    assert judged(ends[:-1] or [(75, 1)], **limits)[0] is RESTART
    verdict = decide([Attempt(*end) for end in ends], policy=POLICY._replace(**limits))
    assert words in verdict.reason


@dataclasses.dataclass
class Waiting:
    """Ends, and how long the next start is put off."""

    ends: Ends
    seconds: float


@pytest.mark.parametrize(
    "case",
    [
        Waiting([(75, 5)], 0),
        Waiting([(1, 5)], 0),
        Waiting([(1, 5), (1, 5)], 0),  # the first one brought the checkpoint
        Waiting([(1, 5), (1, 5), (1, 5)], 10),
        Waiting([(1, 5), (1, 5), (1, 5), (1, 5)], 50),
        Waiting([(1, 5), (1, 5), (1, 5), (1, 5), (1, 5)], 250),
        # A stop is no reason to wait, though the failures before it go on counting.
        Waiting([(1, 5), (1, 5), (1, 5), (75, 5)], 0),
        Waiting([(1, 5), (1, 5), (75, 5), (1, 5)], 10),
        Waiting([(1, 5), (1, 5), (1, 6)], 0),
        # One that never got anywhere starts again at once.
        Waiting([(1, 0), (1, 0), (1, 0)], 0),
    ],
    ids=lambda case: str(case.ends),
)
def test_the_start_after_failures_without_progress_is_put_off(case: Waiting) -> None:
    policy = Policy(max_failures=20, max_idle=20, failure_wait=10.0)
    verdict = decide([Attempt(*end) for end in case.ends], policy=policy)
    assert (verdict.action, verdict.wait) == (RESTART, case.seconds)
    assert (f"waiting {case.seconds:.0f} s" in verdict.reason) == bool(case.seconds)


@pytest.mark.parametrize(
    ("exit_code", "words", "interrupted"),
    [
        (0, "done", False),
        (75, "durable checkpoint", True),
        (2, "refused the request", False),
        (-9, "SIGKILL", False),
        (137, "SIGKILL", False),
        (-15, "SIGTERM", True),
        (130, "SIGINT", True),
        (138, "SIGUSR1", True),
        (-12, "SIGUSR2", True),
        (-36, "signal 36", False),
        (SET_UP_ENDED, "a set-up line ended its shell", False),
        (126, "could not be started", False),
        (127, "could not be started", False),
        (128, "exit code 128", False),
        (255, "exit code 255", False),
        (5, "exit code 5", False),
    ],
)
def test_every_exit_code_is_described(exit_code: int, words: str, interrupted: bool) -> None:
    assert words in describe(exit_code)
    assert is_interruption(exit_code) is interrupted


@pytest.mark.parametrize(("exit_code", "code"), [(0, 0), (75, 75), (-9, 137), (-2, 130)])
def test_a_signal_becomes_the_exit_code_that_a_shell_gives_it(exit_code: int, code: int) -> None:
    assert shell_code(exit_code) == code


def test_a_signal_without_a_name_has_its_number() -> None:
    assert signal_name(15) == "SIGTERM"
    assert signal_name(99) == "signal 99"
