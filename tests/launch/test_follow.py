"""What a user sees who waits for jobs: on SLURM, with it and the clock made up, and here."""

from __future__ import annotations

import io
import types
from datetime import datetime
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

import pytest
from filelock import FileLock
from following import ID, JOB, SILENT, MadeUpSlurm, queued, say, sent_job
from rich.console import Console

from mapush.launch import display, follow
from mapush.launch.display import Display
from mapush.launch.follow import wait
from mapush.launch.jobs import LOCK, JobFolder
from mapush.launch.node.folder import Outcome
from mapush.launch.notice import ended
from mapush.runs import metrics
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.training.log import RunLog

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


@pytest.fixture(name="cluster")
def made_up_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpSlurm:
    return MadeUpSlurm(tmp_path / "slurm", monkeypatch)


@pytest.fixture(name="clock")
def made_up_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def follow_to_the_end(
    *places: JobFolder, terminal: bool = False, width: int = 120
) -> Tuple[List[Outcome], List[str]]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    outcomes = wait(places, console)
    return [outcomes[place.job_id] for place in places], out.getvalue().splitlines()


def test_a_job_is_shown_from_the_queue_to_its_end(
    cluster: MadeUpSlurm, clock: Clock, tmp_path: Path
) -> None:
    place = sent_job(tmp_path, slurm_id=ID)
    cluster.queue("site: be nice", queued("PENDING", "Resources"), queued(slurm_id="9"))
    clock.at(3, lambda: cluster.queue(queued("PENDING", "Priority", start="N/A")))
    clock.at(6, lambda: cluster.queue(queued("RUNNING")))
    clock.at(9, lambda: place.output.write_text("submitit INFO hello\n one line\nhalf"))
    clock.at(12, lambda: place.output.write_text("submitit INFO hello\n one line\nhalf of it\n"))
    clock.at(15, lambda: place.write_outcome(DONE))
    (outcome,), lines = follow_to_the_end(place)
    assert outcome == DONE
    assert lines == [
        "queued (Resources, to start about 11-23 20:43)",
        "queued (Priority)",
        "running",
        " one line",
        "half of it",
    ]


def test_results_are_told_once_and_the_last_words_before_the_end(
    clock: Clock, tmp_path: Path
) -> None:
    place = sent_job(tmp_path)
    with FileLock(place.place / LOCK):
        clock.at(3, lambda: place.run_link.symlink_to(tmp_path / "results" / "11-23-18_cuboid"))
        clock.at(9, lambda: place.output.write_text("complete, and no line's end"))
        clock.at(9, lambda: place.write_outcome(DONE))
        _, lines = follow_to_the_end(place)
    assert lines == [
        f"results   {tmp_path}/results/11-23-18_cuboid",
        "complete, and no line's end",
    ]


LINE = "{:>13,} / 5,000 steps  1,308 steps/s  success 0.410"
FIGURES = {"speed": {"steps_per_second": 1308.0}, "train": {"success_rate": 0.41}}


@pytest.fixture(name="run")
def run_of_the_job(tmp_path: Path) -> RunDirectory:
    """A run of 5,000 steps that a trainer has begun."""
    fields = {"settings": {"train_timesteps": 5000}}
    return reserve(tmp_path, "cuboid", "go1push_mid", datetime.now(), Owner.current(JOB), fields)


def record_update(run: RunDirectory, step: int) -> None:
    with run.metrics.open("ab") as file:
        file.write(metrics.line(metrics.UPDATE, step, step // 500, 0.0, FIGURES))


def test_progress_is_printed_every_ten_seconds_and_at_the_end(
    clock: Clock, tmp_path: Path, run: RunDirectory
) -> None:
    place = sent_job(tmp_path)
    place.run_link.symlink_to(run.results)
    for number in range(1, 11):
        clock.at(4 * number, lambda n=number: record_update(run, 500 * n))
        clock.at(4 * number, lambda n=number: say(place, metrics.PROGRESS + LINE.format(500 * n)))
    clock.at(40, lambda: say(place, "5,000 steps are reached"))
    clock.at(42, lambda: place.write_outcome(DONE))
    _, lines = follow_to_the_end(place)
    shown = [LINE.format(steps) for steps in (500, 2_000, 3_500, 5_000)]
    assert lines == [f"results   {run.results}", *shown, "5,000 steps are reached"]


def test_of_the_updates_before_only_the_last_is_shown_also_where_the_run_is_finished(
    clock: Clock, tmp_path: Path, run: RunDirectory
) -> None:
    place = sent_job(tmp_path)
    place.run_link.symlink_to(run.results)
    for step in (500, 1_000):
        record_update(run, step)
    with run.metrics.open("ab") as file:
        file.write(metrics.line(metrics.EVALUATION, 1_000, 2, 0.0, {}) + b'{"kind": "upd')
    finish(run)
    clock.at(1, lambda: place.write_outcome(DONE))
    _, lines = follow_to_the_end(place)
    assert lines == [f"results   {run.results}", LINE.format(1_000)]


def test_a_run_that_is_resumed_is_shown_from_where_it_resumes(
    clock: Clock, tmp_path: Path, run: RunDirectory
) -> None:
    place = sent_job(tmp_path)
    place.run_link.symlink_to(run.results)
    clock.at(1, lambda: record_update(run, 2_000))
    clock.at(12, lambda: metrics.drop_after(run.metrics, 500))
    clock.at(13, lambda: record_update(run, 1_000))
    clock.at(14, lambda: place.write_outcome(DONE))
    _, lines = follow_to_the_end(place)
    assert lines[1:] == [LINE.format(2_000), LINE.format(1_000)]


@pytest.mark.parametrize("damage", ["run.yaml", "metrics.jsonl"])
def test_a_record_that_cannot_be_read_ends_no_waiting(
    damage: str, clock: Clock, tmp_path: Path, run: RunDirectory
) -> None:
    place = sent_job(tmp_path)
    place.run_link.symlink_to(run.results)
    record_update(run, 500)
    for directory in (run.live, run.results):
        (directory / damage).write_bytes(b"\xff{}")
    clock.at(2, lambda: place.write_outcome(DONE))
    (outcome,), lines = follow_to_the_end(place)
    assert (outcome, lines) == (DONE, [f"results   {run.results}"])


def test_what_the_trainer_records_moves_the_bar(
    clock: Clock, tmp_path: Path, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    place = sent_job(tmp_path)
    place.run_link.symlink_to(run.results)
    log = RunLog(run, False, total=5000, updates=5)
    log.say("a [bold]line[/bold]")
    log.update(4, 4_000, FIGURES)
    log.close()
    place.output.write_text(capsys.readouterr().out)
    clock.at(5, lambda: place.write_outcome(DONE))
    seen: List[str] = []
    clock.at(3, lambda: seen.append(place.output.read_text()))
    _, lines = follow_to_the_end(place, terminal=True)
    shown = "\n".join(lines)
    assert "4,000 / 5,000 steps" in seen[0]
    assert "4,000 / 5,000 steps" not in shown  # the bar says it
    assert "a [bold]line[/bold]" in shown  # no markup of ours
    assert "training" in lines[-2]
    assert "80%" in lines[-2]
    assert "the trainer is done" in lines[-2]


PROGRESS = "progress"


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ((), "starting"),
        (("queued (Priority)",), "queued (Priority)"),
        (("running",), "running"),
        ((PROGRESS, "queued (BeginTime)"), "queued (BeginTime)"),
        ((PROGRESS, "queued (BeginTime)", "running"), "1,308 steps/s  success 0.410"),
        (("queued (BeginTime)", PROGRESS), "1,308 steps/s  success 0.410"),
    ],
)
def test_the_bar_says_how_slurm_has_the_job_unless_it_runs(
    events: Sequence[str], shown: str
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system=None)
    with Display(console, {JOB: "cuboid"}) as bars:
        for event in events:
            if event == PROGRESS:
                bars.progress(JOB, {"step": 400, **FIGURES}, 900)
            else:
                bars.status(JOB, event)
    assert shown in out.getvalue().splitlines()[-2]


ENDS = {
    "vanished": (None, 1, ["has ended (GONE)", "job.log", f"--job-id {JOB}"]),
    "cancelled": (("CANCELLED",), 1, ["ended (CANCELLED)", "cancelled; to resume: "]),
    "cancelled while queued": (("CANCELLED",), 0, ["it was cancelled; to resume: "]),
    "failed": (("FAILED", "NonZeroExitCode"), 1, ["(FAILED, NonZeroExitCode)", "see "]),
    "timed out": (("TIMEOUT", "TimeLimit"), 1, ["(TIMEOUT, TimeLimit)"]),
    "never started": (
        ("FAILED", "JobLaunchFailure"),
        0,
        ["(FAILED, JobLaunchFailure)", "it said nothing on n1; does that node see {root}, where"],
    ),
    "predecessor failed": (
        ("CANCELLED", "DependencyNeverSatisfied"),
        0,
        ["the job that it comes after did not complete"],
    ),
}


@pytest.mark.parametrize(("over", "starts", "words"), ENDS.values(), ids=ENDS)
def test_a_job_that_ends_without_an_outcome_fails_and_it_is_said_why(
    over: Tuple[str, ...],
    starts: int,
    words: Sequence[str],
    cluster: MadeUpSlurm,
    clock: Clock,
    tmp_path: Path,
) -> None:
    place = sent_job(tmp_path, slurm_id=ID)
    for _ in range(starts):
        place.note("start", node="n1")
    cluster.queue(queued())
    clock.at(5, lambda: cluster.over(*over) if over else cluster.queue())
    (outcome,), _ = follow_to_the_end(place)
    assert outcome.exit_code == 1
    line, way_on = ended(place, outcome)
    assert line.startswith(f"mapush: SLURM job {ID} has ended (")
    for word in words:
        assert word.format(root=tmp_path) in line
    assert f"python -m mapush.submit --job-id {JOB}" in way_on
    # A file server may show the outcome some seconds later.
    assert 15 <= clock.seconds <= 20


def test_an_outcome_that_comes_late_counts(
    cluster: MadeUpSlurm, clock: Clock, tmp_path: Path
) -> None:
    place = sent_job(tmp_path, slurm_id=ID)
    cluster.over("COMPLETED")
    clock.at(8, lambda: place.write_outcome(DONE))
    (outcome,), _ = follow_to_the_end(place)
    assert outcome == DONE


@pytest.mark.slow
def test_a_requeued_job_is_followed_on(cluster: MadeUpSlurm, clock: Clock, tmp_path: Path) -> None:
    place = sent_job(tmp_path, slurm_id=ID)
    cluster.queue(queued())
    clock.at(5, lambda: cluster.queue(queued("COMPLETING")))
    clock.at(10, lambda: cluster.queue(queued("PENDING", "BeginTime")))
    clock.at(40, lambda: cluster.queue(queued()))
    # Somebody brings back a job that was over already.
    clock.at(50, lambda: cluster.over("NODE_FAIL"))
    clock.at(58, lambda: cluster.queue(queued()))
    clock.at(70, lambda: place.write_outcome(DONE))
    (outcome,), lines = follow_to_the_end(place)
    assert outcome == DONE
    assert [line.split()[0] for line in lines] == [
        *("running", "completing", "queued", "running", "node_fail", "running")
    ]


@pytest.mark.slow
def test_a_job_that_a_site_s_squeue_does_not_show_yet_is_no_fault(
    cluster: MadeUpSlurm, clock: Clock, tmp_path: Path
) -> None:
    place = sent_job(tmp_path, slurm_id=ID)
    cluster.over("PENDING", "Priority")
    clock.at(40, lambda: place.write_outcome(DONE))
    (outcome,), lines = follow_to_the_end(place)
    assert outcome == DONE
    assert lines == ["queued (Priority, to start about 11-23 20:43)"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["squeue", "scontrol"])
def test_a_slurm_that_is_silent_for_a_while_ends_nothing(
    command: str, cluster: MadeUpSlurm, clock: Clock, tmp_path: Path
) -> None:
    place = sent_job(tmp_path, slurm_id=ID)
    cluster.queue(queued())

    def fall_silent() -> None:
        cluster.queue()
        cluster.fail(command, SILENT)

    clock.at(5, fall_silent)
    clock.at(300, lambda: cluster.queue(queued()))
    clock.at(310, lambda: place.write_outcome(DONE))
    (outcome,), lines = follow_to_the_end(place)
    assert outcome == DONE
    assert len(lines) == 3
    assert lines[::2] == ["running", "running"]
    assert "Unable to contact slurm controller" in lines[1]


def test_slurm_is_asked_one_question_for_all_jobs_and_seldom(
    cluster: MadeUpSlurm, clock: Clock, tmp_path: Path
) -> None:
    ids = [f"{ID}_{index}" for index in range(20)]
    places = [sent_job(tmp_path, job_id=f"{JOB}_{each}", slurm_id=each) for each in ids]
    cluster.queue(*(queued(slurm_id=each) for each in ids))
    for place in places:
        clock.at(20, lambda place=place: place.write_outcome(DONE))
    follow_to_the_end(*places)
    assert len(cluster.calls("squeue")) <= clock.seconds / 2 + 1
    assert not cluster.calls("scontrol")


def test_several_jobs_are_told_apart_by_experiment_and_seed(
    cluster: MadeUpSlurm, clock: Clock, tmp_path: Path, run: RunDirectory
) -> None:
    places = [
        sent_job(tmp_path, "--seed", seed, slurm_id=f"{ID}_{seed}", job_id=f"{JOB}_{seed}")
        for seed in "12"
    ]
    cluster.queue(*(queued(slurm_id=f"{ID}_{seed}") for seed in "12"))
    record_update(run, 500)
    for place in places:
        say(place, f"{place.job_id} speaks")
        place.run_link.symlink_to(run.results)
    clock.at(5, lambda: places[1].write_outcome(Outcome(2, "the trainer refused the request", "")))
    clock.at(9, lambda: places[0].write_outcome(DONE))
    outcomes, lines = follow_to_the_end(*places)
    assert [outcome.exit_code for outcome in outcomes] == [0, 2]
    for seed in "12":
        assert f"cuboid seed {seed}: {JOB}_{seed} speaks" in lines
        assert f"cuboid seed {seed}: {LINE.format(500)}" in lines


def test_a_local_job_whose_process_is_gone_or_never_came_is_noticed(
    clock: Clock, tmp_path: Path
) -> None:
    place = sent_job(tmp_path)
    (outcome,), _ = follow_to_the_end(place)
    assert clock.seconds > 60
    assert outcome.reason == f"the process that ran job {JOB} is gone"
    assert f"--job-id {JOB}" in outcome.message
    with FileLock(place.place / LOCK):
        clock.at(clock.seconds + 100, lambda: place.write_outcome(DONE))
        (outcome,), _ = follow_to_the_end(place)
    assert outcome == DONE
    (tmp_path / place.path / "outcome.json").unlink()
    assert (place.place / LOCK).exists()
    (outcome,), _ = follow_to_the_end(place)
    assert outcome.exit_code == 1
