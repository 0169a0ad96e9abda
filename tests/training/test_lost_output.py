"""Output that nobody takes any more, as a job's log on a full disk, changes no training."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO, Callable

import pytest

from tests.support import PROJECT, only_run, train_command

pytestmark = pytest.mark.slow

QUICK = "--train_timesteps 800 --eval_freq 0 --final_envs 0".split()


def full() -> IO[bytes]:
    return Path("/dev/full").open("wb", buffering=0)


def without_reader() -> IO[bytes]:
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "wb", buffering=0)


@pytest.mark.parametrize("make", [full, without_reader])
@pytest.mark.parametrize(
    ("options", "code"),
    [pytest.param([], 0, id="complete"), pytest.param(["--num_envs", "0"], 2, id="wrong-request")],
)
def test_the_exit_code_is_what_it_would_be(
    make: Callable[[], IO[bytes]], options: list, code: int, tmp_path: Path
) -> None:
    # Python keeps what it cannot write and tries once more at its end.
    buffered = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    with make() as output:
        done = subprocess.run(
            train_command(tmp_path, *QUICK, *options),
            cwd=PROJECT,
            env=buffered,
            stdout=output,
            stderr=output,
            timeout=120,
            check=False,
        )
    assert done.returncode == code
    if code == 0:
        log = (only_run(tmp_path) / "log.txt").read_text()
        assert "800 steps are reached" in log
