"""Jobs through submitit's real local executor, started by the command as a user starts it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TextIO

import pytest
from fake_trainers import experiment, field, listener, run_submit, start_submit

from mapush.job.folder import JobFolder

# A trainer that does what the real one does as far as a launcher sees it.
TRAINER = """
exec "$PYTHON" - "$@" <<'END'
import os, pathlib, sys
from datetime import datetime
from mapush.evaluation.ledger import Entry, write_success_rate
from mapush.results.directory import find_by_job, finish, reserve
from mapush.results.identity import Owner
root = pathlib.Path(sys.argv[sys.argv.index("--root") + 1])
job = os.environ["MAPUSH_JOB_ID"]
run = find_by_job(root, job)
if run is None:
    run = reserve(root, "cuboid", "go1push_mid", datetime.now(), Owner.current(job_id=job))
    (run.checkpoints / "rl_model_20000_steps").mkdir(parents=True)
    os.kill(os.getpid(), 9)
lines = ["[11/23/26 18:12:53] INFO Episode: 5/5", *(f"{'':25}{name}" for name in
         ["steps: 40000", "steps_per_second: 41000", "success_rate: 0.41"])]
run.log.write_text("\\n".join(lines) + "\\n")
write_success_rate(run.current / "success_rate.txt", Entry(20000, 0.6, 0.5, 0.7, 300, 9, 0, 1))
END
"""


@pytest.fixture(name="patient")
def patient_trainer(tmp_path: Path) -> Path:
    """The fifo of a trainer that runs until it is told to stop."""
    heard = tmp_path / "heard"
    experiment(tmp_path, "")
    listener(tmp_path / "task" / "cuboid", "SIGTERM", heard)
    return heard


def place_of(workplace: Path) -> JobFolder:
    (folder,) = (workplace / "log" / "submit").iterdir()
    return JobFolder(folder)


def cancel(workplace: Path, lines: TextIO) -> None:
    """Stop the job and wait until it has let go of its folder."""
    os.kill(int(place_of(workplace).process()), signal.SIGTERM)
    assert next(lines) == "SIGTERM\n"


def test_a_killed_trainer_goes_on_in_its_own_run_and_the_results_are_shown(tmp_path: Path) -> None:
    experiment(tmp_path, TRAINER)
    ended = run_submit(tmp_path, "--wait")
    assert (ended.returncode, ended.stderr) == (0, "")
    (results,) = (tmp_path / "results").glob("*_cuboid")
    assert field(ended.stdout, "results") == str(results)
    assert "update 5/5" in ended.stdout
    assert "41,000 steps/s  success 0.410" in ended.stdout
    assert ended.stdout.splitlines()[-5:-3] == [
        "rl_model_20000_steps",
        "success rate: 0.6000 (95% interval 0.5000 to 0.7000, 300 episodes)",
    ]
    output = Path(field(ended.stdout, "output")).read_text(encoding="utf-8")
    assert "start 1: the trainer was killed by SIGKILL: restart" in output
    assert "start 2: the trainer is done: done" in output


@pytest.mark.parametrize("code", [2, 127])
def test_waiting_ends_with_the_jobs_own_exit_code_and_the_trainers_own_line(
    code: int, tmp_path: Path
) -> None:
    experiment(tmp_path, f"echo 'mapush: it is full: make room' >&2; exit {code}")
    ended = run_submit(tmp_path, "--wait")
    assert ended.returncode == code
    assert ended.stderr.startswith("mapush: the trainer ")
    assert ended.stderr.splitlines()[0].endswith(": it is full: make room")
    assert "Traceback" not in ended.stderr


def test_without_waiting_the_job_goes_on_in_a_session_of_its_own(
    patient: Path, tmp_path: Path
) -> None:
    ended = run_submit(tmp_path, "--seed", "7")
    assert (ended.returncode, ended.stderr) == (0, "")
    with patient.open(encoding="utf-8") as lines:
        assert next(lines) == "ready\n"
        place = place_of(tmp_path)
        assert field(ended.stdout, "job") == place.path.name
        assert field(ended.stdout, "cancel") == f"kill $(cat {place.path / 'pid'})"
        assert field(ended.stdout, "follow") == f"tail -F {place.output}"
        assert os.getsid(int(place.process())) != os.getsid(0)
        assert place.is_running()
        request = place.request()
        assert request.arguments == ("--root", str(tmp_path), "--seed", "7")
        assert request.script == str(tmp_path / "task" / "cuboid" / "train.sh")
        cancel(tmp_path, lines)


def test_an_interrupt_while_waiting_leaves_the_job_running(patient: Path, tmp_path: Path) -> None:
    with start_submit(tmp_path, "--wait") as process, patient.open(encoding="utf-8") as lines:
        assert next(lines) == "ready\n"
        assert process.stdout is not None
        while not process.stdout.readline().startswith("cancel"):
            pass
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "the job goes on; to end it: kill" in out
        assert place_of(tmp_path).is_running()
        cancel(tmp_path, lines)


def test_cancelling_ends_the_job_with_75_and_it_can_be_continued(
    patient: Path, tmp_path: Path
) -> None:
    with start_submit(tmp_path, "--wait") as process:
        with patient.open(encoding="utf-8") as lines:
            assert next(lines) == "ready\n"
            refused = run_submit(tmp_path, "--job-id", place_of(tmp_path).path.name)
            assert refused.returncode == 2
            assert "is running" in refused.stderr
            cancel(tmp_path, lines)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 75
    assert "stopped as asked" in err
    job = place_of(tmp_path).path.name
    assert f"--job-id {job}" in err
    experiment(tmp_path, 'echo "again $MAPUSH_JOB_ID"')
    assert run_submit(tmp_path, "--wait", "--job-id", job).returncode == 0
    assert f"again {job}" in place_of(tmp_path).output.read_text(encoding="utf-8")


def test_a_host_that_is_killed_is_noticed(patient: Path, tmp_path: Path) -> None:
    with start_submit(tmp_path, "--wait") as process, patient.open(encoding="utf-8") as lines:
        assert next(lines) == "ready\n"
        os.kill(int(place_of(tmp_path).process()), signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "is gone" in err
        children = Path("/proc").glob("[0-9]*/cmdline")
        for path in children:
            if str(patient).encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGTERM)
