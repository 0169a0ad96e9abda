"""How long a signal and a restart take, on real training processes of the default size."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, List

from mapush.checkpoint.store import CheckpointStore, load_entry
from tests.support import PROJECT, only_run

# Nothing but the first boundary is saved before the signal, so that all is left to be done.
SETTINGS = (
    "--exp cuboid --train_timesteps 100000000 --save_freq 100000000 --eval_freq 0 --final_envs 0"
).split()


def wait_for(stream: IO[str], *words: str) -> str:
    """Read lines until one has one of the words."""
    for line in stream:
        if any(word in line for word in words):
            return line
    raise AssertionError(f"ended without saying {' or '.join(words)}")


def seconds_to_durable(root: Path, draw: random.Random) -> float:
    """From kill() to the line that the process writes once its checkpoint is durable.

    The process is forked from this one, which has imported everything.
    """
    from mapush.train import main

    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.chdir(PROJECT)
            os.environ["MAPUSH_JOB_ID"] = "signal"
            os.dup2(write, 1)
            os._exit(main([*SETTINGS, "--root", str(root)]))
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as said:
        wait_for(said, "steps/s")  # the first update is through
        time.sleep(draw.uniform(0, 1.0))
        begun = time.perf_counter()
        os.kill(pid, signal.SIGTERM)
        wait_for(said, "interrupted (SIGTERM)")
        seconds = time.perf_counter() - begun
        said.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 75, f"exit code {code}"
    (live,) = (root / "log" / "MQE" / "go1push_mid").iterdir()
    newest = CheckpointStore(live / "checkpoints").entries()[-1]
    state = load_entry(newest)
    noted = (only_run(root) / "run.yaml").read_text(encoding="utf-8")
    assert f"step: {state['training_step']}\n" in noted
    return seconds


def seconds_to_first_steps(root: Path, count: int) -> List[float]:
    """From the start of a resumed process to the line it prints after its first update.

    That is some 20,000 environment steps after the first step.
    """
    found: List[float] = []
    for _ in range(count + 1):
        begun = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "mapush.train", *SETTINGS, "--root", str(root)],
            cwd=PROJECT,
            env={**os.environ, "MAPUSH_JOB_ID": "start"},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            wait_for(process.stdout, "steps/s")
            found.append(time.perf_counter() - begun)
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
    return found[1:]  # the first one has begun the run
