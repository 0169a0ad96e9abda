"""Small trainings in containers: started, watched, and compared with one on the host."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from typing import Iterator, List, Mapping, Sequence

import torch

from tests.support import differences, learned_scalars, only_run

SECONDS = 120
FINAL = "rl_model_4000_steps"


@contextlib.contextmanager
def watched(
    command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A training whose output is read; it does not outlive the test."""
    with subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(environment),
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_for_step(process: subprocess.Popen[str], root: Path, steps: int) -> None:
    """Wait until the training has saved a checkpoint of this step."""
    deadline = time.monotonic() + SECONDS
    while not list(root.glob(f"log/*/*/*/checkpoints/rl_model_{steps}_steps")):
        assert time.monotonic() < deadline, f"{steps} steps: not within {SECONDS} s"
        if process.poll() is not None:
            said = process.stdout.read() if process.stdout else ""
            raise AssertionError(f"ended before {steps} steps: {said[-3000:]}")
        time.sleep(0.01)


def saved_steps(root: Path) -> List[int]:
    """The steps of a finished run's checkpoints."""
    names = (path.name for path in (only_run(root) / "checkpoints").iterdir())
    return sorted(int(name.split("_")[2]) for name in names)


def assert_same_run(root: Path, reference: Path) -> None:
    """Weights, optimiser, generators, episodes in flight, and every learned curve."""
    first, second = (
        torch.load(only_run(place) / "checkpoints" / FINAL / "module.pt", weights_only=True)
        for place in (root, reference)
    )
    assert differences(first, second) == []
    curves, expected = (learned_scalars(only_run(p) / "tensorboard") for p in (root, reference))
    assert curves == expected
    assert saved_steps(root) == saved_steps(reference)
