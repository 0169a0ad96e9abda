"""Before a trainer trains: many tasks, the launcher's link, an owner of the same job."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Dict, List

import pytest

from mapush.environment.fused.environment import FusedEnvironment
from mapush.errors import OwnershipError, RequestError
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.lease import acquire, holder
from mapush.runs.listing import open_run
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.train import main
from mapush.training import startup
from mapush.training.startup import link_for_launcher, refuse_many_tasks, wait_for_lease
from tests.support import PROJECT, SMALL, only_run

QUICK = [*SMALL, *"--train_timesteps 800 --eval_freq 0 --final_envs 0".split()]
START = datetime(2025, 10, 28, 18, 7, 58)


def elsewhere(job: str, restart: int = 0) -> Owner:
    """A process on another machine, of which only the heartbeat can be known."""
    present = Owner.current(job, restart)
    return dataclasses.replace(present, host="node7", node="node7", pid=4711, namespace="other")


def silence(run: RunDirectory) -> None:
    for lease in (run.live / ".lease").iterdir():
        os.utime(lease, (1e9, 1e9))


def nothing() -> None:
    pass


def never() -> bool:
    return False


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return reserve(tmp_path, "cuboid", "go1push_mid", START, elsewhere("one"))


@pytest.fixture
def said() -> List[str]:
    return []


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


def at_each_pause(patch: pytest.MonkeyPatch, act: object) -> List[float]:
    """Act where a waiting trainer would sleep, instead of sleeping."""
    pauses: List[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        act()

    patch.setattr(startup.time, "sleep", sleep)
    return pauses


OF_A_STEP = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}


@pytest.mark.parametrize(
    ("environment", "refused"),
    [
        pytest.param({}, False, id="outside-slurm"),
        pytest.param({"SLURM_NTASKS": "4"}, False, id="allocation-without-srun"),
        pytest.param({"SLURM_STEP_ID": "0", "SLURM_NTASKS": "1"}, False, id="one-task"),
        pytest.param({"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}, True, id="two-tasks"),
        pytest.param(
            {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1"},
            False,
            id="one-task-of-a-larger-job",
        ),
        pytest.param({"SLURM_STEP_ID": "0"}, False, id="unknown"),
        pytest.param(
            {**OF_A_STEP, "SLURM_GTIDS": "0", "SLURM_PROCID": "0", "SLURM_JOB_NUM_NODES": "1"},
            False,
            id="batch-script-submitted-from-inside-a-step",
        ),
        pytest.param(
            {**OF_A_STEP, "SLURM_GTIDS": "0,1", "SLURM_PROCID": "0", "SLURM_JOB_NUM_NODES": "1"},
            True,
            id="first-of-two-on-a-node",
        ),
        pytest.param(
            {**OF_A_STEP, "SLURM_GTIDS": "0", "SLURM_PROCID": "0", "SLURM_JOB_NUM_NODES": "2"},
            True,
            id="first-of-two-nodes",
        ),
    ],
)
def test_several_trainers_under_srun_are_refused_before_anything_is_written(
    environment: Dict[str, str], refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if not refused:
        refuse_many_tasks()
        return
    with pytest.raises(RequestError, match=r"2 trainers.*not there yet.*--ntasks=1") as caught:
        main([*QUICK, "--root", str(tmp_path / "root")])
    assert (caught.value.exit_code, str(caught.value).count("\n")) == (2, 0)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("name", ["MAPUSH_RESTART_COUNT", "SLURM_RESTART_COUNT"])
def test_a_restart_count_that_is_none_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "often")
    with pytest.raises(RequestError, match=f"{name}='often'"):
        Owner.current()


def test_the_launchers_link_leads_to_the_results_from_the_start_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "job folder" / "run"
    place.parent.mkdir()
    place.symlink_to("nowhere")
    monkeypatch.setenv("MAPUSH_RUN_LINK", str(place))
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task").symlink_to(PROJECT / "task")
    seen: List[Path] = []
    step = FusedEnvironment.step

    def looking(self: FusedEnvironment, action: object) -> object:
        seen.append(place.resolve())
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, action)

    monkeypatch.setattr(FusedEnvironment, "step", looking)
    assert main([*QUICK, "--root", "root"]) == 75
    results = only_run(tmp_path / "root").resolve()
    assert set(seen) == {results}
    assert place.readlink().is_absolute()
    place.unlink()
    assert main([*QUICK, "--root", "root"]) == 0
    assert place.resolve() == results
    place.unlink()
    assert main([*QUICK, "--root", "root"]) == 0  # complete already
    assert place.resolve() == results
    assert [path.name for path in place.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("text", ["missing/run", "directory", "file/run", "x" * 300, "a\0b"])
def test_a_link_that_cannot_be_made_is_a_warning(
    text: str,
    run: RunDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "environ", {"MAPUSH_RUN_LINK": f"{tmp_path}/{text}"})
    link_for_launcher(run)
    (warning,) = caplog.messages
    assert "MAPUSH_RUN_LINK" in warning
    assert sorted(tmp_path.iterdir()) == before


def test_an_earlier_process_of_the_same_job_is_waited_for_until_it_is_silent(
    run: RunDirectory, said: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    acquire(run, elsewhere("one"))
    pauses = at_each_pause(monkeypatch, lambda: len(pauses) == 3 and silence(run))
    ownership = wait_for_lease(run, Owner.current("one"), never, said.append)
    assert ownership is not None
    ownership.check()
    assert len(pauses) == 3
    (line,) = said
    for part in (run.name, "process 4711 on node7", "of this very job", "waiting 70 s"):
        assert part in line


@pytest.mark.parametrize(
    ("environment", "present", "mine"),
    [
        pytest.param("one", "other", "one", id="another-job"),
        pytest.param("one", "", "one", id="a-person"),
        pytest.param("", "one", "one", id="slurm-s-id-alone"),
        pytest.param("", "", "", id="no-job"),
    ],
)
def test_a_foreign_process_is_not_waited_for(
    environment: str,
    present: str,
    mine: str,
    run: RunDirectory,
    said: List[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", environment)
    acquire(run, elsewhere(present))
    pauses = at_each_pause(monkeypatch, nothing)
    with pytest.raises(OwnershipError):
        wait_for_lease(run, Owner.current(mine), never, said.append)
    assert said == pauses == []


def test_one_that_goes_on_giving_heartbeats_is_waited_for_no_longer_than_announced(
    run: RunDirectory, said: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    acquire(run, elsewhere("one"))
    clock = [100.0]
    monkeypatch.setattr(startup.time, "monotonic", lambda: clock[0])
    lease = run.live / ".lease" / "000001"

    def pass_ten_seconds() -> None:
        clock[0] += 10
        lease.touch()

    pauses = at_each_pause(monkeypatch, pass_ten_seconds)
    with pytest.raises(OwnershipError, match="4711"):
        wait_for_lease(run, Owner.current("one"), never, said.append)
    assert (len(pauses), len(said)) == (7, 1)


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run of job one that was stopped, and is held by another process of that job."""
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    step, calls = FusedEnvironment.step, []

    def stopping(self: FusedEnvironment, action: object) -> object:
        calls.append(None)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, action)

    with monkeypatch.context() as patch:
        patch.setattr(FusedEnvironment, "step", stopping)
        assert main([*QUICK, "--root", str(tmp_path)]) == 75
    run = open_run(tmp_path, "one")
    acquire(run, elsewhere("one"))
    return run


def test_a_signal_while_waiting_asks_to_be_run_again_and_touches_nothing(
    stopped: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in stopped.live.rglob("*") if path.is_file()}
    capsys.readouterr()
    at_each_pause(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    assert main([*QUICK, "--root", str(stopped.root)]) == 75
    waiting, ended = capsys.readouterr().out.splitlines()
    assert "waiting" in waiting
    assert "SIGUSR1" in ended
    after = {path: path.stat().st_mtime_ns for path in stopped.live.rglob("*") if path.is_file()}
    assert after == before
    other = holder(stopped)
    assert other is not None
    assert other.pid == 4711


def test_the_wait_is_over_when_the_other_has_let_go_or_is_silent(
    stopped: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_each_pause(monkeypatch, lambda: silence(stopped))
    assert main([*QUICK, "--root", str(stopped.root)]) == 0
    assert stopped.read().status == "complete"


def test_a_run_that_the_other_brings_home_meanwhile_is_complete(
    stopped: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_each_pause(monkeypatch, lambda: finish(stopped))
    assert main([*QUICK, "--root", str(stopped.root)]) == 0
    assert "is complete already" in capsys.readouterr().out


def test_a_real_pause_lets_signals_through_within_a_second(
    stopped: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: List[float] = []
    waiting = startup.wait_for_lease

    def claiming(*arguments: object) -> object:
        run, owner, should_stop, _ = arguments
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        begun.append(time.monotonic())
        return waiting(run, owner, should_stop, nothing_said)

    def nothing_said(_: str) -> None:
        pass

    monkeypatch.setattr(startup, "wait_for_lease", claiming)
    previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert main([*QUICK, "--root", str(stopped.root)]) == 75
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - begun[0] < 2
