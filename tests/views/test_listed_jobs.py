"""Jobs in the list of runs, and what they tell of the runs: queued, starting, ended, unknown."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from filelock import FileLock

from mapush.launch.jobs import LOCK
from mapush.launch.node.folder import Outcome
from mapush.runs.__main__ import main
from mapush.runs.lease import acquire
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.runs.record import PREEMPTED, RUNNING, STATUSES
from tests.launch.following import ID, JOB, SILENT, MadeUpSlurm, queued, sent_job
from tests.views.made_runs import START, make_run

FAILED = Outcome(1, "the trainer failed with exit code 1", "no space left on device")
REFUSED = Outcome(2, "the trainer refused the request", "--num_envs 0: must be a whole number")
CANCELLED = Outcome(75, "cancelled, with the checkpoint of step 0", "", True)
DONE = Outcome(0, "the trainer is done")


@pytest.fixture(name="cluster", autouse=True)
def made_up_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpSlurm:
    return MadeUpSlurm(tmp_path / "slurm", monkeypatch)


def listed(root: Path, capsys: pytest.CaptureFixture[str]) -> List[Dict[str, Any]]:
    capsys.readouterr()
    assert main(["--json", "--root", str(root)]) == 0
    return json.loads(capsys.readouterr().out)


def table(root: Path, capsys: pytest.CaptureFixture[str]) -> List[str]:
    capsys.readouterr()
    assert main(["--root", str(root)]) == 0
    return capsys.readouterr().out.splitlines()


def owner(job: str = JOB, slurm_id: str = ID) -> Owner:
    fields = {**Owner.current(job_id=job).to_mapping(), "slurm_job_id": slurm_id}
    return Owner.from_mapping(fields)


@pytest.mark.parametrize(
    ("line", "status", "why"),
    [
        (queued("PENDING", "Resources"), "queued", "Resources"),
        (queued("PENDING"), "queued", ""),
        (queued("CONFIGURING"), "starting", ""),
        (queued("RUNNING"), "starting", ""),
        (queued("SUSPENDED"), "suspended", ""),
        (
            queued(slurm_id="9"),
            "gone",
            f"SLURM has no job {ID}, and it never started: cancelled?",
        ),
    ],
)
def test_a_job_without_a_run_stands_as_slurm_has_it(
    line: str,
    status: str,
    why: str,
    cluster: MadeUpSlurm,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent_job(tmp_path, "--num_envs", "8", "--seed", "3", slurm_id=ID)
    cluster.queue(line)
    (found,) = listed(tmp_path, capsys)
    assert (found["run"], found["experiment"], found["seed"]) == (None, "cuboid", 3)
    assert (found["status"], found["why"]) == (status, why)
    assert (found["job"], found["slurm_job"]) == (JOB, ID)


def test_a_job_that_was_cancelled_in_the_queue_is_cancelled_while_slurm_remembers(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_job(tmp_path, slurm_id=ID)
    cluster.over("CANCELLED")
    (found,) = listed(tmp_path, capsys)
    assert (found["status"], found["why"]) == ("cancelled", "cancelled while it was queued")


def test_a_job_that_is_gone_after_it_started_is_not_taken_for_cancelled(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = sent_job(tmp_path, slurm_id=ID)
    place.note("start", node="n1")
    cluster.queue()
    (found,) = listed(tmp_path, capsys)
    assert (found["status"], "cancelled" in found["why"]) == ("gone", False)


def test_a_reason_that_is_a_sentence_is_cut_in_the_table_alone(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority"
    sent_job(tmp_path, slurm_id=ID)
    cluster.queue(queued("PENDING", reason))
    assert "queued (Nodes required for job are DOWN,...)" in table(tmp_path, capsys)[1]
    assert listed(tmp_path, capsys)[0]["why"] == reason


@pytest.mark.parametrize(
    ("outcome", "status"), [(FAILED, "failed"), (REFUSED, "refused"), (CANCELLED, "cancelled")]
)
@pytest.mark.parametrize("slurm_id", [ID, ""])
def test_a_job_that_ended_before_it_had_a_run_says_how_and_slurm_is_not_asked(
    outcome: Outcome,
    status: str,
    slurm_id: str,
    cluster: MadeUpSlurm,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent_job(tmp_path, slurm_id=slurm_id).write_outcome(outcome)
    heading, row, remark = table(tmp_path, capsys)
    assert heading.split() == "run exp seed status steps success saved started job".split()
    name = slurm_id or JOB
    assert row.split() == ["-", "cuboid", "-", status, "-", "-", "-", "2026-11-23", "18:12", name]
    said = f"{outcome.reason}: {outcome.message}" if outcome.message else outcome.reason
    assert remark == f"{name}: {status}: {said}"
    assert not cluster.calls("squeue")


def test_a_local_job_waits_starts_or_is_gone(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = sent_job(tmp_path)
    assert listed(tmp_path, capsys)[0]["status"] == "starting"
    with FileLock(place.place / LOCK):
        assert listed(tmp_path, capsys)[0]["status"] == "queued"
        place.note("start", node="n1")
        assert listed(tmp_path, capsys)[0]["status"] == "starting"
    assert listed(tmp_path, capsys)[0]["status"] == "gone"
    assert not cluster.calls("squeue")


def test_a_job_that_never_got_a_process_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = sent_job(tmp_path)
    long_ago = time.time() - 1000
    os.utime(place.place / "job.json", (long_ago, long_ago))
    assert listed(tmp_path, capsys)[0]["status"] == "gone"


def test_slurm_is_asked_once_for_all_and_its_silence_is_one_remark(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        sent_job(tmp_path, job_id=f"{JOB}_{index}", slurm_id=f"{ID}_{index}")
    make_run(tmp_path, steps=(), status=PREEMPTED, owner=owner("slurm-7", "7"))
    cluster.fail("squeue", SILENT)
    assert main(["--json", "--root", str(tmp_path)]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert [each["status"] for each in found] == ["unknown"] * 3 + ["preempted"]
    assert said.err.count("\n") == 1
    assert "Unable to contact slurm controller" in said.err
    assert len(cluster.calls("squeue")) == 1


def test_without_slurm_on_this_machine_its_jobs_are_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_job(tmp_path, slurm_id=ID)
    for name in ("squeue", "scontrol"):
        (tmp_path / "slurm" / "bin" / name).unlink()
    assert main(["--root", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "unknown" in said.out
    assert said.err.startswith("mapush: squeue: ")
    assert said.err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_user_s_job_is_not_taken_for_gone(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.chown(sent_job(tmp_path, slurm_id=ID).place, 4711, -1)
    (found,) = listed(tmp_path, capsys)
    assert (found["status"], found["why"]) == ("unknown", "another user's job")
    assert not cluster.calls("squeue")


def test_runs_and_jobs_are_listed_together_newest_first(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, steps=(), owner=owner("10-28-18-07-50_cuboid", "77"), seed=5)
    times = {"old": "2025-10-28T12:00:00+00:00", "new": "2025-10-30T12:00:00+00:00"}
    for number, (name, submitted) in enumerate(times.items()):
        sent_job(tmp_path, job_id=f"{name}_cuboid", slurm_id=f"{number}", submitted=submitted)
    cluster.queue(queued("PENDING", "Priority", slurm_id="1"), queued("RUNNING", slurm_id="0"))
    lines = table(tmp_path, capsys)[1:]
    assert [line.split()[:5] for line in lines] == [
        ["-", "cuboid", "-", "queued", "(Priority)"],
        ["10-28-18_cuboid", "cuboid", "5", "complete", "0"],
        ["-", "cuboid", "-", "starting", "-"],
    ]
    assert [line.split()[-1] for line in lines] == ["1", "77", "0"]


@pytest.mark.parametrize("outcome", [DONE, FAILED, CANCELLED])
def test_a_job_with_a_run_has_no_line_of_its_own(
    outcome: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owns, resumed, removed = (sent_job(tmp_path, job_id=f"{JOB}_{each}") for each in range(3))
    run = make_run(tmp_path, steps=(), owner=owner(owns.job_id, ""))
    resumed.run_link.symlink_to(run.results)  # which another job owns now
    removed.run_link.symlink_to(tmp_path / "results" / "removed")
    for place in (owns, resumed, removed):
        place.write_outcome(outcome)
    (found,) = listed(tmp_path, capsys)
    assert (found["run"], found["job"]) == (run.name, owns.job_id)


def test_a_job_that_is_to_resume_a_run_is_listed_until_it_has_it(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = sent_job(tmp_path, slurm_id=ID)
    place.run_link.symlink_to(tmp_path / "results" / "removed")
    cluster.queue(queued("PENDING"))
    assert [each["status"] for each in listed(tmp_path, capsys)] == ["queued"]


@pytest.mark.parametrize(
    ("status", "line", "outcome", "shown"),
    [
        (RUNNING, queued("PENDING", "BeginTime"), None, "queued"),
        (RUNNING, queued("RUNNING"), None, "starting"),
        (RUNNING, queued("COMPLETING"), None, "completing"),
        (RUNNING, "", None, "running (dead?)"),
        (RUNNING, "", FAILED, "failed"),
        (RUNNING, "", CANCELLED, "cancelled"),
        (PREEMPTED, queued("PENDING", "BeginTime"), None, "queued"),
        (PREEMPTED, "", None, "preempted"),
        (PREEMPTED, "", CANCELLED, "cancelled"),
        (PREEMPTED, "", FAILED, "preempted"),
        ("failed", "", FAILED, "failed"),
        ("failed", queued("PENDING"), None, "queued"),
        ("cancelled", "", CANCELLED, "cancelled"),
        ("cancelled", queued("PENDING"), None, "queued"),
        ("complete", queued("PENDING"), None, "complete"),
    ],
)
def test_a_run_without_a_process_stands_as_its_job_does(
    status: str,
    line: str,
    outcome: Outcome | None,
    shown: str,
    cluster: MadeUpSlurm,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if status not in STATUSES:
        pytest.skip(f"no run.yaml says {status} yet")
    place = sent_job(tmp_path, slurm_id=ID)
    # Submitted again, it has another id than the run's record says.
    run = make_run(tmp_path, steps=(), status=status, owner=owner(slurm_id="7"))
    cluster.queue(line)
    if outcome is not None:
        place.write_outcome(outcome)
    (found,) = listed(tmp_path, capsys)
    assert (found["run"], found["status"]) == (run.name, shown)
    assert found["slurm_job"] == ID
    main(["--root", str(tmp_path), "show", run.name])
    assert f"{run.name}: {shown}" in capsys.readouterr().out


def test_a_run_that_trains_is_running_and_slurm_is_not_asked(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_job(tmp_path, slurm_id=ID)
    acquire(make_run(tmp_path, steps=(), status=RUNNING, owner=owner()), owner())
    cluster.fail("squeue", SILENT)
    assert [each["status"] for each in listed(tmp_path, capsys)] == ["running"]
    assert not cluster.calls("squeue")


def test_a_run_whose_job_s_folder_is_gone_is_looked_for_by_slurm_s_id(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, steps=(), status=PREEMPTED, owner=owner())
    cluster.queue(queued("PENDING", "BeginTime"))
    assert "queued (BeginTime)" in table(tmp_path, capsys)[1]


def test_a_damaged_job_is_named_and_the_others_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_job(tmp_path, job_id="good")
    (sent_job(tmp_path, job_id="bad").place / "job.json").write_text("{")
    sent_job(tmp_path, job_id="odd", submitted="yesterday")
    main(["--root", str(tmp_path)])
    said = capsys.readouterr()
    assert said.out.splitlines()[1].endswith("good")
    assert len(said.out.splitlines()) == 2
    assert [name in line for name, line in zip(("bad", "odd"), said.err.splitlines())] == [True] * 2


def test_many_failed_jobs_are_named_up_to_a_few(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(8):
        sent_job(tmp_path, job_id=f"{JOB}_{index}").write_outcome(FAILED)
    lines = table(tmp_path, capsys)
    assert len(lines) == 1 + 8 + 5 + 1
    assert "3 more" in lines[-1]


def test_what_a_trainer_said_last_cannot_drive_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_job(tmp_path).write_outcome(Outcome(1, "it failed", "\x1b[2J[bold]x[/bold]"))
    lines = table(tmp_path, capsys)
    assert lines[-1].endswith("it failed: ?[2J[bold]x[/bold]")


@pytest.mark.slow
def test_a_hundred_runs_and_jobs_cost_slurm_one_question(
    cluster: MadeUpSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(0, 100, 2):
        place = sent_job(tmp_path, job_id=f"{JOB}_{index}", slurm_id=f"{ID}_{index}")
        reserve(tmp_path, "cuboid", "go1push_mid", START, owner(place.job_id, "7"))
        sent_job(tmp_path, job_id=f"{JOB}_{index + 1}", slurm_id=f"{ID}_{index + 1}")
    cluster.queue(*(queued("PENDING", slurm_id=f"{ID}_{index}") for index in range(100)))
    found = listed(tmp_path, capsys)
    assert [each["status"] for each in found] == ["queued"] * 100
    assert len(cluster.calls("squeue")) == 1
