"""A trainer in a real container: the signals, files and arguments it gets, and its exit code."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest
import tiny_image
from worlds import PROJECT, WORLDS, World, facts

from mapush.runs.owner import Owner

SECONDS = 20
TRAINER = ("bash", "-c", 'exec "$PYTHON" trainer.py "$@"', "bash")
ODD = (
    "a b",
    "",
    "q'uo\"te",
    "$HOME",
    "`id`",
    "com,ma",
    "co:lon",
    "line\nbreak",
    "back\\slash",
    "*",
)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def case(world: World, request: pytest.FixtureRequest) -> Path:
    """A results root of the caller's with a snapshot of the code in it."""
    name = request.node.originalname
    shutil.rmtree(world.folder / name, ignore_errors=True)
    root = world.directory(name, "results root, 'it\"s'")
    code = root / "code snapshot"
    shutil.copytree(
        PROJECT / "mapush", code / "mapush", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(Path(__file__).with_name("little_trainer.py"), code / "trainer.py")
    return root


@pytest.fixture
def start(world: World, case: Path) -> Iterator[Start]:
    """Starts trainers of one job; none outlives the test."""
    started: List[subprocess.Popen[str]] = []

    def begin(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        job: Dict[str, str] = {
            "MAPUSH_JOB_ID": "11-23-20-30-00_cuboid",
            "MAPUSH_ROOT": str(case),
            "MAPUSH_CODE": str(case / "code snapshot"),
            **environment,
        }
        started.append(world.start(*TRAINER, *arguments, **job))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=SECONDS)


def death_of(pid: int, seconds: float = SECONDS) -> bool:
    """Whether a process ends in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with contextlib.closing(os.fdopen(handle)):
        return bool(select.select([handle], [], [], seconds)[0])


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_trainer_and_75_comes_back(start: Start, last: signal.Signals) -> None:
    process = start("until", str(last.value))
    facts(process)
    assert process.stdout
    for number in (signal.SIGUSR1, signal.SIGUSR2, last):
        process.send_signal(number)
        assert process.stdout.readline() == f'{{"heard": {number.value}}}\n'
    assert process.wait(SECONDS) == 75


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_exit_code_comes_back(start: Start, code: int) -> None:
    assert start("exit", str(code)).wait(SECONDS) == code


def test_the_trainer_sees_its_job_and_nothing_of_the_host(
    world: World, case: Path, start: Start, tmp_path: Path
) -> None:
    weird = "a,b:\"c\" 'd' $HOME `id` \\ \\n\nsecond line"
    process = start(
        *("exit", "0", *ODD),
        MAPUSH_WEIRD=weird,
        MAPUSH_CONTAINER_PYTHON="/usr/local/bin/python3",
        MAPUSH_RESTART_COUNT="3",
        SLURM_JOB_ID="17",
        SLURM_JOB_NAME="not passed",
        CUDA_VISIBLE_DEVICES="",
        PYTHONUNBUFFERED="1",
        PYTHON="/host/python",
        PYTHONPATH="/host/modules",
        HOST_ONLY="1",
        TZ="Pacific/Kiritimati",
    )
    seen = facts(process)
    code = str(case / "code snapshot")
    expected = {
        "MAPUSH_JOB_ID": "11-23-20-30-00_cuboid",
        "MAPUSH_RESTART_COUNT": "3",
        "MAPUSH_ROOT": str(case),
        "MAPUSH_WEIRD": weird,
        "SLURM_JOB_ID": "17",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHON": "/usr/local/bin/python3",
        "PYTHONPATH": f"{code}:{tiny_image.IMAGE_PYTHONPATH}",
        "TZ": "Pacific/Kiritimati",
    }
    there = seen["environment"]
    assert {name: there.get(name) for name in expected} == expected
    hidden = ["HOST_ONLY", "SLURM_JOB_NAME", "MAPUSH_CONTAINER", "MAPUSH_RUNTIME", "TMPDIR"]
    assert [name for name in hidden if name in there] == []
    assert seen["arguments"] == list(ODD)
    assert seen["directory"] == code
    assert seen["host"] == socket.gethostname()
    assert not [path for path in seen["modules"] if "/host/" in path or ".local" in path]
    assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("world", [*WORLDS, "docker of a user"], indirect=True)
def test_files_in_the_root_are_the_callers_and_the_code_cannot_be_written(
    world: World, case: Path, start: Start
) -> None:
    process = start("exit", "0")
    seen = facts(process)
    assert process.wait(SECONDS) == 0
    assert {(case / name).stat().st_uid for name in ("made", "made here")} == {world.uid}
    assert (case / "made").read_text() == "by the trainer"
    assert not seen["code is writable"]
    assert seen["user"] == ("walker" if world.prefix else "root")


def test_the_containers_clock_and_shared_memory_are_the_hosts(start: Start) -> None:
    clock = Path("/etc/localtime")
    before = time.strftime("%Y-%m-%d %H")
    # The image has a time zone of its own, which the caller's wins over.
    seen = facts(start("exit", "0", TZ=os.environ.get("TZ", "UTC")))
    assert seen["hour"] in (before, time.strftime("%Y-%m-%d %H"))
    assert seen["clock"] == (clock.read_bytes().hex() if clock.exists() else None)
    assert seen["shared memory"] == os.statvfs("/dev/shm").f_blocks


def test_torch_builds_its_extensions_anew_in_every_start(start: Start) -> None:
    # The trainer makes a lock there exclusively and leaves it, as a killed build does.
    for _ in range(2):
        process = start("exit", "0")
        folder = facts(process)["environment"]["TORCH_EXTENSIONS_DIR"]
        assert folder.endswith("/torch_extensions")
        assert process.wait(SECONDS) == 0


# The other runtimes keep them in the container, with which they end.
@pytest.mark.parametrize("world", ["apptainer", "apptainer of a user"], indirect=True)
def test_such_folders_go_from_the_host_when_nobody_uses_them(start: Start) -> None:
    ended = start("exit", "0", MAPUSH_JOB_ID="another")
    running = start("until", str(signal.SIGTERM.value))
    first, second = (
        Path(facts(process)["environment"]["TORCH_EXTENSIONS_DIR"]).parent
        for process in (ended, running)
    )
    assert ended.wait(SECONDS) == 0
    assert start("exit", "0", MAPUSH_JOB_ID="third").wait(SECONDS) == 0
    assert [first.exists(), second.exists()] == [False, True]


def test_binds_are_there_with_their_odd_names(world: World, case: Path, start: Start) -> None:
    names = ["sp ace", "quo'te\"", "$dollar", "back\\slash", "com,ma", "ünicode"]
    for name in names:
        (world.directory(case.parent.name, "binds", name) / "inside").write_text("")
    binds = case.parent / "binds"
    lines = [
        *(str(binds / name) for name in names),
        f"{binds / 'sp ace'}:/mounted/else where:ro",
        f"{binds / 'com,ma'}:/mounted/com,ma:ro",
        "",
    ]
    bound = [*(str(binds / name) for name in names), "/mounted/else where", "/mounted/com,ma"]
    process = start("exit", "0", MAPUSH_BINDS="\n".join(lines), MAPUSH_TEST_BOUND="\n".join(bound))
    there = facts(process)["binds"]
    assert [there[path][1] for path in bound] == [True] * len(names) + [False, False]
    assert {tuple(there[path][0]) for path in bound} <= {("inside",), ("inside", "written")}
    assert process.wait(SECONDS) == 0


def test_the_host_knows_a_dead_owner_at_once(start: Start) -> None:
    process = start("until", str(signal.SIGTERM.value))
    owner = Owner.from_mapping(facts(process)["owner"])
    assert not owner.has_ended()
    os.kill(owner.pid, signal.SIGKILL)
    assert process.wait(SECONDS) in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert owner.has_ended()


def test_what_a_killed_client_leaves_does_not_train_beside_the_next_start(
    world: World, case: Path, start: Start
) -> None:
    first = start("until", str(signal.SIGTERM.value))
    left = facts(first)["owner"]["pid"]
    first.kill()
    first.wait(SECONDS)
    if world.runtime == "apptainer":  # its kernel takes the trainer along
        assert death_of(left)
    second = start("until", str(signal.SIGTERM.value))
    facts(second)
    assert death_of(left, 0)
    if world.runtime != "apptainer":
        # It was asked before it was killed, so that it could save.
        assert (case / "heard").read_text() == f"{signal.SIGTERM.value}\n"
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate(timeout=SECONDS)
    assert second.returncode == 75
    assert ("left by an earlier start" in said) == (world.runtime != "apptainer")


@pytest.mark.parametrize(
    ("command", "environment", "message"),
    [
        (["no-such-thing"], {}, "mapush: no-such-thing: no such command in the container"),
        (
            ["true"],
            {"MAPUSH_CONTAINER_PYTHON": "/no/python"},
            "mapush: /no/python: no such command",
        ),
    ],
    ids=["command", "Python"],
)
def test_a_command_that_the_image_lacks_is_refused(
    world: World, command: List[str], environment: Dict[str, str], message: str
) -> None:
    process = world.start(*command, **environment)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert said.startswith(message)
    assert said.count("\n") == 1


def test_an_image_that_is_not_there_is_refused(world: World) -> None:
    image = "/no/such/image.sif" if world.runtime == "apptainer" else "mapush-test/no-such:1"
    process = world.start("true", MAPUSH_CONTAINER=image)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert said.startswith(f"mapush: MAPUSH_CONTAINER={image}: ")
    assert said.count("\n") == 1
