"""What a user sees who waits for jobs on SLURM, with SLURM and the clock made up."""

from __future__ import annotations

import io
import os
import types
from pathlib import Path
from typing import Any, Callable, List, Sequence, Tuple

import pytest
from fake_slurm import ID, SILENT, UNKNOWN, FakeSlurm, shown
from made_jobs import JOB, make_job, make_run
from rich.console import Console

from mapush.job import attempts, display, follow
from mapush.job.folder import JobFolder
from mapush.job.follow import find_run, wait
from mapush.job.notice import ended
from mapush.job.request import SLURM, Outcome

ENTRY = "[11/23/26 18:12:53] INFO Episode: {0}/5\n{1}steps: {0}0000\n{1}success_rate: 0.41\n"
DONE = Outcome(0, "the trainer is done", "")


class Clock:
    """Stands still but for sleeps, during which things happen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self._events: List[Tuple[float, Callable[[], object]]] = []
        made_up = types.SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(follow, "time", made_up)
        monkeypatch.setattr(display, "time", made_up)

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        self._events.append((1000.0 + seconds, event))

    @property
    def seconds(self) -> float:
        return self.now - 1000.0

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.seconds < 3600, "it never ends"
        due = [event for event in self._events if event[0] <= self.now]
        self._events = [event for event in self._events if event[0] > self.now]
        for _, event in due:
            event()


@pytest.fixture(name="fake")
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    return fake


@pytest.fixture(name="clock")
def made_up_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def on_slurm(root: Path, *arguments: str, slurm_id: str = ID, **fields: Any) -> JobFolder:
    place = make_job(root, "exit 0", *arguments, cluster=SLURM, **fields)
    place.write_slurm_id(slurm_id)
    return place


def follow_to_the_end(
    root: Path, *places: JobFolder, terminal: bool = False
) -> Tuple[List[Outcome], str]:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=terminal, color_system=None)
    outcomes = wait(places, root, console)
    return [outcomes[place.job_id] for place in places], out.getvalue()


def test_a_job_is_shown_from_the_queue_to_its_end(
    fake: FakeSlurm, clock: Clock, tmp_path: Path
) -> None:
    place = on_slurm(tmp_path)
    fake.answer("show", shown("PENDING", reason="Resources"))
    clock.at(3, lambda: fake.answer("show", shown("PENDING", reason="Priority", started="Unknown")))
    clock.at(6, lambda: fake.answer("show", shown("RUNNING")))
    clock.at(9, lambda: place.output.write_text("submitit INFO hello\n one line\nhalf"))
    clock.at(12, lambda: place.output.write_text("submitit INFO hello\n one line\nhalf of it\n"))
    clock.at(15, lambda: place.write_outcome(DONE))
    (outcome,), out = follow_to_the_end(tmp_path, place)
    assert outcome == DONE
    assert out.splitlines() == [
        "queued (Resources, to start about 11-23 20:43)",
        "queued (Priority)",
        "running",
        " one line",
        "half of it",
    ]


def test_progress_and_results_are_shown_as_they_come(
    fake: FakeSlurm, clock: Clock, tmp_path: Path
) -> None:
    place = on_slurm(tmp_path)

    def train(update: int) -> None:
        run = find_run(tmp_path, JOB, 0) or make_run(tmp_path)
        with run.log.open("a") as log:
            log.write(ENTRY.format(update, " " * 25))

    for update in range(1, 6):
        clock.at(4 * update, lambda update=update: train(update))
    clock.at(30, lambda: place.write_outcome(DONE))
    _, out = follow_to_the_end(tmp_path, place)
    lines = out.splitlines()
    assert lines[:2] == ["running", f"results   {tmp_path}/results/11-23-18_cuboid"]
    # At most every 10 s, and the last one in any case.
    assert [line.split()[1] for line in lines[2:]] == ["1/5", "3/5", "5/5"]
    assert "50,000 steps  success 0.410" in lines[-1]


ENDS = {
    "vanished": (UNKNOWN, 1, ["has ended (GONE)", "job.log", f"--job-id {JOB}"]),
    "cancelled": (shown("CANCELLED"), 1, ["ended (CANCELLED)", "cancelled; to go on, submit with"]),
    "cancelled while queued": (shown("CANCELLED"), 0, ["it was cancelled; to go on"]),
    "failed": (shown("FAILED", reason="NonZeroExitCode"), 1, ["(FAILED, NonZeroExitCode)", "see "]),
    "timed out": (shown("TIMEOUT", reason="TimeLimit"), 1, ["(TIMEOUT, TimeLimit)"]),
    "never started": (
        shown("FAILED", reason="JobLaunchFailure"),
        0,
        ["(FAILED, JobLaunchFailure)", "it said nothing on n1; does that node see {root}, where"],
    ),
    "predecessor failed": (
        shown("CANCELLED", reason="DependencyNeverSatisfied"),
        0,
        ["the job that it comes after did not complete"],
    ),
}


@pytest.mark.parametrize(("answer", "starts", "words"), ENDS.values(), ids=ENDS)
def test_a_job_that_ends_without_an_outcome_fails_and_it_is_said_why(
    answer: Tuple[int, str],
    starts: int,
    words: Sequence[str],
    fake: FakeSlurm,
    clock: Clock,
    tmp_path: Path,
) -> None:
    place = on_slurm(tmp_path)
    for _ in range(starts):
        attempts.append_start(place.attempts, "n1", 0)
    clock.at(5, lambda: fake.answer("show", answer))
    (outcome,), _ = follow_to_the_end(tmp_path, place)
    assert outcome.exit_code == 1
    line, way_on = ended(place, outcome)
    assert line.startswith(f"mapush: SLURM job {ID} has ended (")
    for word in words:
        assert word.format(root=tmp_path) in line
    assert f"python -m mapush.submit --job-id {JOB}" in way_on
    # A file server may show the outcome some seconds later.
    assert 15 <= clock.seconds <= 20


def test_an_outcome_that_comes_late_counts(fake: FakeSlurm, clock: Clock, tmp_path: Path) -> None:
    place = on_slurm(tmp_path)
    fake.answer("show", shown("COMPLETED"))
    clock.at(8, lambda: place.write_outcome(DONE))
    (outcome,), _ = follow_to_the_end(tmp_path, place)
    assert outcome == DONE


def test_a_requeued_job_is_followed_on(fake: FakeSlurm, clock: Clock, tmp_path: Path) -> None:
    place = on_slurm(tmp_path)
    clock.at(5, lambda: fake.answer("show", shown("COMPLETING", 1)))
    clock.at(10, lambda: fake.answer("show", shown("PENDING", 1, "BeginTime")))
    clock.at(40, lambda: fake.answer("show", shown("RUNNING", 1)))
    # Somebody brings back a job that was over already.
    clock.at(50, lambda: fake.answer("show", shown("NODE_FAIL", 1)))
    clock.at(58, lambda: fake.answer("show", shown("RUNNING", 2)))
    clock.at(70, lambda: place.write_outcome(DONE))
    (outcome,), out = follow_to_the_end(tmp_path, place)
    assert outcome == DONE
    assert [line.split()[0] for line in out.splitlines()] == [
        *("running", "completing", "queued", "running", "node_fail", "running")
    ]


def test_a_slurm_that_is_silent_for_a_while_ends_nothing(
    fake: FakeSlurm, clock: Clock, tmp_path: Path
) -> None:
    place = on_slurm(tmp_path)
    clock.at(5, lambda: fake.answer("show", SILENT))
    clock.at(300, lambda: fake.answer("show", shown()))
    clock.at(310, lambda: place.write_outcome(DONE))
    (outcome,), out = follow_to_the_end(tmp_path, place)
    assert outcome == DONE
    lines = out.splitlines()
    assert len(lines) == 3
    assert "Unable to contact slurm controller" in lines[1]
    # SLURM is not asked more often than every 2 s.
    assert len(fake.calls("scontrol")) <= clock.seconds / 2 + 1


def test_several_jobs_are_told_apart_by_experiment_and_seed(
    fake: FakeSlurm, clock: Clock, tmp_path: Path
) -> None:
    places = [
        on_slurm(tmp_path, "--seed", seed, slurm_id=f"{ID}_{seed}", job_id=f"{JOB}_{seed}")
        for seed in "12"
    ]
    for place in places:
        place.output.write_text(f"{place.job_id} speaks\n")
    clock.at(5, lambda: places[1].write_outcome(Outcome(2, "the trainer refused the request", "")))
    clock.at(9, lambda: places[0].write_outcome(DONE))
    outcomes, out = follow_to_the_end(tmp_path, *places)
    assert [outcome.exit_code for outcome in outcomes] == [0, 2]
    assert f"cuboid seed 1: {JOB}_1 speaks\n" in out
    assert f"cuboid seed 2: {JOB}_2 speaks\n" in out


def test_on_a_terminal_there_is_a_bar_and_what_is_said_beside_it(
    fake: FakeSlurm, clock: Clock, tmp_path: Path
) -> None:
    place = on_slurm(tmp_path)
    run = make_run(tmp_path)
    run.log.write_text(ENTRY.format(4, " " * 25))
    place.output.write_text("a [bold]line[/bold]\n 10,000 / 50,000 steps  41,000 steps/s\n")
    clock.at(5, lambda: place.write_outcome(DONE))
    _, out = follow_to_the_end(tmp_path, place, terminal=True)
    assert "a [bold]line[/bold]" in out  # no markup of ours
    assert "training" in out
    assert "80%" in out
    assert "success 0.410" in out
    assert "10,000 / 50,000" not in out  # the bar says it
    assert f"results   {run.results}" in out


def test_a_local_job_whose_process_is_gone_or_never_came_is_noticed(
    clock: Clock, tmp_path: Path
) -> None:
    place = make_job(tmp_path)
    (outcome,), _ = follow_to_the_end(tmp_path, place)
    assert clock.seconds > 60
    assert outcome.reason == f"the process that ran job {JOB} is gone"
    assert f"--job-id {JOB}" in outcome.message
    with place.hold():
        clock.at(clock.seconds + 100, lambda: place.write_outcome(DONE))
        (outcome,), _ = follow_to_the_end(tmp_path, place)
    assert outcome == DONE


def test_a_run_is_waited_for_as_long_as_asked(clock: Clock, tmp_path: Path) -> None:
    clock.at(3, lambda: make_run(tmp_path))
    assert find_run(tmp_path, JOB, patience=0) is None
    assert find_run(tmp_path, JOB, patience=2) is None
    found = find_run(tmp_path, JOB, patience=5)
    assert found is not None
    assert found.name == "11-23-18_cuboid"
