from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path
from typing import List, Optional

import pytest
from fake_trainers import listening, meanwhile
from made_jobs import JOB, end_of, make_job, make_run, said, scripted, starts

from mapush.errors import OwnershipError, RequestError
from mapush.job import attempts, host
from mapush.job.folder import JobFolder
from mapush.job.host import run_job
from mapush.job.journal import is_complete, newest_step
from mapush.job.local import make_slots
from mapush.job.request import Outcome, dump


@pytest.mark.parametrize(
    ("ends", "progress", "count", "code"),
    [
        (["exit 0"], False, 1, 0),
        (["exit 75", "exit 75", "exit 0"], True, 3, 0),
        (["kill -9 $$", "exit 1", "exit 0"], True, 3, 0),
        (["exit 2"], True, 1, 2),
        (["exit 75", "exit 2"], True, 2, 2),
        (["exit 1"] * 9, False, 5, 1),
        (["exit 75"] * 30, False, 20, 1),
        (["exit 75"] * 9 + ["exit 0"], True, 10, 0),
    ],
)
def test_a_trainer_is_started_again_until_the_policy_says_otherwise(
    ends: List[str], progress: bool, count: int, code: int, tmp_path: Path
) -> None:
    place = make_job(tmp_path, scripted(tmp_path, ends, progress))
    assert run_job(str(place.path)) == code
    assert starts(tmp_path) == count
    assert end_of(place).exit_code == code
    assert not place.is_running()


@pytest.mark.parametrize(
    ("fields", "progress", "count", "words"),
    [
        ({"max_idle": 2}, False, 2, "2 attempts one after another brought no newer checkpoint"),
        ({"max_failures": 3}, True, 4, "all 3 restarts after failures are used up"),
        ({"max_failures": 0}, True, 1, "all 0 restarts after failures are used up"),
    ],
)
def test_a_job_gives_up_by_its_own_limits_and_says_why(
    fields: dict, progress: bool, count: int, words: str, tmp_path: Path
) -> None:
    place = make_job(tmp_path, scripted(tmp_path, ["exit 1"] * 9, progress), **fields)
    assert run_job(str(place.path)) == 1
    assert starts(tmp_path) == count
    assert words in end_of(place).reason
    assert words in said(place)


def test_every_start_and_end_is_in_the_ledger_and_known_to_the_trainer(tmp_path: Path) -> None:
    ends = ['echo "restart $MAPUSH_RESTART_COUNT"; exit 75', 'echo "restart $MAPUSH_RESTART_COUNT"']
    place = make_job(tmp_path, scripted(tmp_path, ends, True))
    run_job(str(place.path))
    ledger = attempts.read(place.attempts)
    assert ledger.starts == 2
    assert [(each.exit_code, each.step) for each in ledger.ended] == [(75, 1000), (0, 2000)]
    assert [line for line in said(place).splitlines() if line.startswith("restart")] == [
        "restart 0",
        "restart 1",
    ]


def test_a_failure_quotes_what_the_trainer_said_last(tmp_path: Path) -> None:
    text = "echo warming up; echo 'mapush: --num_envs 7: is odd' >&2; echo bye; exit 2"
    place = make_job(tmp_path, text)
    run_job(str(place.path))
    assert end_of(place).message == "--num_envs 7: is odd"
    assert "refused" in end_of(place).reason


def test_a_failure_without_a_message_quotes_the_last_line(tmp_path: Path) -> None:
    place = make_job(tmp_path, "echo one; echo 'ValueError: two' >&2; exit 2")
    run_job(str(place.path))
    assert end_of(place).message == "ValueError: two"


def test_each_end_is_noted_between_what_the_trainers_said(tmp_path: Path) -> None:
    place = make_job(tmp_path, scripted(tmp_path, ["echo a; exit 75", "echo b"], True))
    run_job(str(place.path))
    lines = said(place).splitlines()
    assert lines[0] == "a"
    assert "start 1: the trainer stopped early with a durable checkpoint: restart" in lines[1]
    assert lines[2] == "b"
    assert "start 2: the trainer is done: done" in lines[3]


@pytest.mark.parametrize(
    ("sent", "count"), [(["SIGTERM"], 1), (["SIGINT"], 1), (["SIGUSR1", "SIGTERM"], 2)]
)
def test_a_preemption_signal_restarts_and_a_stop_signal_ends_the_job(
    sent: List[str], count: int, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    text = listening(tmp_path, f'"$(head -n 1 "{tmp_path}/signals")"', heard)
    text = text.replace("exec", f'echo start >> "{tmp_path}/starts"\nexec')

    def send() -> None:
        for name in sent:
            (tmp_path / "signals").write_text(f"{name}\n", encoding="utf-8")
            with heard.open(encoding="utf-8") as lines:
                assert next(lines) == "ready\n"
                os.kill(os.getpid(), getattr(signal, name))
                assert list(lines) == [f"{name}\n"]  # to its end: the next one is another's

    (tmp_path / "signals").write_text(f"{sent[0]}\n", encoding="utf-8")
    place = make_job(tmp_path, text)
    with meanwhile(send):
        code = run_job(str(place.path))
    assert code == 75
    assert starts(tmp_path) == count
    assert "stopped as asked" in end_of(place).reason


def test_a_stop_signal_between_two_starts_is_not_waited_out(tmp_path: Path) -> None:
    # Two failures without a newer checkpoint: the third start is an hour away.
    text = scripted(tmp_path, ["exit 1", f'touch "{tmp_path}/failed"; exit 1'], progress=False)
    place = make_job(tmp_path, text, failure_wait=3600)
    make_run(tmp_path, steps=[1000], hour=20)

    def stop() -> None:
        while not (tmp_path / "failed").exists() or "waiting 3600 s" not in said(place):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with meanwhile(stop):
        code = run_job(str(place.path))
    assert (code, starts(tmp_path)) == (1, 2)
    assert end_of(place).reason == "stopped as asked, between two starts"


def test_the_newest_step_is_that_of_the_jobs_own_run(tmp_path: Path) -> None:
    make_run(tmp_path, steps=[8000, 600], job_id="other", hour=1)
    make_run(tmp_path, steps=[7000, 500], hour=2)
    assert newest_step(tmp_path, JOB) == 7000
    assert newest_step(tmp_path, "third") == 0
    assert not is_complete(tmp_path, JOB)


def test_a_running_job_is_not_run_a_second_time(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    with place.hold():
        assert place.is_running()
        with pytest.raises(OwnershipError):
            run_job(str(place.path))
        with pytest.raises(OwnershipError, match=JOB):
            place.open(place.request())
    assert place.outcome() is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"arguments": []}', "[" * 99_999])
def test_a_damaged_request_is_refused(text: str, tmp_path: Path) -> None:
    place = make_job(tmp_path)
    (place.path / "request.json").write_text(text, encoding="utf-8")
    with pytest.raises(RequestError, match=r"request\.json"):
        run_job(str(place.path))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"exit_code": "no"}', "\xff"])
def test_a_damaged_outcome_is_refused_naming_the_file(text: str, tmp_path: Path) -> None:
    place = make_job(tmp_path)
    (place.path / "outcome.json").write_text(text, encoding="latin-1")
    with pytest.raises(RequestError, match=r"outcome\.json"):
        place.outcome()


def other_job(root: Path, outcome: Optional[Outcome]) -> JobFolder:
    other = make_job(root, job_id="11-23-17-00-00_cuboid")
    if outcome is not None:
        other.write_outcome(outcome)
    return other


def test_a_job_starts_when_the_one_before_it_is_complete(tmp_path: Path) -> None:
    other = other_job(tmp_path, None)
    place = make_job(tmp_path, f'echo start >> "{tmp_path}/starts"', after=(str(other.path),))
    with other.hold(), meanwhile(lambda: run_in_thread(place)):
        other.write_outcome(Outcome(0, "the trainer is done", ""))
    assert end_of(place).exit_code == 0
    assert starts(tmp_path) == 1


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(2, "the trainer refused the request", ""), "ended with 2"),
        (Outcome(75, "stopped as asked", ""), "ended with 75"),
        (None, "is gone without an end"),
    ],
)
def test_a_job_is_not_started_after_one_that_did_not_complete(
    outcome: Optional[Outcome], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_VANISHED_SECONDS", 0.0)
    other = other_job(tmp_path, outcome)
    place = make_job(tmp_path, f'echo start >> "{tmp_path}/starts"', after=(str(other.path),))
    assert run_job(str(place.path)) == 1
    assert words in end_of(place).reason
    assert other.job_id in end_of(place).reason
    assert not (tmp_path / "starts").exists()


@pytest.mark.parametrize("waits_for", ["a job", "a slot"])
def test_a_job_that_waits_can_be_cancelled(waits_for: str, tmp_path: Path) -> None:
    other = other_job(tmp_path, None)
    fields = {"after": (str(other.path),)}
    if waits_for == "a slot":
        fields = {"slots": make_slots(tmp_path, 0)}
    place = make_job(tmp_path, f'echo start >> "{tmp_path}/starts"', **fields)

    def stop() -> None:
        while not place.process():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with other.hold(), meanwhile(stop):
        assert run_job(str(place.path)) == 75
    assert "before its trainer was started" in end_of(place).reason
    assert not (tmp_path / "starts").exists()


def test_a_full_or_failing_ledger_ends_the_job_with_one_line(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    place.attempts.unlink()
    place.attempts.mkdir()
    assert run_job(str(place.path)) == 2
    assert "attempts.jsonl" in end_of(place).message


def test_a_request_survives_its_file_to_the_letter(tmp_path: Path) -> None:
    place = make_job(tmp_path, "exit 0", "--a", 'it\'s "$HOME" \\ %j é\n', gpus=1, binds=("/a b",))
    request = place.request()
    assert request.arguments == ("--a", 'it\'s "$HOME" \\ %j é\n')
    changed = dataclasses.replace(request, root="/elsewhere")
    (place.path / "request.json").write_bytes(dump(changed))
    assert place.request() == changed


def run_in_thread(place: JobFolder) -> None:
    """`run_job` where signals cannot be caught: without them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host.SignalRelay, "__enter__", lambda relay: relay)
        patch.setattr(host.SignalRelay, "__exit__", lambda *_: None)
        run_job(str(place.path))
