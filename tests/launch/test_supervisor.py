"""The supervisor as a process, with real shells and trainers, and SLURM's commands made up."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
from fake_node import ID, JOB, PENDING, SILENT, UNKNOWN, Answer, FakeNode, said, shown, submitted
from made_jobs import until

from mapush.launch.jobs import JobFolder
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner

ENDED = "2036-11-23T21:00:00"


def slurm_time(hours: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")


TIMED_OUT = {"started": slurm_time(-2), "limit": "01:00:00", "reason": "TimeLimit"}


QUIET = shown()


@dataclasses.dataclass
class Case:
    """An end of the trainer, what SLURM says of the job then, and what must come of it."""

    code: int
    """Of srun."""
    exit_code: int
    """Of the job."""
    requeues: int
    """How often a requeue is asked for."""
    outcome: Optional[int] = None
    """The exit code that is written down as the job's end; None if it goes on."""
    show: Tuple[Answer, ...] = (shown(),)
    """After the first answer, at the start, which is `start`."""
    requeue: Tuple[Answer, ...] = ()
    start: Answer = QUIET
    steps: Tuple[int, ...] = (1000,)
    complete: bool = False
    says: str = ""
    asks: Optional[int] = None
    """How often SLURM is asked after the start, where that matters."""
    profile: Dict[str, Any] = dataclasses.field(default_factory=dict)


CASES = {
    # The trainer's own end, SLURM quiet.
    "stopped with a checkpoint": Case(75, 75, 1, says="requeued"),
    "done": Case(0, 0, 0, 0, complete=True, says="the trainer is done: done", asks=0),
    "0 of a run that is not complete": Case(0, 1, 1),
    "0 without any run": Case(0, 1, 1, steps=()),
    "refused": Case(2, 2, 0, 2, asks=0),
    "failed": Case(1, 1, 1),
    "killed": Case(137, 137, 1, says="killed by SIGKILL"),
    "could not be started": Case(127, 127, 0, 127, asks=0),
    "could not be executed": Case(126, 126, 0, 126, asks=0),
    # SLURM has requeued it already: by itself, or somebody else has.
    "preempted without grace": Case(75, 75, 0, show=(shown("COMPLETING", 1),)),
    "srun killed by that": Case(143, 75, 0, show=(shown("COMPLETING", 1),)),
    "slurmd killed": Case(0, 75, 0, show=(shown("PENDING", 1, "BeginTime"),)),
    "node down, requeued often before": Case(
        137, 75, 0, show=(shown("PENDING", 4),), start=shown(restarts=3)
    ),
    # Not yet, and SLURM will not do it by itself.
    "in the grace time": Case(75, 75, 1, show=(shown(preempted=ENDED, ends=ENDED),)),
    "requeued before": Case(75, 75, 1, show=(shown(restarts=3),), start=shown(restarts=3)),
    "time limit, still running": Case(75, 75, 1, show=(shown(**TIMED_OUT),)),
    "time limit has struck": Case(75, 75, 1, show=(shown("COMPLETING", **TIMED_OUT),)),
    "time limit, over": Case(137, 137, 1, show=(shown("TIMEOUT", **TIMED_OUT),)),
    "preempted by cancelling": Case(
        75, 75, 1, show=(shown("COMPLETING", preempted=ENDED, ends=ENDED),)
    ),
    # Cancelled: a requeue would bring it back.
    "scancel": Case(75, 75, 0, 75, show=(shown("COMPLETING"),), says="cancelled, with the check"),
    "scancel of a restarted job": Case(
        75, 75, 0, 75, show=(shown("COMPLETING", 2),), start=shown(restarts=2)
    ),
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
        0, 0, 0, 0, show=(shown("COMPLETING"),), complete=True, asks=0
    ),
    "cancelled while it is judged": Case(
        75, 75, 0, 75, show=(shown(), shown("COMPLETING")), says="cancelled, so not requeued"
    ),
    "requeued while it is judged": Case(
        75, 75, 0, show=(shown(), shown("COMPLETING", 1)), says="requeued by SLURM"
    ),
    # SLURM does not answer, or refuses, or in words that are not its own.
    "asked again at once": Case(75, 75, 1, show=(SILENT,) * 3 + (shown(),)),
    "an answer without a job": Case(75, 75, 1, show=((0, "hello"), shown())),
    "a greeting before the answer": Case(
        75, 75, 1, show=((0, f"Welcome! 3 jobs run.\n{shown()[1]}"),)
    ),
    "a job's name that looks like a state": Case(
        75, 75, 1, show=(shown(name="a JobState=CANCELLED b"),)
    ),
    "asked for long": Case(75, 75, 1, show=(SILENT,) * 12 + (shown(),), says="; asking again"),
    "no answer for ever": Case(75, 75, 0, 75, show=(SILENT,), says="SLURM does not answer"),
    "forgotten for a moment": Case(75, 75, 1, show=(UNKNOWN, shown())),
    "a requeue refused once": Case(
        75, 75, 2, requeue=((1, "Requested operation is presently disabled"), (0, "")),
        says="scontrol: Requested operation is presently disabled",
    ),
    "a requeue refused because SLURM has done it": Case(
        75, 75, 1, show=(shown(), shown(), shown("COMPLETING", 1)), requeue=(PENDING,),
        says="requeued by SLURM",
    ),
    "a requeue refused, then cancelled": Case(
        75, 75, 1, 75, show=(shown(), shown(), shown("COMPLETING")), requeue=(SILENT,)
    ),
    "a requeue refused for ever": Case(
        75, 75, 90, 75, requeue=((1, "Access/permission denied"),), says=f"--job-id {JOB}"
    ),
    # Limits of the job itself.
    "requeue is off": Case(75, 75, 0, 75, says="requeue is off", profile={"requeue": False}),
    "sbatch was told --no-requeue": Case(75, 75, 0, 75, start=shown(requeue=0)),
    "no failure is forgiven": Case(
        1, 1, 0, 1, says="all 0 restarts", profile={"max_failures": 0}
    ),
    "no start without progress": Case(
        1, 1, 0, 1, steps=(), says="brought no newer checkpoint", profile={"max_idle": 1}
    ),
}  # fmt: skip


@pytest.fixture(name="node")
def fake_node(tmp_path: Path) -> FakeNode:
    return FakeNode(tmp_path / "slurm")


@pytest.fixture(name="root")
def root_with_a_space(tmp_path: Path) -> Path:
    root = tmp_path / "a root"
    root.mkdir()
    return root


def make_run(root: Path, steps: Tuple[int, ...], complete: bool = False) -> RunDirectory:
    """A job's run with checkpoints of no content."""
    start = datetime(2026, 11, 23, 18)
    run = reserve(root, "cuboid", "go1push_mid", start, Owner.current(job_id=JOB))
    for step in steps:
        (run.checkpoints / f"rl_model_{step}_steps").mkdir(parents=True)
    if complete:
        finish(run)
    return run


def supervise(
    node: FakeNode, place: JobFolder, **environment: str
) -> subprocess.CompletedProcess[str]:
    return node.run(node.command("--job", place.path), node.environment(**environment))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[pytest.mark.slow] if "for ever" in name else [])
        for name, case in CASES.items()
    ],
)
def test_what_ends_a_trainer_is_requeued_once_or_not_at_all(
    case: Case, node: FakeNode, root: Path
) -> None:
    place = submitted(root, **case.profile)
    make_run(root, case.steps, case.complete)
    node.answer("srun", (case.code, ""))
    node.answer("show", case.start, *case.show)
    if case.requeue:
        node.answer("requeue", *case.requeue)
    done = supervise(node, place)
    text = done.stdout + said(place)
    assert done.returncode == case.exit_code, text
    assert node.calls("scontrol requeue") == [f"scontrol requeue {ID}"] * case.requeues, text
    outcome = place.outcome()
    assert (outcome and outcome.exit_code) == case.outcome, text
    assert case.says in text
    if case.asks is not None:
        assert len(node.calls("scontrol show")) == 1 + case.asks
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("code", "exit_code", "starts", "words"),
    [
        (0, 0, 1, "the trainer is done"),
        (2, 2, 1, "the trainer refused the request"),
        (75, 75, 3, "started again in place"),
    ],
)
def test_a_node_without_scontrol_keeps_no_job_waiting(
    code: int, exit_code: int, starts: int, words: str, node: FakeNode, root: Path
) -> None:
    ends = f'echo . >> "{root}/starts"; [ $(wc -l < "{root}/starts") -lt 3 ] || exit 2; exit {code}'
    place = submitted(root, ends)
    make_run(root, (1000,), complete=code == 0)
    node.lacks("scontrol", "scancel", "squeue")
    environment = node.environment()
    # The machine's own SLURM lies where sites have theirs.
    program = node.command("--job", place.path)
    program[5] = (
        program[5]
        .replace("from mapush", "import os\nfrom mapush", 1)
        .replace("sys.exit", "from mapush.launch.node import slurm\nslurm._PLACES = ()\nsys.exit")
    )
    environment["PATH"] = f"{node.bin}:{_without_slurm(root)}"
    done = node.run(program, environment)
    text = done.stdout + said(place)
    assert words in text
    assert "scontrol: not found in PATH" in text
    assert len((root / "starts").read_text().split()) == starts
    assert done.returncode == (exit_code if code != 75 else 2), text


def _without_slurm(root: Path) -> Path:
    """The programs that a trainer needs, in a directory without SLURM's."""
    place = root / "programs"
    place.mkdir()
    for name in ("bash", "sh", "wc", "stat", "cat", "env", "grep", "touch", "id", "sleep"):
        (place / name).symlink_to(f"/usr/bin/{name}")
    return place


SHELLS: Dict[str, List[str]] = {
    "strict": ["set -euo pipefail"],
    "noclobber": ["set -o noclobber"],
    "posix": ["set -o posix"],
    "a trap at the end": ["trap 'echo bye; exit 0' EXIT"],
    "signals ignored": ["trap '' TERM INT USR1 USR2"],
    "an alias and a function": [
        "exec() { echo no; }",
        "shopt -s expand_aliases",
        "alias exec='echo no' scontrol=false bash=false",
    ],
    "output sent away": ["exec >/dev/null 2>&1 </dev/null"],
    "another directory": ["cd /"],
    "another language": ["export LC_ALL=xx_YY LANG=tr_TR.UTF-8"],
    "another PATH": ["export PATH=/nowhere"],
    "no room for temporary files": ["export TMPDIR=/proc/nowhere"],
    "little of everything": ["ulimit -n 64", "ulimit -c 0", "umask 077"],
    "SLURM's variables": ["export SLURM_JOB_ID=1 SLURM_CONF=/nowhere SLURM_RESTART_COUNT=9"],
    "a python in the way": ["export PYTHONHOME=/nowhere PYTHONPATH=/nowhere"],
}


@pytest.mark.slow
@pytest.mark.parametrize("lines", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize("code", [75, 1, 2])
def test_no_set_up_line_changes_the_verdict(
    code: int, lines: List[str], node: FakeNode, root: Path
) -> None:
    place = submitted(root, f"printf 'mapush: the last word\\n' >&2; exit {code}", setup=lines)
    make_run(root, (1000,))
    done = supervise(node, place)
    assert done.returncode == code, said(place)
    assert len(node.calls("scontrol requeue")) == (code != 2)
    assert place.ledger().ended[0].exit_code == code
    assert "mapush: the last word" in said(place)


FILES = {
    "prints": "echo hello; echo there >&2",
    "fails": "false; set -e; set -u",
    "traps": "trap 'exit 0' EXIT USR1 TERM",
    "redefines": "scontrol() { :; }; exec() { :; }; python3() { :; }; export -f exec",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_no_start_up_file_of_the_shell_changes_the_verdict(
    text: str, node: FakeNode, root: Path
) -> None:
    startup = root / "startup"
    startup.write_text(text, encoding="utf-8")
    place = submitted(root, "exit 75")
    make_run(root, (1000,))
    odd = {"BASH_ENV": str(startup), "ENV": str(startup), "SHELLOPTS": "errexit:noclobber:nounset"}
    done = supervise(node, place, **odd)
    assert (done.returncode, len(node.calls("scontrol requeue"))) == (75, 1), said(place)


def test_the_user_s_lines_see_his_environment_and_it_reaches_the_trainer_alone(
    node: FakeNode, root: Path
) -> None:
    tell = f'env -0 | sort -z > "{root}/told"; exit 75'
    setup = ["greet", "export FROM_SETUP=$MINE", "export PYTHONPATH=/module:$PYTHONPATH"]
    place = submitted(root, tell, setup=setup)
    make_run(root, (1000,))
    own = {
        "MINE": "a value\nin two lines",
        "PYTHONPATH": "/mine",
        "LD_LIBRARY_PATH": "/libraries",
        "BASH_FUNC_greet%%": "() { export GREETED=1; }",
        "SLURM_MEM_PER_CPU": "500",
        "SBATCH_PARTITION": "debug",
        "MAPUSH_JOB_ID": "another",
        "MAPUSH_CONTAINER": "another's",
        "CUDA_VISIBLE_DEVICES": "3",
    }
    supervise(node, place, **own)
    told = dict(each.split("=", 1) for each in (root / "told").read_text().split("\0") if each)
    assert told["MINE"] == told["FROM_SETUP"] == own["MINE"]
    assert told["LD_LIBRARY_PATH"] == "/libraries"
    assert told["GREETED"] == "1"
    assert told["PYTHONPATH"] == f"{root}/code-{JOB}:/module:/mine"
    assert told["MAPUSH_JOB_ID"] == JOB
    assert told["MAPUSH_CONTAINER"] == ""
    assert not {"SLURM_MEM_PER_CPU", "SBATCH_PARTITION", "CUDA_VISIBLE_DEVICES"} & set(told)
    seen = {line.partition("=")[0] for name in ("srun", "scontrol") for line in node.seen_by(name)}
    assert seen == {"SLURM_CONF"}


@pytest.mark.parametrize(
    ("lines", "restarts", "code", "requeues"),
    [
        (["set -e", "false"], 0, 2, 0),
        (["exit 0"], 0, 2, 0),
        (["exit 7"], 0, 2, 0),
        (["set -e", "false"], 1, 78, 1),
    ],
)
def test_a_set_up_line_that_ends_its_shell_is_told_and_tried_again_only_later(
    lines: List[str], restarts: int, code: int, requeues: int, node: FakeNode, root: Path
) -> None:
    place = submitted(root, setup=lines)
    if restarts:
        place.note("start", node="n0")
        place.note("end", code=75, step=500)
        make_run(root, (1000,))
    node.answer("show", shown(restarts=restarts))
    done = supervise(node, place)
    assert "mapush: a set-up line ended its shell before the trainer was started" in said(place)
    assert (done.returncode, len(node.calls("scontrol requeue"))) == (code, requeues), said(place)


@contextlib.contextmanager
def started(node: FakeNode, place: JobFolder, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor whose trainer waits until it may end; nothing of both outlives the block."""
    with subprocess.Popen(
        node.command("--job", place.path), env=node.environment(), start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            (root / "stop").touch()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


WAITING = 'echo "$$" > "{root}/pid"; until [ -e "{root}/stop" ]; do sleep 0.02; done; exit 75'


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1", "USR2"])
@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING"])
def test_a_signal_to_the_batch_script_alone_is_handed_on_while_the_job_runs(
    state: str, name: str, node: FakeNode, root: Path
) -> None:
    place = submitted(root, WAITING.format(root=root))
    make_run(root, (1000,))
    node.answer("show", shown(), shown(state), shown())
    with started(node, place, root) as process:
        until((root / "pid").exists)
        process.send_signal(getattr(signal, f"SIG{name}"))
        handed = [f"scancel --signal={name} {ID}"] if state == "RUNNING" else []
        until(lambda: len(node.calls("scontrol show")) > 1)
        if handed:
            until(lambda: node.calls("scancel"))
        (root / "stop").touch()
        assert process.wait(30) == 75
    assert node.calls("scancel") == handed
    assert node.calls("scontrol requeue") == [f"scontrol requeue {ID}"]


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
def test_at_slurms_end_of_a_job_the_requeue_does_not_wait_for_the_trainer(
    name: str, standing: Dict[str, Any], requeues: int, node: FakeNode, root: Path
) -> None:
    place = submitted(root, WAITING.format(root=root))
    make_run(root, (1000,))
    node.answer("show", shown(), shown(**standing))
    with started(node, place, root) as process:
        until((root / "pid").exists)
        process.send_signal(getattr(signal, f"SIG{name}"))
        until(lambda: len(node.calls("scontrol show")) > 1)
        if requeues:
            until(lambda: node.calls("scontrol requeue"))
        node.answer("show", shown("COMPLETING", restarts=standing.get("restarts", 0)))
        (root / "stop").touch()
        assert process.wait(30) == 75
    assert len(node.calls("scontrol requeue")) == requeues


@pytest.mark.slow
def test_failures_without_progress_are_restarted_later_and_later(
    node: FakeNode, root: Path
) -> None:
    place = submitted(root, "exit 1", failure_wait=7)
    make_run(root, (1000,))
    for restarts, later in enumerate([None, None, 7, 35]):
        node.restarted()
        node.answer("show", shown(restarts=restarts))
        node.answer("requeued", shown("COMPLETING", restarts + 1))
        assert supervise(node, place).returncode == 1
        wanted = [f"scontrol update JobId={ID} StartTime=now+{later}"] if later else []
        assert node.calls("scontrol update") == wanted


def test_a_job_is_requeued_until_it_is_done_and_each_start_is_written_down(
    node: FakeNode, root: Path
) -> None:
    ends = f'echo "start $MAPUSH_RESTART_COUNT of $MAPUSH_JOB_ID"; exit "$(cat "{root}/end")"'
    place = submitted(root, ends)
    made = make_run(root, (1000,))
    codes = []
    for restarts, end in enumerate(["75", "137", "0"]):
        (root / "end").write_text(end)
        node.restarted()
        node.answer("show", shown(restarts=restarts))
        if end == "0":
            finish(made)
        codes.append(supervise(node, place).returncode)
        assert len(node.calls("scontrol requeue")) == (end != "0")
        assert (place.outcome() is not None) == (end == "0")
    assert codes == [75, 137, 0]
    ledger = place.ledger()
    assert (ledger.starts, ledger.node) == (3, "n1")
    assert [each.exit_code for each in ledger.ended] == codes
    lines = [line for line in said(place).splitlines() if line.startswith("start ")]
    assert lines == [f"start {number} of {JOB}" for number in range(3)]


def test_a_member_of_an_array_is_known_by_its_own_number_only(node: FakeNode, root: Path) -> None:
    tell = f'echo "$MAPUSH_JOB_ID $MAPUSH_SLURM_ID $MAPUSH_JOB_OF" > "{root}/told"; exit 75'
    place = submitted(root, tell, job_id=f"{JOB}_2")
    array = "ArrayJobId=8 ArrayTaskId=2 "
    one, other = shown(job="9", array="ArrayJobId=8 ArrayTaskId=1 ")[1], shown(array=array)[1]
    # The last member's number is the array's own, and SLURM shows all of it.
    node.answer("show", (0, f"{one}\n{other}"))
    node.answer("requeued", (0, f"{one}\n{shown('COMPLETING', 1, array=array)[1]}"))
    command = node.command("--job", str(place.place.with_name(JOB)))
    done = node.run(command, node.environment(SLURM_ARRAY_JOB_ID="2", SLURM_ARRAY_TASK_ID="7"))
    assert done.returncode == 75, done.stdout
    assert node.calls("scontrol requeue") == ["scontrol requeue 8_2"]
    assert (root / "told").read_text() == f"{place.job_id} 8_2 8\n"


def test_a_folder_that_the_node_does_not_see_is_named(node: FakeNode, root: Path) -> None:
    place = submitted(root)
    shutil.rmtree(place.path)
    done = supervise(node, place)
    assert done.returncode == 2
    assert f"mapush: {place.path}: cannot be read on" in done.stdout
    assert node.calls("srun") == []


def test_a_cancelled_run_says_so(node: FakeNode, root: Path) -> None:
    place = submitted(root, "exit 75")
    run = make_run(root, (1000,))
    node.answer("show", shown(), shown("COMPLETING"))
    supervise(node, place)
    outcome = place.outcome()
    assert outcome is not None
    assert outcome.cancelled
    for record in (run.results / "run.yaml", run.live / "run.yaml"):
        assert "\nstatus: cancelled\n" in record.read_text()


def test_another_jobs_variables_never_make_it_the_one_that_is_requeued(
    node: FakeNode, root: Path
) -> None:
    place = submitted(root, "exit 75", job_id=f"{JOB}_7")
    # SLURM does not answer at the start, and does at the end.
    node.answer("show", *[SILENT] * 10, shown())
    inherited = {"SLURM_ARRAY_JOB_ID": "2", "SLURM_ARRAY_TASK_ID": "7", "SLURM_RESTART_COUNT": "4"}
    command = node.command("--job", str(place.place.with_name(JOB)))
    done = node.run(command, node.environment(**inherited))
    assert "what the environment says of the job is believed" in done.stdout
    assert done.returncode == 75, said(place)
    assert node.calls("scontrol requeue") == [f"scontrol requeue {ID}"]
