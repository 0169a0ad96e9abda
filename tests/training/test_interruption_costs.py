"""What is worked out of an interrupted run's files, and the lines that its log gets."""

from __future__ import annotations

import dataclasses
import os
from datetime import datetime
from pathlib import Path
from typing import Optional, Tuple

import pytest

from mapush.runs import metrics
from mapush.runs.directory import RunDirectory
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.runs.record import Interruption
from mapush.training.interruption import (
    interrupted_line,
    interruption,
    resumed_line,
    silent_end,
    trained_again,
)

START = datetime(2025, 10, 28, 18, 7, 58)
BEGUN = START.timestamp()
OWNER = dataclasses.replace(Owner.current("j", 2), node="n3", slurm_job_id="55_1")


def at(seconds: float) -> str:
    moment = datetime.fromtimestamp(BEGUN + seconds).astimezone()
    return moment.isoformat(timespec="milliseconds")


def note(seconds: float = 100, away: Optional[float] = None, **more: object) -> Interruption:
    made = Interruption(at(seconds), "SIGTERM", 400, 80, 0.5, "n3", away, 2)
    return dataclasses.replace(made, **more)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return reserve(tmp_path, "cuboid", "go1push_mid", START, OWNER)


def logged(run: RunDirectory, text: bytes, seconds: float) -> None:
    run.metrics.write_bytes(text)
    os.utime(run.metrics, (BEGUN + seconds, BEGUN + seconds))


def saved(run: RunDirectory, step: int, seconds: float) -> None:
    place = run.checkpoints / f"rl_model_{step}_steps"
    place.mkdir(parents=True)
    os.utime(place, (BEGUN + seconds, BEGUN + seconds))


def update(step: int) -> bytes:
    return metrics.line(metrics.UPDATE, step, step // 400, BEGUN, {})


def test_a_killed_process_lost_what_it_logged_after_the_checkpoint(run: RunDirectory) -> None:
    saved(run, 400, 10)
    logged(run, update(400) + update(800) + update(1200), 14.5)
    found = silent_end(run, run.read(), 400)
    assert found == Interruption(at(14.5), "killed", 400, 800, 4.5, "n3", None, 2, in_log=False)


def test_its_last_heartbeat_tells_how_long_it_lived(run: RunDirectory) -> None:
    saved(run, 400, 10)
    logged(run, update(400), 10)
    found = silent_end(run, run.read(), 400, heartbeat=BEGUN + 42)
    assert (found.time, found.steps_lost, found.seconds_lost) == (at(42), 0, 32.0)


def test_without_a_checkpoint_everything_since_the_start_is_lost(run: RunDirectory) -> None:
    logged(run, update(400) + update(800), 6)
    found = silent_end(run, run.read(), 0)
    assert (found.step, found.steps_lost, found.seconds_lost) == (0, 800, 6.0)


def test_steps_of_a_process_before_are_not_lost_again(run: RunDirectory) -> None:
    saved(run, 400, 10)
    before = note(20, away=10.0)
    logged(run, update(400) + update(800) + update(1200), 20)
    metrics.drop_after(run.metrics, 400)  # as a process does that resumes
    os.utime(run.metrics, (BEGUN + 31, BEGUN + 31))
    found = silent_end(run, run.update(interruptions=(before,)), 400)
    assert (found.steps_lost, found.seconds_lost) == (0, 1.0)
    logged(run, update(400) + update(800), 33)
    found = silent_end(run, run.read(), 400)
    assert (found.steps_lost, found.seconds_lost) == (400, 3.0)


def test_a_process_that_was_killed_before_it_trained_has_lost_nothing(run: RunDirectory) -> None:
    saved(run, 400, 10)
    logged(run, update(800) + update(1200), 31)
    found = silent_end(run, run.update(interruptions=(note(20),)), 400)
    assert (found.steps_lost, found.seconds_lost) == (0, 0.0)


def test_a_run_without_any_file_is_interrupted_now(run: RunDirectory) -> None:
    found = silent_end(run, run.read(), 0)
    age = datetime.now().astimezone() - datetime.fromisoformat(found.time)
    assert 0 <= age.total_seconds() < 60
    assert (found.steps_lost, found.host) == (0, "n3")


@pytest.mark.parametrize("text", ["t", "", "0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_a_time_that_is_none_stops_nothing(run: RunDirectory, text: str) -> None:
    logged(run, update(400), 5)
    damaged = run.update(interruptions=(note(time=text, seconds_away=1.0),))
    assert silent_end(run, damaged, 400).signal == "killed"
    assert trained_again((note(time=text),), BEGUN)[0].seconds_away is not None


def test_a_signal_s_moment_is_kept_in_milliseconds() -> None:
    found = interruption(OWNER, "SIGUSR2", BEGUN + 1.2344, 400, 80, 0.12345)
    assert found == Interruption(at(1.234), "SIGUSR2", 400, 80, 0.123, "n3", None, 2, in_log=False)


@pytest.mark.parametrize(
    ("notes", "away"),
    [
        pytest.param((note(100),), (50.0,), id="one"),
        pytest.param((note(20, away=9.0), note(100)), (9.0, 50.0), id="earlier-ones-stay"),
        pytest.param((note(100), note(130)), (50.0, 20.0), id="killed-before-it-trained"),
        pytest.param((note(160),), (0.0,), id="by-a-clock-that-is-ahead"),
        pytest.param((note(100, restart=None),), (None,), id="of-an-earlier-version"),
    ],
)
def test_training_again_ends_the_time_away(
    notes: Tuple[Interruption, ...], away: Tuple[Optional[float], ...]
) -> None:
    found = trained_again(notes, BEGUN + 150)
    assert tuple(each.seconds_away for each in found) == away
    assert trained_again(found, BEGUN + 999) == found


def test_an_interruption_is_one_line_with_all_its_figures() -> None:
    assert interrupted_line(note(1.5, step=40_000, steps_lost=1_200)) == (
        "interrupted (SIGTERM): 40,000 steps done, 1,200 steps lost, 0.500 s lost, node n3, "
        f"restart 2, at {at(1.5)}"
    )
    assert interrupted_line(note(host="n\n3\x1b[2J")).count("n?3?[2J") == 1


@pytest.mark.parametrize(
    ("slurm_job", "away", "end"),
    [("55_1", 9.81, ", SLURM job 55_1, 9.810 s away"), ("", None, ""), ("", 0.0, ", 0.000 s away")],
)
def test_going_on_is_one_line(slurm_job: str, away: Optional[float], end: str) -> None:
    owner = dataclasses.replace(OWNER, slurm_job_id=slurm_job)
    line = resumed_line(owner, 40_000, away)
    assert line == f"resumed: 40,000 steps done, node n3, restart 2{end}"
