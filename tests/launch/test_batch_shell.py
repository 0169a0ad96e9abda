"""`job/batch.sh` in a real bash with the real verdict, and SLURM's commands made up."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import pytest
from fake_slurm import ID, PENDING, SILENT, UNKNOWN, FakeSlurm, shown
from made_jobs import JOB, fill, make_job, make_run, tiny_disk

from mapush.job import attempts
from mapush.job.folder import JobFolder
from mapush.results.directory import finish

Answer = Tuple[int, str]

# What a batch script does, with a command in srun's step.
BATCH = """
cd "$MAPUSH_CODE" && . "$MAPUSH_CODE/job/batch.sh"
mapush_begin "$1"
srun --kill-on-bad-exit=1 bash -c "$2"
mapush_end "$?"
"""
ENDED = "2036-11-23T21:00:00"


def slurm_time(hours: float) -> str:
    return (datetime.now() + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")


TIMED_OUT = {"started": slurm_time(-2), "limit": "01:00:00", "reason": "TimeLimit"}


@dataclasses.dataclass
class Case:
    """An end of the step, what SLURM says of the job then, and what must come of it."""

    code: int
    """Of srun."""
    exit_code: int
    """Of the job."""
    requeues: int
    """How often a requeue is asked for."""
    outcome: Optional[int] = None
    """The exit code that is written down as the job's end; None if it goes on."""
    show: Tuple[Answer, ...] = (shown(),)
    requeue: Tuple[Answer, ...] = ()
    restarts: int = 0
    steps: Tuple[int, ...] = (1000,)
    complete: bool = False
    says: str = ""
    sleeps: Tuple[str, ...] = ()
    environment: Dict[str, str] = dataclasses.field(default_factory=dict)


def shell(fake: FakeSlurm, root: Path, *words: str, **more: Any) -> Dict[str, Any]:
    """The arguments by which a batch script is run."""
    code = str(root / "log" / "submit" / f"_code-{JOB}")
    environment = fake.environment(**more)
    environment.update({"MAPUSH_CODE": code, "MAPUSH_ROOT": str(root)})
    folder = str(JobFolder.of(root, JOB).path)
    return {"args": ["bash", "-c", BATCH, "batch", folder, *words], "env": environment}


def run(fake: FakeSlurm, root: Path, step: str, **more: Any) -> subprocess.CompletedProcess[str]:
    given = shell(fake, root, step, **more)
    return fake.run(given["args"], given["env"])


CASES = {
    # The trainer's own end, SLURM quiet.
    "stopped with a checkpoint": Case(75, 75, 1, says="requeued"),
    "done": Case(0, 0, 0, 0, complete=True, says="the trainer is done: done"),
    "0 of a run that is not complete": Case(0, 1, 1),
    "0 without any run": Case(0, 1, 1, steps=()),
    "refused": Case(2, 2, 0, 2),
    "failed": Case(1, 1, 1),
    "killed": Case(137, 137, 1, says="killed by SIGKILL"),
    "could not be started": Case(127, 127, 0, 127),
    "could not be executed": Case(126, 126, 0, 126),
    # SLURM has requeued it already: by itself, or somebody else has.
    "preempted without grace": Case(75, 75, 0, show=(shown("COMPLETING", 1),)),
    "srun killed by that": Case(143, 75, 0, show=(shown("COMPLETING", 1),)),
    "slurmd killed": Case(0, 75, 0, show=(shown("PENDING", 1, "BeginTime"),)),
    "node down, requeued often before": Case(137, 75, 0, show=(shown("PENDING", 4),), restarts=3),
    # Not yet, and SLURM will not do it by itself.
    "in the grace time": Case(75, 75, 1, show=(shown(preempted=ENDED, ends=ENDED),)),
    "requeued before": Case(75, 75, 1, show=(shown(restarts=3),), restarts=3),
    "time limit, still running": Case(75, 75, 1, show=(shown(**TIMED_OUT),)),
    "time limit has struck": Case(75, 75, 1, show=(shown("COMPLETING", **TIMED_OUT),)),
    "time limit, over": Case(137, 137, 1, show=(shown("TIMEOUT", **TIMED_OUT),)),
    "preempted by cancelling": Case(
        75, 75, 1, show=(shown("COMPLETING", preempted=ENDED, ends=ENDED),)
    ),
    # Cancelled: a requeue would bring it back.
    "scancel": Case(75, 75, 0, 75, show=(shown("COMPLETING"),), says="stopped as asked"),
    "scancel of a restarted job": Case(75, 75, 0, 75, show=(shown("COMPLETING", 2),), restarts=2),
    "scancel, over": Case(137, 137, 0, 137, show=(shown("CANCELLED"),)),
    "scancel in the grace time": Case(
        75, 75, 0, 75, show=(shown("COMPLETING", preempted="2036-11-23T20:59:52", ends=ENDED),)
    ),
    "scancel of a job without limit": Case(
        75, 75, 0, 75, show=(shown("COMPLETING", started=slurm_time(-9), limit="UNLIMITED"),)
    ),
    "scancel within the last of many days": Case(
        75, 75, 0, 75, show=(shown("COMPLETING", started=slurm_time(-25), limit="1-08:00:00"),)
    ),
    "scancel after the end of a run": Case(
        0, 0, 0, 0, show=(shown("COMPLETING"),), complete=True
    ),
    "cancelled while it is judged": Case(
        75, 75, 0, show=(shown(), shown("COMPLETING")), says="cancelled meanwhile, so not requeued"
    ),
    "requeued while it is judged": Case(
        75, 75, 0, show=(shown(), shown("COMPLETING", 1)), says="requeued by SLURM"
    ),
    # SLURM does not answer, or refuses.
    "asked again at once": Case(75, 75, 1, show=(SILENT,) * 3 + (shown(),), sleeps=("0.2",) * 3),
    "an answer without a job": Case(75, 75, 1, show=((0, ""), shown()), sleeps=("0.2",)),
    "asked for long": Case(
        75,
        75,
        1,
        show=(SILENT,) * 12 + (shown(),),
        sleeps=("0.2",) * 10 + ("10",) * 2,
        says="SLURM does not say how the job stands; asking again",
    ),
    "forgotten for a moment": Case(75, 75, 1, show=(UNKNOWN, shown()), sleeps=("0.2",)),
    "a requeue refused once": Case(
        75, 75, 2, requeue=((1, "Requested operation is presently disabled"), (0, "")),
        sleeps=("10",), says="scontrol requeue: Requested operation is presently disabled",
    ),
    "a requeue refused because SLURM has done it": Case(
        75,
        75,
        1,
        show=(shown(), shown(), shown("COMPLETING", 1)),
        requeue=(PENDING,),
        sleeps=("10",),
        says="requeued by SLURM",
    ),
    "a requeue refused, then cancelled": Case(
        75, 75, 1, show=(shown(), shown(), shown("COMPLETING")), requeue=(SILENT,), sleeps=("10",)
    ),
    "a requeue refused for ever": Case(
        75,
        75,
        90,
        requeue=((1, "Access/permission denied"),),
        sleeps=("10",) * 90,
        says=f"to go on: python -m mapush.submit --job-id {JOB}",
    ),
    # Limits of the job itself.
    "requeue is off": Case(
        75, 75, 0, 75, says="requeue is off", environment={"MAPUSH_REQUEUE": "0"}
    ),
    "no failure is forgiven": Case(
        1, 1, 0, 1, says="all 0 restarts", environment={"MAPUSH_MAX_FAILURES": "0"}
    ),
    "no start without progress": Case(
        1, 1, 0, 1, steps=(), says="brought no newer checkpoint",
        environment={"MAPUSH_MAX_IDLE": "1"},
    ),
}  # fmt: skip


@pytest.fixture(name="fake")
def fake_slurm(tmp_path: Path) -> FakeSlurm:
    return FakeSlurm(tmp_path / "slurm")


@pytest.fixture(name="root")
def root_with_a_space(tmp_path: Path) -> Path:
    root = tmp_path / "a root"
    root.mkdir()
    return root


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_ends_a_step_is_requeued_once_or_not_at_all(
    case: Case, fake: FakeSlurm, root: Path
) -> None:
    place = make_job(root)
    make_run(root, case.steps, case.complete)
    fake.answer("srun", (case.code, ""))
    fake.answer("show", *case.show)
    if case.requeue:
        fake.answer("requeue", *case.requeue)
    done = run(fake, root, "", restarts=case.restarts, **case.environment)
    text = done.stdout + done.stderr
    said = text + (place.output.read_text(encoding="utf-8") if place.output.exists() else "")
    assert done.returncode == case.exit_code, text
    assert fake.calls("scontrol requeue") == [f"scontrol requeue {ID}"] * case.requeues, text
    assert [line.split()[1] for line in fake.calls("sleep")] == list(case.sleeps)
    outcome = place.outcome()
    assert (outcome and outcome.exit_code) == case.outcome
    assert case.says in said
    assert "line " not in done.stderr, "bash complains of the script"


# With a Python that is not there nobody can judge, and a run must not be lost for that.
BLIND = {
    "stopped": Case(75, 75, 1),
    "crashed": Case(1, 1, 1),
    "killed": Case(137, 137, 1),
    "srun's 0 says nothing": Case(0, 1, 1),
    "refused": Case(2, 2, 0),
    "not started": Case(127, 127, 0),
    "cancelled": Case(75, 75, 0, show=(shown("COMPLETING"),)),
    "0 and cancelled": Case(0, 1, 0, show=(shown("COMPLETING"),)),
    "requeue is off": Case(75, 75, 0, environment={"MAPUSH_REQUEUE": "0"}),
    "often enough": Case(1, 1, 0, show=(shown(restarts=20),), restarts=20),
    "not quite often enough": Case(1, 1, 1, show=(shown(restarts=19),), restarts=19),
}


@pytest.mark.parametrize("case", BLIND.values(), ids=BLIND)
def test_without_a_verdict_a_job_is_requeued_so_many_times_and_no_more(
    case: Case, fake: FakeSlurm, root: Path
) -> None:
    make_job(root)
    make_run(root, case.steps)
    fake.answer("srun", (case.code, ""))
    fake.answer("show", *case.show)
    given = {"PYTHON": "/gone/python", **case.environment}
    done = run(fake, root, "", restarts=case.restarts, **given)
    assert done.returncode == case.exit_code, done.stderr
    assert fake.calls("scontrol requeue") == [f"scontrol requeue {ID}"] * case.requeues
    assert f"the end of the trainer ({case.code}) could not be judged" in done.stderr
    # A node whose Python is gone would otherwise use up all restarts within a minute.
    later = [f"scontrol update JobId={ID} StartTime=now+60"] * case.requeues
    assert fake.calls("scontrol update") == later


@pytest.mark.parametrize(
    "verdict",
    ["", "requeue", "requeue 75", "requeue 75 0 0", "hello 75 0", "done x 0", "done -1 0"],
)
def test_words_that_are_no_verdict_are_not_obeyed(
    verdict: str, fake: FakeSlurm, root: Path, tmp_path: Path
) -> None:
    make_job(root)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{verdict}'\n", encoding="utf-8")
    python.chmod(0o755)
    done = run(fake, root, "exit 1", PYTHON=str(python))
    assert "could not be judged" in done.stderr
    assert (done.returncode, len(fake.calls("scontrol requeue"))) == (1, 1)


def test_failures_without_progress_are_restarted_later_and_later(
    fake: FakeSlurm, root: Path
) -> None:
    make_job(root)
    make_run(root, [1000])
    for restarts, later in enumerate([None, None, 7, 35]):
        fake.restarted()
        fake.answer("show", shown(restarts=restarts))
        fake.answer("requeued", shown("COMPLETING", restarts + 1))
        done = run(fake, root, "exit 1", restarts=restarts, MAPUSH_FAILURE_WAIT="7")
        assert done.returncode == 1
        assert len(fake.calls("scontrol requeue")) == 1
        wanted = [f"scontrol update JobId={ID} StartTime=now+{later}"] if later else []
        assert fake.calls("scontrol update") == wanted


def test_a_job_is_requeued_until_it_is_done_and_each_start_is_noted(
    fake: FakeSlurm, root: Path
) -> None:
    place = make_job(root)
    made = make_run(root, [1000])
    step = (
        f'echo "this is start $MAPUSH_RESTART_COUNT of $MAPUSH_JOB_ID" >> "{place.output}"; exit '
    )
    codes = []
    for restarts, end in enumerate(["75", "137", "0"]):
        fake.restarted()
        fake.answer("show", shown(restarts=restarts))
        if end == "0":
            finish(made)
        codes.append(run(fake, root, step + end, restarts=restarts).returncode)
        assert len(fake.calls("scontrol requeue")) == (end != "0")
        assert (place.outcome() is not None) == (end == "0")
    assert codes == [75, 137, 0]
    ledger = attempts.read(place.attempts)
    assert (ledger.starts, ledger.node) == (3, "n1")
    assert [each.exit_code for each in ledger.ended] == codes
    lines = place.output.read_text(encoding="utf-8").splitlines()
    starts = [line for line in lines if line.startswith("this is")]
    assert starts == [f"this is start {number} of {JOB}" for number in range(3)]
    events = [json.loads(line) for line in place.attempts.read_text().splitlines() if line]
    begun = [each for each in events if each["event"] == "start"]
    assert [(each["slurm"], each["restart"]) for each in begun] == [(ID, 0), (ID, 1), (ID, 2)]


def test_starts_of_an_earlier_submission_count_on(fake: FakeSlurm, root: Path) -> None:
    place = make_job(root)
    run(fake, root, "exit 75")
    place.open(place.request())
    fake.restarted()
    step = f'echo "$MAPUSH_RESTART_COUNT" > "{root}/count"; exit 75'
    done = run(fake, root, step, SLURM_JOB_ID="9")
    assert "start 2 on n1, SLURM job 9, requeued 0 times" in done.stdout
    assert (root / "count").read_text() == "1\n"
    assert fake.calls("scontrol requeue") == ["scontrol requeue 9"]


def test_a_start_takes_back_the_end_before_it(fake: FakeSlurm, root: Path) -> None:
    place = make_job(root)
    run(fake, root, "exit 2")
    assert place.outcome() is not None
    fake.restarted()
    run(fake, root, f'[ ! -e "{place.path}/outcome.json" ] || exit 2; exit 75')
    assert place.outcome() is None


@pytest.mark.parametrize("separator", [";", "&"], ids=["one after the other", "at once"])
def test_ending_twice_requeues_once(separator: str, fake: FakeSlurm, root: Path) -> None:
    place = make_job(root)
    fake.answer("requeued", shown())  # SLURM has not counted the requeue yet
    twice = f"""
        cd "$MAPUSH_CODE" && . job/batch.sh
        mapush_begin "$1" >> "{place.output}"
        ( mapush_end 75 ) {separator} ( mapush_end 75 ) {separator} wait
    """
    given = shell(fake, root)
    done = fake.run(["bash", "-c", twice, "batch", str(place.path)], given["env"])
    assert len(fake.calls("scontrol requeue")) == 1, done.stderr
    assert "was requeued for this start already" in done.stdout


def test_a_member_of_an_array_is_known_by_its_own_number_only(fake: FakeSlurm, root: Path) -> None:
    place = make_job(root, job_id=f"{JOB}_2")
    make_job(root)
    tell = f'echo "$MAPUSH_JOB_ID $MAPUSH_JOB_FOLDER" > "{root}/told"; exit 75'
    # The last member's number is the array's own.
    run(fake, root, tell, array="8_2", SLURM_JOB_ID="8")
    asked = set(fake.calls("scontrol"))
    assert asked == {"scontrol -o show job 8_2", "scontrol requeue 8_2"}
    assert (root / "told").read_text() == f"{place.job_id} {place.path}\n"
    assert attempts.read(place.attempts).starts == 1


def test_a_folder_that_the_node_does_not_see_is_named(fake: FakeSlurm, root: Path) -> None:
    place = make_job(root)
    place.remove()
    done = run(fake, root, "exit 0")
    assert done.returncode == 2
    assert done.stderr == f"mapush: {place.path}: is not there on n1; does this node see it?\n"
    assert fake.calls() == []


def until(condition: Any) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 30 s")


@contextlib.contextmanager
def started(given: Dict[str, Any], root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A batch shell whose trainer waits until it may end; nothing of both outlives the block."""
    given = {**given, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(**given) as batch:
        try:
            yield batch
        finally:
            (root / "stop").touch()
            batch.kill()


WAITING = 'echo "$$" > "{root}/pid"; until [ -e "{root}/stop" ]; do /bin/sleep 0.02; done; exit 75'


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1", "USR2"])
@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING"])
def test_a_signal_to_the_shell_alone_is_handed_on_while_the_job_runs(
    state: str, name: str, fake: FakeSlurm, root: Path
) -> None:
    make_job(root)
    fake.answer("show", shown(state), shown())
    given = shell(fake, root, WAITING.format(root=root))
    with started(given, root) as batch:
        until((root / "pid").exists)
        batch.send_signal(getattr(signal, f"SIG{name}"))
        handed = [f"scancel --signal={name} {ID}"] if state == "RUNNING" else []
        until(lambda: fake.calls("scontrol -o show"))
        if handed:
            until(lambda: fake.calls("scancel"))
        (root / "stop").touch()
        out, _ = batch.communicate(timeout=30)
    assert fake.calls("scancel") == handed
    assert batch.returncode == 75, out
    assert fake.calls("scontrol requeue") == [f"scontrol requeue {ID}"]


@pytest.mark.parametrize(
    ("name", "standing", "requeues"),
    [
        ("TERM", {"state": "COMPLETING", "preempted": ENDED, "ends": ENDED}, 1),
        ("TERM", {"state": "COMPLETING", **TIMED_OUT}, 1),
        ("TERM", {"state": "COMPLETING"}, 0),
        ("TERM", {"state": "COMPLETING", "restarts": 1}, 0),
        ("USR1", {"state": "COMPLETING", **TIMED_OUT}, 0),
    ],
)
def test_at_slurms_end_of_a_job_the_requeue_does_not_wait_for_the_step(
    name: str, standing: Dict[str, Any], requeues: int, fake: FakeSlurm, root: Path
) -> None:
    make_job(root)
    fake.answer("show", shown(**standing))
    given = shell(fake, root, WAITING.format(root=root))
    with started(given, root) as batch:
        until((root / "pid").exists)
        batch.send_signal(getattr(signal, f"SIG{name}"))
        until(lambda: fake.calls("scontrol -o show"))
        if requeues:
            until(lambda: fake.calls("scontrol requeue"))
        fake.answer("show", shown("COMPLETING", restarts=standing.get("restarts", 0)))
        (root / "stop").touch()
        out, _ = batch.communicate(timeout=30)
    assert len(fake.calls("scontrol requeue")) == requeues, out
    assert fake.calls("scancel") == []
    assert batch.returncode == 75


def test_signals_do_not_hide_the_steps_own_exit_code(fake: FakeSlurm, root: Path) -> None:
    make_job(root)
    fake.answer("show", SILENT)  # nothing is handed on
    given = shell(fake, root, WAITING.format(root=root))
    with started(given, root) as batch:
        until((root / "pid").exists)
        for _ in range(20):
            batch.send_signal(signal.SIGTERM)
            batch.send_signal(signal.SIGUSR1)
            time.sleep(0.005)
        fake.answer("show", shown())
        (root / "stop").touch()
        out, _ = batch.communicate(timeout=30)
    assert batch.returncode == 75, out


def test_slurms_signal_to_all_does_not_stop_what_is_done_about_it(
    fake: FakeSlurm, root: Path
) -> None:
    place = make_job(root)
    make_run(root, [1000])
    step = f'echo "$PPID" > "{root}/shell"; echo "$PPID" > "{fake.place}/strike"; exit 75'
    # The step's parent is the batch shell: the made-up srun becomes the step itself.
    given = shell(fake, root, step)
    with subprocess.Popen(
        **given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as batch:
        out, _ = batch.communicate(timeout=30)
    assert (root / "shell").read_text() == f"{batch.pid}\n"
    assert (fake.place / "struck").exists()
    assert (batch.returncode, len(fake.calls("scontrol requeue"))) == (75, 1), out
    assert fake.calls("sleep") == []  # SLURM's answer came through
    assert attempts.read(place.attempts).ended != []


def test_a_full_disk_is_outlasted_by_a_requeue(fake: FakeSlurm, tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "small", "size=2m,nr_inodes=300") as root:
        place = make_job(root)
        make_run(root, [1000])
        # A new line would find room in the last block.
        place.attempts.write_bytes(place.attempts.read_bytes().ljust(4096, b"\n"))
        fill(root)
        done = run(fake, root, "exit 75")
        assert done.returncode == 75
        assert len(fake.calls("scontrol requeue")) == 1
        assert "the disk is full" in done.stderr
        assert "this start could not be noted" in done.stdout
        assert attempts.read(place.attempts).starts == 0
        # SLURM's own count stands in for the starts that could not be noted.
        fake.restarted()
        fake.answer("show", shown(restarts=1))
        done = run(fake, root, 'echo "restart $MAPUSH_RESTART_COUNT"; exit 75', restarts=1)
        assert "restart 1\n" in done.stdout
        assert len(fake.calls("scontrol requeue")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_no_reason_to_lose_a_job(
    fake: FakeSlurm, root: Path
) -> None:
    place = make_job(root)
    place.path.chmod(0o500)
    place.attempts.chmod(0o400)
    done = run(fake, root, "exit 75")
    assert (done.returncode, len(fake.calls("scontrol requeue"))) == (75, 1), done.stderr


TIMES = [
    ("00:01:00", 60),
    ("1-00:00:00", 86400),
    ("2-08:09:10", 2 * 86400 + 8 * 3600 + 9 * 60 + 10),
    ("UNLIMITED", 0),
    ("Partition_Limit", 0),
    ("", 0),
]


@pytest.mark.parametrize(("text", "seconds"), TIMES)
def test_slurms_times_are_read(text: str, seconds: int, fake: FakeSlurm, root: Path) -> None:
    make_job(root)
    given = shell(fake, root)
    script = 'set -u; . "$MAPUSH_CODE/job/batch.sh"; mapush_seconds "$1"'
    done = fake.run(["bash", "-c", script, "batch", text], given["env"])
    assert (done.stdout, done.stderr) == (f"{seconds}\n", "")
