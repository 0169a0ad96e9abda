"""A job on this machine, in the process that waits for its turn and becomes its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from fake_trainers import REPOSITORY, experiment, listening
from filelock import FileLock
from login_node import content
from made_jobs import end_of, fill, make_job, make_run, said, scripted, starts, tiny_disk, until

from mapush.errors import MapushError, OwnershipError
from mapush.launch import local
from mapush.launch.jobs import LOCK, JobFolder, known_jobs
from mapush.launch.local import make_slots
from mapush.launch.node.folder import ATTEMPTS, Outcome
from mapush.submit import main as submit

pytestmark = pytest.mark.slow  # processes by the dozen

PROGRAM = """
import sys
from mapush.errors import exit_with
from mapush.launch import local
local.STARTING_SECONDS, local._LOOK_SECONDS = 0.3, 0.05
exit_with(lambda: local.run_job(sys.argv[1]) or 0)
"""


def start(place: JobFolder, **more: str) -> subprocess.Popen[str]:
    """The process of a job, as submitit starts it."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, place.path],
        cwd=REPOSITORY,
        env={**os.environ, **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(place: JobFolder, **more: str) -> int:
    """The exit code of a job's process, at its end."""
    with start(place, **more) as process:
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert not place.is_running()
    return process.returncode


@pytest.mark.parametrize(
    ("ends", "progress", "count", "code"),
    [
        (["exit 0"], False, 1, 0),
        (["exit 75", "exit 75", "exit 0"], True, 3, 0),
        (["kill -9 $$", "exit 1", "exit 0"], True, 3, 0),
        (["exit 2"], True, 1, 2),
        (["exit 127"], True, 1, 127),
        (["exit 75", "exit 2"], True, 2, 2),
        (["exit 1"] * 9, False, 5, 1),
        (["exit 75"] * 9 + ["exit 0"], True, 10, 0),
        # A trainer that says 0 of a run that is not complete was cut off from what it says.
        (["exit $((0))"] * 9, False, 5, 1),
        (["exit $((0))", "exit 0"], True, 2, 0),
    ],
)
def test_a_trainer_is_started_again_until_the_policy_says_otherwise(
    ends: List[str], progress: bool, count: int, code: int, tmp_path: Path
) -> None:
    place = make_job(tmp_path, scripted(tmp_path, ends, progress))
    assert run(place) == code
    assert starts(tmp_path) == count
    assert end_of(place).exit_code == code


@pytest.mark.parametrize(
    ("fields", "progress", "count", "words"),
    [
        ({"max_idle": 2}, False, 2, "2 attempts one after another brought no newer checkpoint"),
        ({"max_failures": 3}, True, 4, "all 3 restarts after failures are used up"),
        ({"requeue": False}, True, 1, "requeue is off"),
    ],
)
def test_a_job_gives_up_by_its_own_limits_and_says_why(
    fields: Dict[str, Any], progress: bool, count: int, words: str, tmp_path: Path
) -> None:
    place = make_job(tmp_path, scripted(tmp_path, ["exit 1"] * 9, progress), **fields)
    assert run(place) == 1
    assert starts(tmp_path) == count
    assert words in end_of(place).reason
    assert words in said(place)


def test_the_run_of_another_job_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    make_run(tmp_path, [400], complete=True, job_id="another")
    place = make_job(tmp_path, "exit 0", max_idle=1)
    assert run(place) == 1
    assert [(each.exit_code, each.step) for each in place.ledger().ended] == [(1, 0)]


def test_a_full_disk_does_not_change_the_verdict(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "small", "size=1m,nr_inodes=300") as root:
        count = f'echo . >> "{tmp_path}/starts"; case $(wc -l < "{tmp_path}/starts") in'
        place = make_job(root, f"{count} 3) exit 2 ;; *) exit 75 ;; esac")
        ledger = place.place / ATTEMPTS
        ledger.write_bytes(ledger.read_bytes().ljust(4096, b"\n"))
        with start(place) as process:
            until(place.process)
            fill(root)
            process.communicate(timeout=60)
        assert process.returncode == 2


def test_every_start_and_end_is_in_the_ledger_and_known_to_the_trainer(tmp_path: Path) -> None:
    ends = [f'echo "restart $MAPUSH_RESTART_COUNT"; exit {code}' for code in (75, 0)]
    place = make_job(tmp_path, scripted(tmp_path, ends, True))
    run(place)
    ledger = place.ledger()
    assert ledger.starts == 2
    assert [(each.exit_code, each.step) for each in ledger.ended] == [(75, 1000), (0, 2000)]
    assert [line for line in said(place).splitlines() if line.startswith("restart")] == [
        "restart 0",
        "restart 1",
    ]


def test_the_trainers_own_line_is_quoted(tmp_path: Path) -> None:
    text = "echo warming up; echo 'mapush: --num_envs 7: is odd' >&2; echo bye; exit 2"
    place = make_job(tmp_path, text)
    run(place)
    assert end_of(place) == Outcome(
        2, "the trainer refused the request", "--num_envs 7: is odd", False
    )


def test_the_process_that_waits_supervises_the_job_and_holds_the_lock_to_its_end(
    tmp_path: Path,
) -> None:
    heard = tmp_path / "heard"
    place = make_job(tmp_path, listening(tmp_path, "SIGTERM", heard))
    with start(place) as process, heard.open(encoding="utf-8") as lines:
        assert next(lines) == "ready\n"
        assert place.process() == str(process.pid)
        assert place.is_running()
        with pytest.raises(OwnershipError, match="is running"):
            place.open(place.asked())
        with start(place) as second:
            _, err = second.communicate(timeout=30)
        assert second.returncode == 2
        assert "another process runs this job" in err
        assert place.process() == str(process.pid)
        os.kill(process.pid, signal.SIGTERM)
        assert next(lines) == "SIGTERM\n"
        process.communicate(timeout=30)
    assert process.returncode == 75
    assert not place.is_running()
    assert end_of(place).cancelled


@pytest.mark.parametrize(
    ("sent", "count"),
    [(["SIGTERM"], 1), (["SIGINT"], 1), (["SIGUSR1", "SIGTERM"], 2), (["SIGUSR2", "SIGINT"], 2)],
)
def test_a_preemption_signal_restarts_and_a_stop_signal_ends_the_job(
    sent: List[str], count: int, tmp_path: Path
) -> None:
    heard, told = tmp_path / "heard", tmp_path / "signals"
    text = listening(tmp_path, f'"$(head -n 1 "{told}")"', heard)
    text = text.replace("exec", f'echo start >> "{tmp_path}/starts"\nexec')
    place = make_job(tmp_path, text)
    told.write_text(f"{sent[0]}\n", encoding="utf-8")
    with start(place) as process:
        for name, following in zip(sent, [*sent[1:], ""]):
            with heard.open(encoding="utf-8") as lines:
                assert next(lines) == "ready\n"
                told.write_text(f"{following}\n", encoding="utf-8")
                os.kill(process.pid, getattr(signal, name))
                assert list(lines) == [f"{name}\n"]  # to its end: the next one is another's
        process.communicate(timeout=30)
    assert process.returncode == 75
    assert starts(tmp_path) == count
    assert end_of(place).cancelled


def test_a_signal_at_any_moment_of_the_start_is_not_lost(tmp_path: Path) -> None:
    for number in range(8):
        root = tmp_path / str(number)
        root.mkdir()
        place = make_job(root, "exec sleep 30")
        with start(place) as process:
            until(place.process)
            time.sleep(0.02 * number)
            os.kill(process.pid, signal.SIGTERM)
            process.communicate(timeout=20)
        assert process.returncode in (0, 75, 143)
        assert end_of(place).cancelled
        assert place.ledger().starts <= 1


def test_a_stop_signal_between_two_starts_is_not_waited_out(tmp_path: Path) -> None:
    # Failures without a newer checkpoint: the third start is an hour away.
    place = make_job(
        tmp_path, scripted(tmp_path, ["exit 1"] * 5, progress=False), failure_wait=3600
    )
    (make_run(tmp_path, hour=20).checkpoints / "rl_model_1000_steps").mkdir(parents=True)
    with start(place) as process:
        until(lambda: place.output.exists() and "waiting 3600 s" in said(place))
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=20)
    assert starts(tmp_path) == 3
    assert end_of(place).reason == "cancelled, between two starts"


@pytest.mark.parametrize(
    ("gpus", "devices", "seen"),
    [(0, "0,1", ""), (0, None, ""), (1, "3", "3"), (1, None, "unset"), (1, "", "")],
)
def test_the_trainer_sees_the_gpus_that_its_submitter_saw(
    gpus: int, devices: Optional[str], seen: str, tmp_path: Path
) -> None:
    text = f'echo "${{CUDA_VISIBLE_DEVICES-unset}}" > "{tmp_path}/seen"; exit 2'
    place = make_job(tmp_path, text, gpus=gpus, devices=devices)
    run(place, CUDA_VISIBLE_DEVICES="what submitit sets")
    assert (tmp_path / "seen").read_text() == f"{seen}\n"


def test_arguments_and_the_users_environment_reach_the_trainer(tmp_path: Path) -> None:
    arguments = ["--a", "two words", "--b", 'it\'s "$HOME" \\ %j é', "", "two\nlines"]
    show = 'pwd; echo "$MAPUSH_JOB_ID|$MAPUSH_ROOT|$MAPUSH_RUN_LINK|$FOO|$LD_LIBRARY_PATH"'
    text = (
        f'printf "%s\\0" "$@" > "{tmp_path}/told"\n{show}; "$PYTHON" -c '
        '"import mapush; print(mapush.__file__)"\necho complaint >&2; exit 2'
    )
    place = make_job(tmp_path, text, *arguments)
    run(place, FOO="bar", LD_LIBRARY_PATH="/gone", MAPUSH_JOB_ID="another's")
    assert (tmp_path / "told").read_text(encoding="utf-8").split("\0")[:-1] == arguments
    code = place.asked().code.path
    lines = [line for line in said(place).splitlines() if not line.startswith("[")]
    known = "|".join([place.job_id, str(tmp_path), str(place.run_link), "bar", "/gone"])
    assert lines == [code, known, f"{code}/mapush/__init__.py", "complaint"]


OTHER = "11-23-17-00-00_cuboid"


def other_job(root: Path, outcome: Optional[Outcome]) -> JobFolder:
    other = make_job(root, job_id=OTHER)
    if outcome is not None:
        other.write_outcome(outcome)
    return other


def follower(root: Path, **fields: Any) -> JobFolder:
    """A job that would say that it was started."""
    return make_job(root, f'echo start >> "{root}/starts"; exit 2', **fields)


def test_a_job_starts_when_the_one_before_it_is_complete(tmp_path: Path) -> None:
    other = other_job(tmp_path, None)
    place = follower(tmp_path, after=(other.path,))
    with FileLock(other.place / LOCK), start(place) as process:
        until(place.process)
        time.sleep(0.5)  # longer than one that is gone is waited for
        assert starts(tmp_path) == 0
        other.write_outcome(Outcome(0, "the trainer is done"))
        process.communicate(timeout=30)
    assert starts(tmp_path) == 1


@pytest.mark.parametrize(
    ("outcome", "words", "quoted"),
    [
        (Outcome(2, "the trainer refused the request", "x"), "ended with 2", "refused the request"),
        (Outcome(75, "cancelled", "", True), "ended with 75", "cancelled"),
        (None, "is gone without an end", ""),
    ],
)
def test_a_job_is_not_started_after_one_that_did_not_complete(
    outcome: Optional[Outcome], words: str, quoted: str, tmp_path: Path
) -> None:
    place = follower(tmp_path, after=(other_job(tmp_path, outcome).path,))
    run(place)
    found = end_of(place)
    assert found.exit_code == 1
    assert words in found.reason
    assert OTHER in found.reason
    assert quoted in found.message
    assert starts(tmp_path) == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("waits_for", ["a job", "a slot"])
def test_a_job_that_waits_can_be_cancelled(waits_for: str, name: str, tmp_path: Path) -> None:
    other = other_job(tmp_path, None)
    fields: Dict[str, Any] = {"after": (other.path,)}
    if waits_for == "a slot":
        fields = {"slots": make_slots(tmp_path, 0)}
    place = follower(tmp_path, **fields)
    with FileLock(other.place / LOCK), start(place) as process:
        until(place.process)
        os.kill(process.pid, signal.SIGUSR1)  # asks for no end
        time.sleep(0.2)
        assert place.is_running()
        os.kill(process.pid, getattr(signal, name))
        process.communicate(timeout=30)
    found = end_of(place)
    assert (found.exit_code, found.cancelled) == (75, True)
    assert "before its trainer was started" in found.reason
    assert starts(tmp_path) == 0


def test_a_slot_is_held_until_the_supervisor_is_gone(tmp_path: Path) -> None:
    slots = make_slots(tmp_path, 1)
    heard = tmp_path / "heard"
    first = make_job(tmp_path, listening(tmp_path, "SIGTERM", heard), slots=slots)
    second = follower(tmp_path, slots=slots, job_id=OTHER)
    with start(first) as one, heard.open(encoding="utf-8") as lines:
        assert next(lines) == "ready\n"
        with start(second) as two:
            until(second.process)
            time.sleep(0.3)
            assert starts(tmp_path) == 0
            os.kill(one.pid, signal.SIGTERM)
            one.communicate(timeout=30)
            two.communicate(timeout=30)
    assert starts(tmp_path) == 1


def test_a_job_that_cannot_be_started_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment(tmp_path, "exit 2")
    monkeypatch.chdir(tmp_path)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no module >&2\necho '  named submitit' >&2\nexit 3\n")
    python.chmod(0o755)
    send = ["--exp", "cuboid", "--cluster", "local"]
    with monkeypatch.context() as patch:
        patch.setattr(local.sys, "executable", str(python))
        with pytest.raises(MapushError, match=r"could not be started: named submitit$"):
            submit(send)
        assert known_jobs(tmp_path) == []
        assert os.listdir(tmp_path / "log" / "submit") == ["code"]
    assert submit([*send, "--wait"]) == 2
    (place,) = known_jobs(tmp_path)
    until(lambda: not place.is_running())
    before = content(place.place)
    with monkeypatch.context() as patch:
        patch.setattr(local.sys, "executable", str(python))
        with pytest.raises(MapushError, match="could not be started"):
            submit(["--job-id", place.job_id, "--num_envs", "10"])
    assert content(place.place) == before
