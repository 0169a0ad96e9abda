from __future__ import annotations

from typing import List, Tuple

import pytest

from mapush.job.requeue import Action, Attempt, Policy, decide, describe, shell_code

DONE, RESTART, GIVE_UP = Action.DONE, Action.RESTART, Action.GIVE_UP


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
        (126, GIVE_UP, 126),
        (127, GIVE_UP, 127),
    ],
)
def test_the_first_end_of_a_trainer_is_judged_by_its_exit_code(
    exit_code: int, action: Action, job_code: int
) -> None:
    verdict = decide([Attempt(exit_code, step=100)])
    assert (verdict.action, verdict.exit_code) == (action, job_code)
    assert verdict.reason


@pytest.mark.parametrize(
    ("exit_code", "action", "job_code"),
    [(0, DONE, 0), (75, GIVE_UP, 75), (1, GIVE_UP, 1), (-15, GIVE_UP, 143), (2, GIVE_UP, 2)],
)
def test_a_job_that_was_asked_to_stop_is_not_started_again(
    exit_code: int, action: Action, job_code: int
) -> None:
    verdict = decide([Attempt(exit_code, step=100)], stop_requested=True)
    assert (verdict.action, verdict.exit_code) == (action, job_code)


@pytest.mark.parametrize(
    ("start_step", "ends", "action", "job_code"),
    [
        # Stops with progress never use anything up.
        (0, [(75, step) for step in range(1, 50)], RESTART, 75),
        # Failures with progress use up the budget of four restarts.
        (0, [(1, 1), (1, 2), (-9, 3), (1, 4)], RESTART, 1),
        (0, [(1, 1), (1, 2), (-9, 3), (1, 4), (-9, 5)], GIVE_UP, 137),
        # A stop after the budget was just used up is no failure.
        (0, [(1, 1), (1, 2), (1, 3), (1, 4), (75, 5)], RESTART, 75),
        # Without progress three failures are enough, or twelve stops of whatever kind.
        (0, [(1, 0), (1, 0)], RESTART, 1),
        (0, [(1, 0), (1, 0), (1, 0)], GIVE_UP, 1),
        (500, [(1, 500), (75, 500), (1, 500), (75, 500)], RESTART, 75),
        (500, [(1, 500), (75, 500), (1, 500), (75, 500), (1, 500)], GIVE_UP, 1),
        (500, [(75, 500)] * 11, RESTART, 75),
        (500, [(75, 500)] * 12, GIVE_UP, 1),
        (500, [(143, 500), (138, 500), (140, 500), (-15, 500)] * 2, RESTART, 143),
        # Losing checkpoints is no progress either.
        (500, [(1, 400), (1, 300), (1, 200)], GIVE_UP, 1),
        # One newer checkpoint starts the count anew.
        (0, [(1, 0), (1, 0), (75, 7), (1, 7), (75, 7)], RESTART, 75),
        # What is done is done.
        (0, [(1, 0), (1, 0), (0, 0)], DONE, 0),
    ],
)
def test_a_job_that_dies_again_and_again_is_given_up(
    start_step: int, ends: List[Tuple[int, int]], action: Action, job_code: int
) -> None:
    attempts = [Attempt(exit_code, step) for exit_code, step in ends]
    verdict = decide(attempts, start_step, policy=Policy(failures=4, idle=3))
    assert (verdict.action, verdict.exit_code) == (action, job_code)


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (0, "done"),
        (75, "durable checkpoint"),
        (-9, "SIGKILL"),
        (137, "SIGKILL"),
        (-15, "SIGTERM"),
        (-36, "signal 36"),
        (127, "could not be started"),
        (5, "exit code 5"),
    ],
)
def test_every_exit_code_is_described(exit_code: int, words: str) -> None:
    assert words in describe(exit_code)


@pytest.mark.parametrize(("exit_code", "code"), [(0, 0), (75, 75), (-9, 137), (-2, 130)])
def test_a_signal_becomes_the_exit_code_that_a_shell_gives_it(exit_code: int, code: int) -> None:
    assert shell_code(exit_code) == code
