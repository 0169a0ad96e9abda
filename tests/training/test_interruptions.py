"""Real trainers that are stopped, killed and failed: what run.yaml, log.txt and the screen say."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import yaml

from mapush.environment.fused.environment import FusedEnvironment
from mapush.errors import StorageError
from mapush.runs.directory import RunDirectory
from mapush.train import main
from mapush.training import trainer as trainer_module
from mapush.training.trainer import Trainer
from tests.support import PROJECT, SMALL, only_run

# 400 steps per update; checkpoints at 400 and at the end, so that there is something to lose.
SETTINGS = [*SMALL, *"--save_freq 4000 --eval_freq 0 --final_envs 0 --train_timesteps 2000".split()]
INTERRUPTED = re.compile(
    r"interrupted \((\w+)\): ([\d,]+) steps done, ([\d,]+) steps lost, (\d+\.\d{3}) s lost, "
    r"node (\S+), restart (\d+), at (\S+)"
)
GOING_ON = re.compile(
    r"resumed: ([\d,]+) steps done, node (\S+), restart (\d+)(?:, SLURM job (\S+))?"
    r"(?:, (\d+\.\d{3}) s away)?"
)


@pytest.fixture(autouse=True)
def _in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    on(monkeypatch, "n3")


def on(patch: pytest.MonkeyPatch, node: str, restart: int = 0) -> None:
    """Start the next trainers there, as SLURM and the launcher do."""
    patch.setenv("SLURMD_NODENAME", node)
    patch.setenv("SLURM_JOB_ID", "4711")
    patch.setenv("MAPUSH_RESTART_COUNT", str(restart))


def train(root: Path) -> int:
    return main([*SETTINGS, "--root", str(root)])


def killed_before(root: Path, owner: str, method: str, call: int) -> subprocess.CompletedProcess:
    """A trainer that is killed in the middle, before the `call`-th call of a method."""
    module, _, kind = owner.rpartition(".")
    program = (
        f"import os\nfrom {module} import {kind} as kind\n"
        f"calls, original = [], kind.{method}\n"
        "def killing(self, *args, **named):\n"
        "    calls.append(None)\n"
        f"    if len(calls) == {call}: os.kill(os.getpid(), 9)\n"
        "    return original(self, *args, **named)\n"
        f"kind.{method} = killing\n"
        "from mapush.train import main\n"
        f"main({[*SETTINGS, '--root', str(root)]!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done


def record(root: Path) -> Dict[str, Any]:
    return yaml.safe_load((only_run(root) / "run.yaml").read_text())


def log_of(root: Path) -> str:
    paths = [*root.glob("log/MQE/*/*/log.txt"), *root.glob("results/*/log.txt")]
    return paths[0].read_text()


def lines(text: str, pattern: re.Pattern) -> List[tuple]:
    """What a pattern finds in the lines of a log or of the screen that are nothing else."""
    stamp = re.compile(r"^\[[^\]]+\] INFO ")
    found = [pattern.fullmatch(stamp.sub("", line)) for line in text.splitlines()]
    return [match.groups() for match in found if match]


def signal_before(
    patch: pytest.MonkeyPatch, owner: type, method: str, call: int, act: Callable[[], object]
) -> None:
    original: Callable = getattr(owner, method)
    calls: List[None] = []

    def counted(self: object, *arguments: object) -> object:
        calls.append(None)
        if len(calls) == call:
            act()
        return original(self, *arguments)

    patch.setattr(owner, method, counted)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_trainer_stopped_by_hand_says_how_to_resume_in_a_line_to_paste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MAPUSH_JOB_ID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name)
    root = tmp_path / "it's mine"
    signal_before(monkeypatch, FusedEnvironment, "step", 11, terminate)
    assert train(root) == 75
    said = capsys.readouterr().out.rpartition("resume with: ")[2]
    run = ("--run", only_run(root).name)
    assert shlex.split(said) == ["python", "-m", "mapush.train", *run, "--root", str(root)]


def test_a_signal_is_one_line_and_so_is_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        # In the third rollout, before the third of its 4 decisions of 5 control steps.
        signal_before(patch, FusedEnvironment, "step", 11, terminate)
        assert train(tmp_path) == 75
    stopped = capsys.readouterr().out
    (note,) = record(tmp_path)["interruptions"]
    assert note["seconds_away"] is None
    on(monkeypatch, "n4", restart=1)
    assert train(tmp_path) == 0
    went_on = capsys.readouterr().out
    (note,) = record(tmp_path)["interruptions"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", note["time"])
    age = datetime.now().astimezone() - datetime.fromisoformat(note["time"])
    assert 0 < note["seconds_away"] < age.total_seconds() < 120
    assert 0 < note["seconds_lost"] < 60
    # The decision in hand when the signal came is taken to its end.
    assert [note[name] for name in ("signal", "step", "steps_lost", "host", "restart")] == [
        "SIGTERM",
        800,
        300,
        "n3",
        0,
    ]
    lost = f"{note['seconds_lost']:.3f}"
    interrupted = [("SIGTERM", "800", "300", lost, "n3", "0", note["time"])]
    going_on = [("800", "n4", "1", "4711", f"{note['seconds_away']:.3f}")]
    log = log_of(tmp_path)
    assert lines(log, INTERRUPTED) == lines(stopped, INTERRUPTED) == interrupted
    assert lines(log, GOING_ON) == lines(went_on, GOING_ON) == going_on
    assert lines(went_on, INTERRUPTED) == lines(stopped, GOING_ON) == []
    assert len(re.findall("(?i)interrupted", log)) == len(re.findall("(?i)resumed: ", log)) == 1
    assert log.index("interrupted") < log.index("resumed: ")


@pytest.mark.slow
def test_for_a_process_that_was_killed_the_next_one_writes_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_before(tmp_path, "mapush.learners.ppo.PPOLearner", "update", 4)
    assert lines(log_of(tmp_path), INTERRUPTED) == []
    # As if it had given heartbeats long after its last update, in an evaluation.
    (log,) = tmp_path.glob("log/MQE/*/*/log.txt")
    os.utime(log, (1e9, 1e9))
    (lease,) = (log.parent / ".lease").iterdir()
    heard = datetime.fromtimestamp(lease.stat().st_mtime).astimezone()
    on(monkeypatch, "n4", restart=1)
    assert train(tmp_path) == 0
    (note,) = record(tmp_path)["interruptions"]
    (line,) = lines(log_of(tmp_path), INTERRUPTED)
    assert line[:3] == ("killed", "400", "800")
    assert line[4:] == ("n3", "0", note["time"])
    assert note["time"] == heard.isoformat(timespec="milliseconds")
    ((done, node, restart, _, away),) = lines(log_of(tmp_path), GOING_ON)
    assert (done, node, restart, away) == ("400", "n4", "1", f"{note['seconds_away']:.3f}")
    said = capsys.readouterr().out
    assert lines(said, INTERRUPTED) == [line]
    assert len(lines(said, GOING_ON)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "method"),
    [
        pytest.param("mapush.training.trainer.Trainer", "_fit", id="after-the-line"),
        pytest.param("mapush.training.append.AppendFile", "__init__", id="before-the-line"),
    ],
)
def test_a_resume_that_is_killed_before_it_trains_brings_no_line_twice(
    owner: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(tmp_path, "mapush.learners.ppo.PPOLearner", "update", 4)
    on(monkeypatch, "n4", restart=1)
    killed_before(tmp_path, owner, method, 1)
    on(monkeypatch, "n5", restart=2)
    assert train(tmp_path) == 0
    first, second = record(tmp_path)["interruptions"]
    found = lines(log_of(tmp_path), INTERRUPTED)
    assert [line[:3] for line in found] == [("killed", "400", "800"), ("killed", "400", "0")]
    assert [line[4:] for line in found] == [
        ("n3", "0", first["time"]),
        ("n4", "1", second["time"]),
    ]
    assert [line[:3] for line in lines(log_of(tmp_path), GOING_ON)] == [("400", "n5", "2")]
    assert 0 < second["seconds_away"] <= first["seconds_away"]


@pytest.mark.slow
def test_a_resume_that_is_killed_before_it_is_on_record_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(tmp_path, "mapush.learners.ppo.PPOLearner", "update", 4)
    (log,) = tmp_path.glob("log/MQE/*/*/log.txt")
    heard = datetime.fromtimestamp(log.stat().st_mtime).astimezone()
    on(monkeypatch, "n4", restart=1)
    killed_before(tmp_path, "mapush.runs.directory.RunDirectory", "update", 1)
    on(monkeypatch, "n5", restart=2)
    assert train(tmp_path) == 0
    (note,) = record(tmp_path)["interruptions"]
    assert (note["host"], note["restart"]) == ("n3", 0)
    assert note["time"] == heard.isoformat(timespec="milliseconds")


@pytest.mark.slow
def test_a_resume_that_is_killed_in_its_first_rollout_has_lost_no_logged_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(tmp_path, "mapush.learners.ppo.PPOLearner", "update", 4)
    killed_before(tmp_path, "mapush.learners.ppo.PPOLearner", "update", 1)
    on(monkeypatch, "n4", restart=2)
    assert train(tmp_path) == 0
    lost = [note["steps_lost"] for note in record(tmp_path)["interruptions"]]
    # Two saves may be on their way where an update takes less time than one.
    assert lost[0] in (800, 1200)
    assert lost[1] == 0
    assert len(lines(log_of(tmp_path), GOING_ON)) == 2


def test_a_resume_that_is_stopped_before_it_trains_is_not_said_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, method, call in ((FusedEnvironment, "step", 6), (Trainer, "_fit", 1)):
        with monkeypatch.context() as patch:
            signal_before(patch, owner, method, call, terminate)
            assert train(tmp_path) == 75
    assert len(lines(log_of(tmp_path), INTERRUPTED)) == 2
    assert lines(log_of(tmp_path), GOING_ON) == []
    assert train(tmp_path) == 0
    first, second = record(tmp_path)["interruptions"]
    assert (second["steps_lost"], len(lines(log_of(tmp_path), GOING_ON))) == (0, 1)
    assert first["seconds_away"] > second["seconds_away"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        StorageError("/somewhere: the disk is full"),
        OSError(errno.EIO, "Input/output error"),
    ],
    ids=["full-disk", "input-output-error"],
)
def test_a_fault_of_the_storage_in_training_is_to_be_tried_again(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise fault

    with monkeypatch.context() as patch:
        signal_before(patch, Trainer, "_finish_boundary", 4, fail)
        with pytest.raises(StorageError) as caught:
            train(tmp_path)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert record(tmp_path)["status"] == "failed"
    on(monkeypatch, "n4", restart=1)
    assert train(tmp_path) == 0
    ((what, done, lost, _, node, _, _),) = lines(log_of(tmp_path), INTERRUPTED)
    assert (what, done, lost, node) == ("failed", "400", "800", "n3")
    (note,) = record(tmp_path)["interruptions"]
    assert note["signal"] == "failed"
    assert note["seconds_away"] > 0


@pytest.mark.parametrize(
    ("restart", "code"),
    [pytest.param(0, 2, id="first-start"), pytest.param(1, 1, id="started-again")],
)
def test_before_training_has_begun_the_first_start_of_a_job_is_refused(
    restart: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("/somewhere: cannot be written")

    on(monkeypatch, "n3", restart)
    monkeypatch.setattr(trainer_module, "reserve", fail)
    with pytest.raises(StorageError) as caught:
        train(tmp_path)
    assert caught.value.exit_code == code


def test_a_run_that_cannot_go_on_just_now_is_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        signal_before(patch, FusedEnvironment, "step", 6, terminate)
        assert train(tmp_path) == 75

    def fail(*_: object, **__: object) -> None:
        raise StorageError("/somewhere: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "update", fail)
        with pytest.raises(StorageError) as caught:
            train(tmp_path)
    assert caught.value.exit_code == 1
    assert train(tmp_path) == 0
    assert len(lines(log_of(tmp_path), INTERRUPTED)) == 1
