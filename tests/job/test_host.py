from __future__ import annotations

import os
import signal
import threading
from datetime import datetime
from pathlib import Path
from typing import List

import pytest
from fake_trainers import listener, script

from mapush.errors import OwnershipError, RequestError
from mapush.job.folder import JobFolder, JobRequest, Outcome
from mapush.job.host import newest_step, run_job
from mapush.results.directory import reserve
from mapush.results.identity import Owner

JOB = "local-test"


def prepare(root: Path, path: Path, *arguments: str) -> JobFolder:
    place = JobFolder.of(root, JOB)
    place.open(JobRequest(JOB, str(path), arguments, str(root)))
    return place


def ended(place: JobFolder) -> Outcome:
    outcome = place.outcome()
    assert outcome is not None
    return outcome


def scripted_trainer(root: Path, ends: List[str], progress: bool) -> Path:
    """A trainer whose n-th start ends in the n-th way, after a newer checkpoint or none."""
    start = datetime(2026, 11, 23, 18)
    run = reserve(root, "cuboid", "go1push_mid", start, Owner.current(job_id=JOB))
    cases = "\n".join(f"  {number}) {end} ;;" for number, end in enumerate(ends, 1))
    save = f"mkdir -p {run.checkpoints}/rl_model_${{number}}000_steps"
    return script(
        root / "task",
        f"echo start >> {root}/starts; number=$(wc -l < {root}/starts)\n"
        f"{save if progress else ':'}\ncase $number in\n{cases}\nesac",
    )


@pytest.mark.parametrize(
    ("ends", "progress", "starts", "code"),
    [
        (["exit 0"], False, 1, 0),
        (["exit 75", "exit 75", "exit 0"], True, 3, 0),
        (["kill -9 $$", "exit 1", "exit 0"], True, 3, 0),
        (["exit 2"], True, 1, 2),
        (["exit 75", "exit 2"], True, 2, 2),
        (["exit 1"] * 9, False, 5, 1),
        (["exit 75"] * 9, False, 5, 1),
        (["exit 75"] * 9 + ["exit 0"], True, 10, 0),
    ],
)
def test_a_trainer_is_started_again_until_the_policy_says_otherwise(
    ends: List[str], progress: bool, starts: int, code: int, tmp_path: Path
) -> None:
    place = prepare(tmp_path, scripted_trainer(tmp_path, ends, progress))
    assert run_job(str(place.path)) == code
    assert len((tmp_path / "starts").read_text(encoding="utf-8").split()) == starts
    assert ended(place).exit_code == code
    assert not place.is_running()


def test_a_failure_quotes_what_the_trainer_said_last(tmp_path: Path) -> None:
    text = "echo warming up; echo 'mapush: --num_envs 7: is odd' >&2; echo bye; exit 2"
    place = prepare(tmp_path, script(tmp_path, text))
    run_job(str(place.path))
    assert ended(place).message == "--num_envs 7: is odd"
    assert "refused" in ended(place).reason


def test_a_failure_without_a_message_quotes_the_last_line(tmp_path: Path) -> None:
    place = prepare(tmp_path, script(tmp_path, "echo one; echo 'ValueError: two' >&2; exit 2"))
    run_job(str(place.path))
    assert ended(place).message == "ValueError: two"


def test_each_end_is_noted_between_what_the_trainers_said(tmp_path: Path) -> None:
    place = prepare(tmp_path, scripted_trainer(tmp_path, ["echo a; exit 75", "echo b"], True))
    run_job(str(place.path))
    lines = place.output.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "a"
    assert "start 1: the trainer stopped early with a durable checkpoint: restart" in lines[1]
    assert lines[2] == "b"
    assert "start 2: the trainer is done: done" in lines[3]


@pytest.mark.parametrize(
    ("sent", "starts"), [(["SIGTERM"], 1), (["SIGINT"], 1), (["SIGUSR1", "SIGTERM"], 2)]
)
def test_a_preemption_signal_restarts_and_a_stop_signal_ends_the_job(
    sent: List[str], starts: int, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    path = listener(tmp_path / "task", "$(cat signals | head -n 1)", heard)
    ends = path.read_text(encoding="utf-8").replace("cat signals", f"cat {tmp_path}/signals")
    ends = f"{ends.rstrip()}\n".replace("exec", f"echo start >> {tmp_path}/starts\nexec")
    path.write_text(ends, encoding="utf-8")

    def send() -> None:
        for name in sent:
            (tmp_path / "signals").write_text(f"{name}\n", encoding="utf-8")
            with heard.open(encoding="utf-8") as lines:
                assert next(lines) == "ready\n"
                os.kill(os.getpid(), getattr(signal, name))
                assert next(lines) == f"{name}\n"

    (tmp_path / "signals").write_text(f"{sent[0]}\n", encoding="utf-8")
    place = prepare(tmp_path, path)
    sender = threading.Thread(target=send)
    sender.start()
    code = run_job(str(place.path))
    sender.join()
    assert code == 75
    assert len((tmp_path / "starts").read_text(encoding="utf-8").split()) == starts
    assert "stopped as asked" in ended(place).reason


def test_the_newest_step_is_that_of_the_jobs_own_run(tmp_path: Path) -> None:
    for hour, job in ((1, "other"), (2, JOB)):
        start = datetime(2026, 11, 23, hour)
        run = reserve(tmp_path, "cuboid", "go1push_mid", start, Owner.current(job_id=job))
        (run.checkpoints / f"rl_model_{9 - hour}000_steps").mkdir(parents=True)
        (run.checkpoints / f"rl_model_{7 - hour}00_steps").mkdir()
    assert newest_step(tmp_path, JOB) == 7000
    assert newest_step(tmp_path, "third") == 0


def test_a_running_job_is_not_run_a_second_time(tmp_path: Path) -> None:
    place = prepare(tmp_path, script(tmp_path, "exit 0"))
    with place.hold():
        assert place.is_running()
        with pytest.raises(OwnershipError):
            run_job(str(place.path))
        with pytest.raises(OwnershipError, match=JOB):
            place.open(place.request())
    assert place.outcome() is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"arguments": []}'])
def test_a_damaged_request_is_refused(text: str, tmp_path: Path) -> None:
    place = prepare(tmp_path, script(tmp_path, "exit 0"))
    (place.path / "request.json").write_text(text, encoding="utf-8")
    with pytest.raises(RequestError, match=r"request\.json"):
        run_job(str(place.path))
