"""A trainer that is stopped while it still imports what it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import PROJECT, only_run, run_train, train_command

CATCHES = "SigCgt:"
DEADLINE = 60.0


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(CATCHES):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2"])
def test_a_signal_before_torch_is_there_ends_with_75_and_the_run_goes_on(
    name: str, tmp_path: Path
) -> None:
    number = getattr(signal, name)
    environment = {**os.environ, "MAPUSH_JOB_ID": "job"}
    with subprocess.Popen(
        train_command(tmp_path), cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL
    ) as trainer:
        deadline = time.monotonic() + DEADLINE
        while not catches(trainer.pid, number):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        maps = Path(f"/proc/{trainer.pid}/maps").read_text(encoding="utf-8")
        trainer.send_signal(number)
        assert "libtorch" not in maps
        assert trainer.wait(timeout=DEADLINE) == 75
    assert run_train(tmp_path, job="job").returncode == 0
    assert (only_run(tmp_path) / "checkpoints" / "rl_model_4000_steps").is_dir()
