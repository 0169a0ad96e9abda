"""One writer: a second trainer is refused, a stopped one that lost its run writes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, Iterator, Tuple

import pytest

from tests.support import PROJECT, only_run, run_train, train_command

LONG = "--train_timesteps 4000000 --eval_freq 800 --eval_envs 1 --final_envs 0".split()
TO_THE_END = "--eval_freq 0 --train_timesteps".split()


@contextlib.contextmanager
def trainer(root: Path, *options: str, job: str = "") -> Iterator[subprocess.Popen]:
    """A real trainer, given when it trains; killed at the end if it still runs."""
    with subprocess.Popen(
        train_command(root, *LONG, *options),
        cwd=PROJECT,
        env={**os.environ, "MAPUSH_JOB_ID": job},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "evaluation at 1,600" in line:
                    break
            # Once that is saved, the next rollout has begun and nothing is half written.
            saved = live_of(root) / "checkpoints" / "rl_model_1600_steps"
            while not saved.exists():
                time.sleep(0.005)
            yield process
        finally:
            process.kill()


def live_of(root: Path) -> Path:
    (live,) = (root / "log" / "MQE" / "go1push_mid").iterdir()
    return live


def newest_step(live: Path) -> int:
    return max(int(path.name.split("_")[2]) for path in live.glob("checkpoints/rl_model_*"))


def content(root: Path) -> Dict[str, Tuple[int, str]]:
    """Every file's time and digest, and every directory's time."""
    found = {}
    for path in sorted(root.rglob("*")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (path.stat().st_mtime_ns, digest)
    return found


def silence(live: Path) -> None:
    """Make the owner's last heartbeat an old one, as after a minute on a partitioned node."""
    (lease,) = [path for path in (live / ".lease").iterdir() if path.name.isdecimal()]
    old = lease.stat().st_mtime - 120
    os.utime(lease, (old, old))


def elsewhere(live: Path) -> None:
    """Make the owner one of another host, of which no pid can be known here."""
    (lease,) = [path for path in (live / ".lease").iterdir() if path.name.isdecimal()]
    host = os.uname().nodename
    lease.write_text(lease.read_text().replace(f'"{host}"', '"node7"'))


def test_a_second_trainer_is_refused_with_the_owner_named(tmp_path: Path) -> None:
    with trainer(tmp_path) as first:
        name = only_run(tmp_path).name
        second = run_train(tmp_path, "--run", name)
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        for part in (name, f"process {first.pid}", os.uname().nodename):
            assert part in second.stderr
        assert first.poll() is None


@pytest.mark.parametrize("known", ["here", "elsewhere"])
def test_a_stopped_trainer_that_lost_its_run_writes_nothing_and_ends(
    known: str, tmp_path: Path
) -> None:
    with trainer(tmp_path) as zombie:
        os.kill(zombie.pid, signal.SIGSTOP)
        os.waitpid(zombie.pid, os.WUNTRACED)
        live = live_of(tmp_path)
        if known == "elsewhere":
            elsewhere(live)
        silence(live)
        # The heir goes on from the newest checkpoint to an end a little later, and finishes.
        end = str(newest_step(live) + 800)
        name = only_run(tmp_path).name
        heir = run_train(tmp_path, "--run", name, *TO_THE_END, end)
        assert heir.returncode == 0, heir.stderr
        before = content(tmp_path)
        os.kill(zombie.pid, signal.SIGCONT)
        _, said = zombie.communicate(timeout=60)
        assert zombie.returncode == 1
        assert said.count("\n") == 1, said
        assert "taken over" in said
        assert content(tmp_path) == before


def test_a_dead_owners_run_is_taken_over_without_a_person(tmp_path: Path) -> None:
    with trainer(tmp_path, job="9") as first:
        end = str(newest_step(live_of(tmp_path)) + 800)
        first.kill()
        first.wait()
    name = only_run(tmp_path).name
    again = run_train(tmp_path, "--run", name, *TO_THE_END, end, job="9")
    assert again.returncode == 0, again.stderr
    assert "resuming" in again.stdout
    assert "signal: killed" in (only_run(tmp_path) / "run.yaml").read_text()
